//! The registers of x86-64.

use std::arch::x86_64::*;

use half::bf16;

use super::{Brain, add_halves};
use crate::cpu::lanes::{Avx2, Avx512, first};

const HIGH: i32 = 0xffff_0000_u32.cast_signed();
const HALF: i32 = 0x7fff;
const QUIET: i32 = 0x0040_0000;

/// What every set has from AVX2 on.
macro_rules! moves {
    () => {
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
        unsafe fn transpose(from: (*const bf16, usize), to: (*mut bf16, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose(from, to) }
        }
        #[inline(always)]
        unsafe fn transpose_pairs(from: (*const u32, usize), to: (*mut u32, usize)) {
            // SAFETY: the caller's promise.
            unsafe { transpose_pairs(from, to) }
        }
    };
}

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
unsafe fn transpose_pairs((from, stride): (*const u32, usize), (to, to_stride): (*mut u32, usize)) {
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
    moves!();
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
    moves!();
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
    moves!();
    #[inline(always)]
    unsafe fn load_part(from: *const bf16, count: usize) -> Avx512 {
        // SAFETY: the caller's promise.
        unsafe { <Avx512 as Brain>::load_part(from, count) }
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
