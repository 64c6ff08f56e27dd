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
    /// As [`Self::load`], of the first `count` numbers only, with zeros behind them.
    #[inline(always)]
    unsafe fn load_part(from: *const bf16, count: usize) -> Self::Wide {
        let mut part = [bf16::ZERO; 16];
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
    unsafe fn store_part(x: Self::Wide, to: *mut bf16, count: usize) {
        let mut part = [bf16::ZERO; 16];
        // SAFETY: as above.
        unsafe {
            Self::store(x, part.as_mut_ptr());
            for (i, part) in part.iter().enumerate().take(count) {
                *to.add(i) = *part;
            }
        }
    }
    /// Asks for what will be read soon, if the processor takes requests.
    #[inline(always)]
    fn prefetch<T>(_: *const T) {}
    /// Asks for what will be written soon.
    #[inline(always)]
    fn prefetch_to_write<T>(_: *const T) {}
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
    /// Row j of sixteen of `to` are the numbers j of sixteen rows of `from`; with each comes the
    /// distance between its rows, of which sixteen numbers must be valid.
    #[inline(always)]
    unsafe fn transpose((from, stride): (*const bf16, usize), (to, to_stride): (*mut bf16, usize)) {
        for row in 0..16 {
            for column in 0..16 {
                // SAFETY: the caller's promise.
                unsafe { *to.add(column * to_stride + row) = *from.add(row * stride + column) };
            }
        }
    }
    /// The same of pairs.
    #[inline(always)]
    unsafe fn transpose_pairs(
        (from, stride): (*const u32, usize),
        (to, to_stride): (*mut u32, usize),
    ) {
        for row in 0..16 {
            for column in 0..16 {
                // SAFETY: the caller's promise; any alignment.
                unsafe {
                    let pair = from.add(row * stride + column).read_unaligned();
                    to.add(column * to_stride + row).write_unaligned(pair);
                }
            }
        }
    }
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
mod x86;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::Avx512Bf16;

/// Defines a function of an instruction set and what is written, whose body is compiled with the
/// [`Brain`] of each and may count on its instructions.
macro_rules! for_each_brain {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident<$B:ident>(
        $($argument:ident: $type:ty),* $(,)?
    ) $body:block) => {
        $(#[$attribute])*
        $vis fn $name(set: vdvae_io::InstructionSet, $($argument: $type),*) {
            /// # Safety
            /// The instruction set of `$B` must be present.
            #[inline(always)]
            unsafe fn kernel<$B: $crate::cpu::bfloat::lanes::Brain>($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                use vdvae_io::InstructionSet;
                use $crate::cpu::bfloat::lanes::Avx512Bf16;
                use $crate::cpu::lanes::{Avx2, Avx512};

                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
                unsafe fn avx512bf16($($argument: $type),*) {
                    // SAFETY: AVX-512 BF16 is enabled for this function.
                    unsafe { kernel::<Avx512Bf16>($($argument),*) }
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512($($argument: $type),*) {
                    // SAFETY: AVX-512 is enabled for this function.
                    unsafe { kernel::<Avx512>($($argument),*) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2($($argument: $type),*) {
                    // SAFETY: AVX2 is enabled for this function.
                    unsafe { kernel::<Avx2>($($argument),*) }
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
            unsafe { kernel::<$crate::cpu::lanes::Portable>($($argument),*) }
        }
    };
}
pub(super) use for_each_brain;
