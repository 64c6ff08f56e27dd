//! The instruction set that the vector code of this crate is run with: that of all crates, which the
//! environment variable `VDVAE_INSTRUCTION_SET` can narrow.
//!
//! Matrix products, factors and eigenvectors come from faer and `gemm`, which know nothing of the
//! variable: they use the widest instructions that the machine has.

use pulp::Arch;
use vdvae_io::{InstructionSet, instruction_set};

/// The instruction set, as pulp calls it.
///
/// # Panics
/// Where the variable asks for what there is not, as [`instruction_set`] does.
pub(crate) fn arch() -> Arch {
    of(instruction_set())
}

#[cfg(target_arch = "x86_64")]
fn of(set: InstructionSet) -> Arch {
    use pulp::x86::{V3, V4};

    let avx2 = || V3::try_new().map_or(Arch::Scalar, Arch::V3);
    match set {
        InstructionSet::Amx | InstructionSet::Avx512Bf16 | InstructionSet::Avx512 => {
            V4::try_new().map_or_else(avx2, Arch::V4)
        }
        InstructionSet::Avx2 => avx2(),
        InstructionSet::Baseline => Arch::Scalar,
    }
}

/// What the target guarantees.
#[cfg(not(target_arch = "x86_64"))]
fn of(_: InstructionSet) -> Arch {
    Arch::new()
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_machine_has_can_be_asked_for() {
        assert!(matches!(of(InstructionSet::Baseline), Arch::Scalar));
        assert!(!matches!(of(InstructionSet::Avx2), Arch::V4(_)));
        if pulp::x86::V3::try_new().is_some() {
            assert!(matches!(of(InstructionSet::Avx2), Arch::V3(_)));
        }
    }
}
