//! Which instruction set the kernels of every crate use: one choice for the whole process.

use std::fmt;
use std::sync::OnceLock;

/// An instruction set that kernels are compiled for. Each contains those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// Whatever the target guarantees.
    Baseline,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// With AVX-512 (F, BW, DQ, VL) besides.
    Avx512,
    /// With AVX-512 BF16 besides: dot products of bfloat16.
    Avx512Bf16,
    /// With AMX (TILE, BF16) besides: products of bfloat16 matrices in tiles. The kernel of the
    /// operating system must grant it.
    Amx,
}

const VARIABLE: &str = "VDVAE_INSTRUCTION_SET";

impl InstructionSet {
    /// Every set and its name, the widest first.
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Amx, "amx"),
        (Self::Avx512Bf16, "avx512bf16"),
        (Self::Avx512, "avx512"),
        (Self::Avx2, "avx2"),
        (Self::Baseline, "baseline"),
    ];
}

/// The environment asks for an instruction set that does not exist or that this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionSetError {
    asked: String,
    widest: InstructionSet,
}

impl fmt::Display for InstructionSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = InstructionSet::NAMES.iter().filter(|(set, _)| *set <= self.widest);
        let names: Vec<_> = names.map(|(_, name)| *name).collect();
        let usable = match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        write!(f, "{VARIABLE}: expected {usable} on this machine, found {:?}", self.asked)
    }
}

impl std::error::Error for InstructionSetError {}

/// The instruction set that the environment variable `VDVAE_INSTRUCTION_SET` (`amx`, `avx512bf16`,
/// `avx512`, `avx2` or `baseline`) asks for, or the widest of this machine where it is not set.
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
    if asked.is_empty() {
        return Ok(widest);
    }
    let named = InstructionSet::NAMES.iter().find(|(set, name)| *name == asked && *set <= widest);
    named
        .map(|(set, _)| *set)
        .ok_or_else(|| InstructionSetError { asked: asked.to_owned(), widest })
}

#[cfg(target_arch = "x86_64")]
fn detect() -> InstructionSet {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let bf16 = is_x86_feature_detected!("avx512bf16");
    match (avx2, avx512, bf16) {
        (true, true, true) if tiles_granted() => InstructionSet::Amx,
        (true, true, true) => InstructionSet::Avx512Bf16,
        (true, true, false) => InstructionSet::Avx512,
        (true, false, _) => InstructionSet::Avx2,
        _ => InstructionSet::Baseline,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> InstructionSet {
    InstructionSet::Baseline
}

/// Whether the processor has AMX with bfloat16 and Linux lets this process use it, which a process
/// must ask for once (the kernel's documentation: arch/x86/xstate.rst).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles_granted() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // Bits of leaf 7's EDX: AMX-BF16 and AMX-TILE.
    const AMX: u32 = 1 << 22 | 1 << 24;
    // SAFETY: every x86-64 processor has the instruction. Newer compilers know that.
    #[allow(unused_unsafe)]
    let present = unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & AMX == AMX };
    if !present {
        return false;
    }
    // SAFETY: the system call takes two numbers, and refuses what it does not know.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn tiles_granted() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::{InstructionSet::*, choose};

    #[test]
    fn what_is_missing_is_refused() {
        assert_eq!(choose(Avx512, "avx2"), Ok(Avx2));
        assert_eq!(choose(Amx, "avx512bf16"), Ok(Avx512Bf16));
        assert_eq!(choose(Avx512, "baseline"), Ok(Baseline));
        assert_eq!(choose(Avx512, ""), Ok(Avx512));
        let refused = |widest, asked| choose(widest, asked).unwrap_err().to_string();
        assert_eq!(
            refused(Avx2, "avx512"),
            "VDVAE_INSTRUCTION_SET: expected avx2 or baseline on this machine, found \"avx512\""
        );
        assert!(refused(Baseline, "avx2").contains("expected baseline on"));
        assert!(refused(Avx512, "AVX2").contains("expected avx512, avx2 or baseline"));
        assert!(refused(Avx512Bf16, "amx").contains("expected avx512bf16, avx512, avx2 or"));
    }
}
