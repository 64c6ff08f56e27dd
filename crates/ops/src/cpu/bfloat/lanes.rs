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
    /// The same of float32.
    #[inline(always)]
    unsafe fn load_wide_part(from: *const f32, count: usize) -> Self::Wide {
        let mut part = [0.0; 16];
        // SAFETY: as above.
        unsafe {
            for (i, part) in part.iter_mut().enumerate().take(count) {
                *part = *from.add(i);
            }
            Self::Wide::load(part.as_ptr())
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
    /// The same to float32.
    #[inline(always)]
    unsafe fn store_wide_part(x: Self::Wide, to: *mut f32, count: usize) {
        let mut part = [0.0; 16];
        // SAFETY: as above.
        unsafe {
            x.store(part.as_mut_ptr());
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

    /// See [`Brain::transpose`].
    ///
    /// # Safety
    /// As of [`Brain::transpose`]; AVX2 must be present.
    #[inline(always)]
    unsafe fn transpose((from, stride): (*const bf16, usize), (to, to_stride): (*mut bf16, usize)) {
        // SAFETY: the caller's promise.
        unsafe {
            let row = |i: usize| _mm256_loadu_si256(from.add(i * stride).cast());
            let (above, below) = (columns_of_eight(&row, 0), columns_of_eight(&row, 8));
            for (column, (above, below)) in above.into_iter().zip(below).enumerate() {
                let left = _mm256_permute2x128_si256::<0x20>(above, below);
                let right = _mm256_permute2x128_si256::<0x31>(above, below);
                _mm256_storeu_si256(to.add(column * to_stride).cast(), left);
                _mm256_storeu_si256(to.add((column + 8) * to_stride).cast(), right);
            }
        }
    }

    /// See [`Brain::transpose_pairs`].
    ///
    /// # Safety
    /// As of [`Brain::transpose_pairs`]; AVX2 must be present.
    #[inline(always)]
    unsafe fn transpose_pairs(
        (from, stride): (*const u32, usize),
        (to, to_stride): (*mut u32, usize),
    ) {
        for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            // SAFETY: the caller's promise.
            unsafe {
                let from = from.add(row * stride + column);
                let rows: [_; 8] =
                    std::array::from_fn(|i| _mm256_loadu_si256(from.add(i * stride).cast()));
                let (mut ones, mut twos) = (rows, rows);
                for i in 0..4 {
                    ones[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
                    ones[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
                }
                for i in [0, 4] {
                    for j in 0..2 {
                        let (a, b) = (ones[i + j], ones[i + j + 2]);
                        twos[i + 2 * j] = _mm256_unpacklo_epi64(a, b);
                        twos[i + 2 * j + 1] = _mm256_unpackhi_epi64(a, b);
                    }
                }
                let to = to.add(column * to_stride + row);
                for i in 0..4 {
                    let upper = _mm256_permute2x128_si256::<0x20>(twos[i], twos[i + 4]);
                    let lower = _mm256_permute2x128_si256::<0x31>(twos[i], twos[i + 4]);
                    _mm256_storeu_si256(to.add(i * to_stride).cast(), upper);
                    _mm256_storeu_si256(to.add((i + 4) * to_stride).cast(), lower);
                }
            }
        }
    }

    /// The columns of eight rows from `first` on: number j of the result has column j in its lower
    /// half and column j + 8 in its upper.
    ///
    /// # Safety
    /// AVX2 must be present.
    #[inline(always)]
    unsafe fn columns_of_eight(row: &impl Fn(usize) -> __m256i, first: usize) -> [__m256i; 8] {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut ones, mut twos) = ([_mm256_setzero_si256(); 8], [_mm256_setzero_si256(); 8]);
            for i in 0..4 {
                let (a, b) = (row(first + 2 * i), row(first + 2 * i + 1));
                ones[2 * i] = _mm256_unpacklo_epi16(a, b);
                ones[2 * i + 1] = _mm256_unpackhi_epi16(a, b);
            }
            for i in 0..2 {
                for j in 0..2 {
                    let (a, b) = (ones[4 * i + j], ones[4 * i + j + 2]);
                    twos[4 * i + 2 * j] = _mm256_unpacklo_epi32(a, b);
                    twos[4 * i + 2 * j + 1] = _mm256_unpackhi_epi32(a, b);
                }
            }
            let mut columns = ones;
            for i in 0..4 {
                columns[2 * i] = _mm256_unpacklo_epi64(twos[i], twos[i + 4]);
                columns[2 * i + 1] = _mm256_unpackhi_epi64(twos[i], twos[i + 4]);
            }
            columns
        }
    }

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
        unsafe fn transpose(from: (*const bf16, usize), to: (*mut bf16, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose(from, to) }
        }
        #[inline(always)]
        unsafe fn transpose_pairs(from: (*const u32, usize), to: (*mut u32, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose_pairs(from, to) }
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

    /// Lanes below `count`.
    #[inline(always)]
    fn first(count: usize) -> u16 {
        u16::MAX >> (16 - count)
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
        unsafe fn transpose(from: (*const bf16, usize), to: (*mut bf16, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose(from, to) }
        }
        #[inline(always)]
        unsafe fn transpose_pairs(from: (*const u32, usize), to: (*mut u32, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose_pairs(from, to) }
        }
        #[inline(always)]
        unsafe fn load_part(from: *const bf16, count: usize) -> Avx512 {
            // SAFETY: as above; what is masked is not read.
            unsafe {
                let bits = _mm256_maskz_loadu_epi16(first(count), from.cast());
                let bits = _mm512_cvtepu16_epi32(bits);
                Avx512(_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)))
            }
        }
        #[inline(always)]
        unsafe fn load_wide_part(from: *const f32, count: usize) -> Avx512 {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
        }
        #[inline(always)]
        unsafe fn store_wide_part(x: Avx512, to: *mut f32, count: usize) {
            // SAFETY: as above; what is masked is not written.
            unsafe { _mm512_mask_storeu_ps(to, first(count), x.0) }
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
        fn prefetch<T>(from: *const T) {
            // SAFETY: no address is too bad to be asked for.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        fn prefetch_to_write<T>(to: *const T) {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(to.cast()) }
        }
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
        unsafe fn transpose(from: (*const bf16, usize), to: (*mut bf16, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose(from, to) }
        }
        #[inline(always)]
        unsafe fn transpose_pairs(from: (*const u32, usize), to: (*mut u32, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose_pairs(from, to) }
        }
        #[inline(always)]
        unsafe fn load_part(from: *const bf16, count: usize) -> Avx512 {
            // SAFETY: as above; what is masked is not read.
            unsafe {
                let bits = _mm256_maskz_loadu_epi16(first(count), from.cast());
                let bits = _mm512_cvtepu16_epi32(bits);
                Avx512(_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)))
            }
        }
        #[inline(always)]
        unsafe fn load_wide_part(from: *const f32, count: usize) -> Avx512 {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
        }
        #[inline(always)]
        unsafe fn store_wide_part(x: Avx512, to: *mut f32, count: usize) {
            // SAFETY: as above; what is masked is not written.
            unsafe { _mm512_mask_storeu_ps(to, first(count), x.0) }
        }
        #[inline(always)]
        unsafe fn store_part(x: Avx512, to: *mut bf16, count: usize) {
            // SAFETY: as above.
            unsafe {
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x.0));
                _mm256_mask_storeu_epi16(to.cast(), first(count), rounded);
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
