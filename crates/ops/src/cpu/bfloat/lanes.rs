//! bfloat16 in vector registers: numbers to and from float32, and products of pairs. Kernels are
//! written once, over [`Brain`], and compiled for each instruction set.

use half::bf16;

use crate::cpu::lanes::{Lanes, Portable};

/// What an instruction set does with bfloat16.
///
/// # Safety
/// As of [`Lanes`]: methods may only run where the instruction set is present, and pointers must be
/// valid for as many numbers as [`Self::Wide`] has.
pub(super) trait Brain {
    /// A register of float32.
    type Wide: Lanes;
    /// A register of as many pairs.
    type Pairs: Copy;
    /// Rows of a tile of results, two registers a row, that fits the registers; at most eight.
    const TILE_ROWS: usize;
    /// Numbers in float32.
    unsafe fn load(from: *const bf16) -> Self::Wide;
    /// The nearest numbers, the even one of two; NaN stays NaN.
    unsafe fn store(x: Self::Wide, to: *mut bf16);
    /// What is loaded after it was stored.
    #[inline(always)]
    unsafe fn rounded(x: Self::Wide) -> Self::Wide {
        let mut part = [bf16::ZERO; 16];
        // SAFETY: the caller's promise; no register has more numbers.
        unsafe {
            Self::store(x, part.as_mut_ptr());
            Self::load(part.as_ptr())
        }
    }
    unsafe fn load_pairs(from: *const u32) -> Self::Pairs;
    /// `sums + low · low + high · high`, with the same left pair for every sum.
    unsafe fn add_products(sums: Self::Wide, left: u32, right: Self::Pairs) -> Self::Wide;
}

/// The number in the low half of a pair, in float32.
#[inline(always)]
fn low(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

/// The number in the high half.
#[inline(always)]
fn high(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}

/// [`Brain::add_products`] of pairs that were taken apart.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn add_halves<L: Lanes>(sums: L, left: u32, (right_low, right_high): (L, L)) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let sums = L::splat(low(left)).mul_add(right_low, sums);
        L::splat(high(left)).mul_add(right_high, sums)
    }
}

/// The same number.
#[inline(always)]
fn wide(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// The nearest number.
#[inline(always)]
fn rounded(x: f32) -> bf16 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let quiet = bits >> 16 | 0x40;
    bf16::from_bits(if x.is_nan() { quiet } else { nearest } as u16)
}

impl Brain for Portable {
    type Wide = Self;
    type Pairs = (Self, Self);
    const TILE_ROWS: usize = 2;
    #[inline(always)]
    unsafe fn load(from: *const bf16) -> Self {
        // SAFETY: the caller's promise: valid for eight numbers (so below).
        Self(unsafe { from.cast::<[bf16; 8]>().read_unaligned() }.map(wide))
    }
    #[inline(always)]
    unsafe fn store(x: Self, to: *mut bf16) {
        // SAFETY: as above.
        unsafe { to.cast::<[bf16; 8]>().write_unaligned(x.0.map(rounded)) }
    }
    #[inline(always)]
    unsafe fn load_pairs(from: *const u32) -> (Self, Self) {
        // SAFETY: as above.
        let pairs = unsafe { from.cast::<[u32; 8]>().read_unaligned() };
        (Self(pairs.map(low)), Self(pairs.map(high)))
    }
    #[inline(always)]
    unsafe fn add_products(sums: Self, left: u32, right: (Self, Self)) -> Self {
        // SAFETY: the caller's promise.
        unsafe { add_halves(sums, left, right) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::Avx512Bf16;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use half::bf16;

    use super::{Brain, add_halves};
    use crate::cpu::lanes::{Avx2, Avx512};

    const HIGH: i32 = 0xffff_0000_u32.cast_signed();
    const HALF: i32 = 0x7fff;
    const QUIET: i32 = 0x0040_0000;

    impl Brain for Avx2 {
        type Wide = Self;
        type Pairs = (Self, Self);
        const TILE_ROWS: usize = 4;
        #[inline(always)]
        unsafe fn load(from: *const bf16) -> Self {
            // SAFETY: the caller's promise: valid for eight numbers, the set is present (so below).
            unsafe {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                Self(_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)))
            }
        }
        #[inline(always)]
        unsafe fn store(x: Self, to: *mut bf16) {
            // SAFETY: as above.
            unsafe {
                let bits = _mm256_castps_si256(x.0);
                let odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
                let half = _mm256_add_epi32(odd, _mm256_set1_epi32(HALF));
                let nearest = _mm256_add_epi32(bits, half);
                let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(QUIET));
                let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x.0, x.0));
                let chosen = _mm256_srli_epi32(_mm256_blendv_epi8(nearest, quiet, nan), 16);
                let packed = _mm256_packus_epi32(chosen, chosen);
                let packed = _mm256_permute4x64_epi64::<0b1000>(packed);
                _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(packed));
            }
        }
        #[inline(always)]
        unsafe fn load_pairs(from: *const u32) -> (Self, Self) {
            // SAFETY: as above.
            unsafe {
                let pairs = _mm256_loadu_si256(from.cast());
                let high = _mm256_and_si256(pairs, _mm256_set1_epi32(HIGH));
                let low = _mm256_slli_epi32(pairs, 16);
                (Self(_mm256_castsi256_ps(low)), Self(_mm256_castsi256_ps(high)))
            }
        }
        #[inline(always)]
        unsafe fn add_products(sums: Self, left: u32, right: (Self, Self)) -> Self {
            // SAFETY: the caller's promise.
            unsafe { add_halves(sums, left, right) }
        }
    }

    impl Brain for Avx512 {
        type Wide = Self;
        type Pairs = (Self, Self);
        const TILE_ROWS: usize = 8;
        #[inline(always)]
        unsafe fn load(from: *const bf16) -> Self {
            // SAFETY: the caller's promise: valid for sixteen numbers, the set is present (so below).
            unsafe {
                let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)))
            }
        }
        #[inline(always)]
        unsafe fn store(x: Self, to: *mut bf16) {
            // SAFETY: as above.
            unsafe {
                let bits = _mm512_castps_si512(x.0);
                let odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
                let half = _mm512_add_epi32(odd, _mm512_set1_epi32(HALF));
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x.0, x.0);
                let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(QUIET));
                let chosen = _mm512_mask_mov_epi32(_mm512_add_epi32(bits, half), nan, quiet);
                let packed = _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16));
                _mm256_storeu_si256(to.cast(), packed);
            }
        }
        #[inline(always)]
        unsafe fn load_pairs(from: *const u32) -> (Self, Self) {
            // SAFETY: as above.
            unsafe {
                let pairs = _mm512_loadu_si512(from.cast());
                let high = _mm512_and_si512(pairs, _mm512_set1_epi32(HIGH));
                let low = _mm512_slli_epi32(pairs, 16);
                (Self(_mm512_castsi512_ps(low)), Self(_mm512_castsi512_ps(high)))
            }
        }
        #[inline(always)]
        unsafe fn add_products(sums: Self, left: u32, right: (Self, Self)) -> Self {
            // SAFETY: the caller's promise.
            unsafe { add_halves(sums, left, right) }
        }
    }

    /// [`Avx512`] with AVX-512 BF16: rounding, and products of pairs, are one instruction each.
    pub(in crate::cpu::bfloat) struct Avx512Bf16;

    impl Brain for Avx512Bf16 {
        type Wide = Avx512;
        type Pairs = __m512i;
        const TILE_ROWS: usize = 8;
        #[inline(always)]
        unsafe fn load(from: *const bf16) -> Avx512 {
            // SAFETY: the caller's promise.
            unsafe { <Avx512 as Brain>::load(from) }
        }
        #[inline(always)]
        unsafe fn store(x: Avx512, to: *mut bf16) {
            // SAFETY: the caller's promise: valid for sixteen numbers, the set is present (so below).
            unsafe {
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x.0));
                _mm256_storeu_si256(to.cast(), rounded);
            }
        }
        #[inline(always)]
        unsafe fn load_pairs(from: *const u32) -> __m512i {
            // SAFETY: as above.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        #[inline(always)]
        unsafe fn add_products(sums: Avx512, left: u32, right: __m512i) -> Avx512 {
            // SAFETY: as above. The types are of one size, and any bits are numbers.
            unsafe {
                let left = _mm512_set1_epi32(left.cast_signed());
                let pairs = |of| std::mem::transmute::<__m512i, __m512bh>(of);
                Avx512(_mm512_dpbf16_ps(sums.0, pairs(left), pairs(right)))
            }
        }
    }
}

/// Defines `$name(set, arguments)`, which calls the generic `$kernel` with the [`Brain`] of an
/// instruction set.
macro_rules! for_each_brain {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident = $kernel:ident(
        $($argument:ident: $type:ty),* $(,)?
    )) => {
        $(#[$attribute])*
        $vis fn $name(set: vdvae_io::InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use vdvae_io::InstructionSet;
                use $crate::cpu::bfloat::lanes::Avx512Bf16;
                use $crate::cpu::lanes::{Avx2, Avx512};

                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
                unsafe fn avx512bf16($($argument: $type),*) {
                    // SAFETY: AVX-512 BF16 is enabled for this function.
                    unsafe { $kernel::<Avx512Bf16>($($argument),*) }
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512($($argument: $type),*) {
                    // SAFETY: AVX-512 is enabled for this function.
                    unsafe { $kernel::<Avx512>($($argument),*) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2($($argument: $type),*) {
                    // SAFETY: AVX2 is enabled for this function.
                    unsafe { $kernel::<Avx2>($($argument),*) }
                }
                // SAFETY: a set is only ever named where it was detected.
                unsafe {
                    match set {
                        InstructionSet::Amx | InstructionSet::Avx512Bf16 => {
                            return avx512bf16($($argument),*);
                        }
                        InstructionSet::Avx512 => return avx512($($argument),*),
                        InstructionSet::Avx2 => return avx2($($argument),*),
                        InstructionSet::Baseline => {}
                    }
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = set;
            // SAFETY: needs no instruction set in particular.
            unsafe { $kernel::<$crate::cpu::lanes::Portable>($($argument),*) }
        }
    };
}
pub(super) use for_each_brain;
