//! Which instruction set the kernels of every crate use: one choice for the whole process.

use std::fmt;
use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and FMA.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// Whatever the target guarantees.
    Baseline,
}

const VARIABLE: &str = "VDVAE_INSTRUCTION_SET";

/// The environment asks for an instruction set that does not exist or that this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionSetError {
    asked: String,
    widest: InstructionSet,
}

impl fmt::Display for InstructionSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usable = match self.widest {
            InstructionSet::Avx512 => "avx512, avx2 or baseline",
            InstructionSet::Avx2 => "avx2 or baseline",
            InstructionSet::Baseline => "baseline",
        };
        write!(f, "{VARIABLE}: expected {usable} on this machine, found {:?}", self.asked)
    }
}

impl std::error::Error for InstructionSetError {}

/// The instruction set that the environment variable `VDVAE_INSTRUCTION_SET` (`avx512`, `avx2` or
/// `baseline`) asks for, or the widest of this machine where it is not set.
///
/// # Errors
/// Where the machine lacks it, or the name is another. Programs check this first.
pub fn requested_instruction_set() -> Result<InstructionSet, InstructionSetError> {
    choose(detect(), &std::env::var(VARIABLE).unwrap_or_default())
}

/// The instruction set that kernels use: what [`requested_instruction_set`] says, found once.
///
/// # Panics
/// Where that is an error.
pub fn instruction_set() -> InstructionSet {
    static FOUND: OnceLock<InstructionSet> = OnceLock::new();
    *FOUND.get_or_init(|| requested_instruction_set().unwrap_or_else(|error| panic!("{error}")))
}

fn choose(widest: InstructionSet, asked: &str) -> Result<InstructionSet, InstructionSetError> {
    match (asked, widest) {
        ("", _) => Ok(widest),
        ("baseline", _) => Ok(InstructionSet::Baseline),
        ("avx2", InstructionSet::Avx2 | InstructionSet::Avx512) => Ok(InstructionSet::Avx2),
        ("avx512", InstructionSet::Avx512) => Ok(InstructionSet::Avx512),
        _ => Err(InstructionSetError { asked: asked.to_owned(), widest }),
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> InstructionSet {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (true, true) => InstructionSet::Avx512,
        (true, false) => InstructionSet::Avx2,
        _ => InstructionSet::Baseline,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> InstructionSet {
    InstructionSet::Baseline
}

#[cfg(test)]
mod tests {
    use super::{InstructionSet::*, choose};

    #[test]
    fn what_is_missing_is_refused() {
        assert_eq!(choose(Avx512, "avx2"), Ok(Avx2));
        assert_eq!(choose(Avx512, "baseline"), Ok(Baseline));
        assert_eq!(choose(Avx512, ""), Ok(Avx512));
        let refused = |widest, asked| choose(widest, asked).unwrap_err().to_string();
        assert_eq!(
            refused(Avx2, "avx512"),
            "VDVAE_INSTRUCTION_SET: expected avx2 or baseline on this machine, found \"avx512\""
        );
        assert!(refused(Baseline, "avx2").contains("expected baseline"));
        assert!(refused(Avx512, "AVX2").contains("expected avx512, avx2 or baseline"));
    }
}
