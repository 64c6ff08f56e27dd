//! Vectors of float32 as wide as the instruction set allows, so that a kernel is written once.
//!
//! A kernel is a generic function over [`Lanes`], forced inline into one wrapper for each
//! instruction set ([`for_each_set!`]), where the vector operations become single instructions.

/// A register of `N` float32 numbers.
///
/// # Safety
/// Methods may only run where the instruction set of the implementation is present, and pointers
/// must be valid for `N` numbers (any alignment).
pub(crate) trait Lanes: Copy {
    /// Numbers in a register.
    const N: usize;
    /// Registers of a result tile along its rows. The tile, one row of the right-hand side and one
    /// broadcast number of the left must fit the register file, or every step spills.
    const TILE_COLUMNS: usize;
    /// Rows of a result tile.
    const TILE_ROWS: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// As [`Self::load`], of the first `count` numbers only, with zeros behind them.
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut part = [0.0; 16];
        // SAFETY: the caller's promise; no register has more numbers.
        unsafe {
            for (i, part) in part.iter_mut().enumerate().take(count) {
                *part = *from.add(i);
            }
            Self::load(part.as_ptr())
        }
    }
    /// As [`Self::store`], of the first `count` numbers only.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        let mut part = [0.0; 16];
        // SAFETY: as above.
        unsafe {
            self.store(part.as_mut_ptr());
            for (i, part) in part.iter().enumerate().take(count) {
                *to.add(i) = *part;
            }
        }
    }
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// The smaller numbers; those of `other` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// The larger numbers; those of `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// `self * factor + term`.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
}

/// Eight numbers in whatever registers the target guarantees.
#[derive(Clone, Copy)]
pub(crate) struct Portable(pub(super) [f32; 8]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Portable {
    const N: usize = 8;
    const TILE_COLUMNS: usize = 1;
    const TILE_ROWS: usize = 6;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise: valid for eight numbers.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // Not `f32::mul_add`, which without hardware support is a library call.
        self.zip(factor, |a, b| a * b).zip(term, |a, b| a + b)
    }
}

/// Registers of one instruction set, by the names of its intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! x86_lanes {
    ($name:ident, $register:ident, $n:literal, $rows:literal x $columns:literal, $splat:ident, $load:ident,
     $store:ident, $add:ident, $sub:ident, $mul:ident,
     $min:ident, $max:ident, $fma:ident $(, $more:item)*) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name(pub(super) std::arch::x86_64::$register);

        impl Lanes for $name {
            const N: usize = $n;
            const TILE_COLUMNS: usize = $columns;
            const TILE_ROWS: usize = $rows;
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller's promise: the instruction set is present (so below).
                Self(unsafe { std::arch::x86_64::$splat(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's promise: valid for a register's numbers.
                Self(unsafe { std::arch::x86_64::$load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: as above.
                unsafe { std::arch::x86_64::$store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the instruction set is present.
                Self(unsafe { std::arch::x86_64::$add(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: the instruction set is present.
                Self(unsafe { std::arch::x86_64::$sub(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: the instruction set is present.
                Self(unsafe { std::arch::x86_64::$mul(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn min(self, other: Self) -> Self {
                // SAFETY: the instruction set is present.
                Self(unsafe { std::arch::x86_64::$min(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                // SAFETY: the instruction set is present.
                Self(unsafe { std::arch::x86_64::$max(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: the instruction set is present.
                Self(unsafe { std::arch::x86_64::$fma(self.0, factor.0, term.0) })
            }
            $($more)*
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86_lanes!(
    Avx512,
    __m512,
    16,
    8 x 3,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_min_ps,
    _mm512_max_ps,
    _mm512_fmadd_ps,
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller's promise; what is masked is not read.
        Self(unsafe { std::arch::x86_64::_mm512_maskz_loadu_ps(first(count), from) })
    },
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise; what is masked is not written.
        unsafe { std::arch::x86_64::_mm512_mask_storeu_ps(to, first(count), self.0) }
    }
);

/// Lanes below `count`, of which there is at least one.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn first(count: usize) -> u16 {
    u16::MAX >> (16 - count)
}
#[cfg(target_arch = "x86_64")]
x86_lanes!(
    Avx2,
    __m256,
    8,
    6 x 2,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_min_ps,
    _mm256_max_ps,
    _mm256_fmadd_ps
);

/// Defines `$name(set, argument)`, which calls the generic `$kernel` with the registers of an
/// instruction set.
macro_rules! for_each_set {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident = $kernel:ident($argument:ty)) => {
        $(#[$attribute])*
        $vis fn $name(set: vdvae_io::InstructionSet, argument: $argument) {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu::lanes::{Avx2, Avx512};
                use vdvae_io::InstructionSet;

                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512(argument: $argument) {
                    // SAFETY: AVX-512 is enabled for this function.
                    unsafe { $kernel::<Avx512>(argument) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2(argument: $argument) {
                    // SAFETY: AVX2 is enabled for this function.
                    unsafe { $kernel::<Avx2>(argument) }
                }
                match set {
                    InstructionSet::Amx | InstructionSet::Avx512Bf16 | InstructionSet::Avx512 => {
                        // SAFETY: a set is only ever named where it was detected.
                        return unsafe { avx512(argument) };
                    }
                    // SAFETY: as above.
                    InstructionSet::Avx2 => return unsafe { avx2(argument) },
                    InstructionSet::Baseline => {}
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = set;
            // SAFETY: needs no instruction set in particular.
            unsafe { $kernel::<$crate::cpu::lanes::Portable>(argument) }
        }
    };
}
pub(crate) use for_each_set;
