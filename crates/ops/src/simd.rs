//! One body, compiled for each instruction set and chosen at run time.
//!
//! The elementwise kernels are plain loops that the compiler vectorises; what they need is to be
//! compiled with wider registers than the portable baseline has. [`multiversion!`] does that.

use std::fmt;
use std::sync::OnceLock;

/// An instruction set the kernels are compiled for.
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

/// The instruction set that the kernels use: what [`requested_instruction_set`] says, found once.
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

/// Compiles a function once for every [`InstructionSet`] and calls the one this machine has.
macro_rules! multiversion {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $vis fn $name($($arg: $ty),*) {
            // `FMA` says whether a fused multiply-add is one instruction, see `mul_add`.
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) {
                body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) {
                body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            match $crate::simd::instruction_set() {
                // SAFETY: the set was detected on this machine before it is returned.
                $crate::simd::InstructionSet::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                $crate::simd::InstructionSet::Avx2 => unsafe { avx2($($arg),*) },
                $crate::simd::InstructionSet::Baseline => body::<false>($($arg),*),
            }
            #[cfg(not(target_arch = "x86_64"))]
            body::<false>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

/// `a * b + c`, in one instruction where there is one; elsewhere fusing would be a library call.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
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
