//! What is done number by number: rounding to bfloat16, GELU and its slope on the way.

use std::mem::MaybeUninit;

use half::bf16;

use super::lanes::{Brain, for_each_brain};
use crate::cpu::lanes::Lanes;
use crate::simd::multiversion;
use vdvae_io::InstructionSet;

/// From here on GELU is taken for `x`, and below its negative for zero.
const END: f32 = 4.5;

/// `Φ(x) = 0.5 + x q(x²)` up to [`END`], minimax in the absolute error of `x Φ(x)`; coefficients of the
/// highest power first, all larger by 2.2e-5 of themselves, so that at the ends the sum is above one
/// and below zero and can be cut there.
const CDF: [f32; 10] = [
    -1.400_099_1e-12,
    1.697_342_1e-10,
    -9.193_956e-9,
    2.958_964_8e-7,
    -6.365_398e-6,
    9.787_353e-5,
    -1.122_703_3e-3,
    9.833_401e-3,
    -6.633_852e-2,
    3.988_925_7e-1,
];

/// The derivative of GELU likewise, minimax in its absolute error.
const SLOPE: [f32; 10] = [
    -2.210_823_3e-11,
    2.521_338e-9,
    -1.268_061e-7,
    3.721_950_2e-6,
    -7.122_213e-5,
    9.405_43e-4,
    -8.815_862e-3,
    5.860_930_6e-2,
    -2.649_257e-1,
    7.976_261_4e-1,
];

/// `0.5 + x q(x²)`, of the end that is nearer where `x` is beyond.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn odd<L: Lanes>(x: L, coefficients: &[f32; 10]) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        // NaN is what remains of NaN.
        let x = L::splat(-END).max(L::splat(END).min(x));
        let square = x.mul(x);
        let mut q = L::splat(coefficients[0]);
        for &coefficient in &coefficients[1..] {
            q = q.mul_add(square, L::splat(coefficient));
        }
        x.mul_add(q, L::splat(0.5))
    }
}

/// `x Φ(x)`, wrong by less than 7e-5: below half a unit in the last place of bfloat16 where it is
/// larger than 0.04.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn gelu<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe { x.mul(L::splat(0.0).max(L::splat(1.0).min(odd(x, &CDF)))) }
}

/// The derivative of GELU, wrong by less than 3e-4.
///
/// # Safety
/// As of [`Lanes`].
#[inline(always)]
unsafe fn slope<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe { odd(x, &SLOPE) }
}

/// Numbers that registers of float32 are loaded from, and stored to.
trait Stored: Copy {
    /// # Safety
    /// As of [`Brain`].
    unsafe fn load<B: Brain>(from: *const Self) -> B::Wide;
    /// # Safety
    /// As of [`Brain`].
    unsafe fn load_part<B: Brain>(from: *const Self, count: usize) -> B::Wide;
    /// # Safety
    /// As of [`Brain`].
    unsafe fn store<B: Brain>(x: B::Wide, to: *mut Self);
    /// # Safety
    /// As of [`Brain`].
    unsafe fn store_part<B: Brain>(x: B::Wide, to: *mut Self, count: usize);
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<B: Brain>(from: *const f32) -> B::Wide {
        // SAFETY: the caller's promise.
        unsafe { B::Wide::load(from) }
    }
    #[inline(always)]
    unsafe fn store<B: Brain>(x: B::Wide, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { x.store(to) }
    }
    #[inline(always)]
    unsafe fn load_part<B: Brain>(from: *const f32, count: usize) -> B::Wide {
        // SAFETY: the caller's promise.
        unsafe { B::Wide::load_part(from, count) }
    }
    #[inline(always)]
    unsafe fn store_part<B: Brain>(x: B::Wide, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { x.store_part(to, count) }
    }
}

impl Stored for bf16 {
    #[inline(always)]
    unsafe fn load<B: Brain>(from: *const bf16) -> B::Wide {
        // SAFETY: the caller's promise.
        unsafe { B::load(from) }
    }
    #[inline(always)]
    unsafe fn store<B: Brain>(x: B::Wide, to: *mut bf16) {
        // SAFETY: the caller's promise.
        unsafe { B::store(x, to) }
    }
    #[inline(always)]
    unsafe fn load_part<B: Brain>(from: *const bf16, count: usize) -> B::Wide {
        // SAFETY: the caller's promise.
        unsafe { B::load_part(from, count) }
    }
    #[inline(always)]
    unsafe fn store_part<B: Brain>(x: B::Wide, to: *mut bf16, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { B::store_part(x, to, count) }
    }
}

/// Where in a row a register is read or written: a whole one, or what is left at the end.
#[derive(Clone, Copy)]
enum Span {
    Whole(usize),
    Rest(usize),
}

impl Span {
    #[inline(always)]
    fn start(self) -> usize {
        match self {
            Self::Whole(at) | Self::Rest(at) => at,
        }
    }
}

/// Bytes ahead that are asked for of what is read from far away: processors do so on their own, but
/// begin anew with every page.
const AHEAD: usize = 2048;

#[inline(always)]
fn ahead<T>(row: *const T, span: Span) -> *const T {
    row.wrapping_add(span.start()).wrapping_byte_add(AHEAD)
}

/// Evaluates an unsafe expression for each span of rows of `$width` numbers. No closure: it would be a
/// function of its own, which does not inherit the instruction set.
macro_rules! for_each_span {
    ($brain:ident, $width:expr, $at:ident => $do:expr) => {{
        let width = $width;
        let whole = width - width % $brain::Wide::N;
        let mut first = 0;
        while first < whole {
            let $at = Span::Whole(first);
            // SAFETY: the caller's promise, and rows that are as long as the spans say.
            unsafe { $do };
            first += $brain::Wide::N;
        }
        if whole < width {
            let $at = Span::Rest(whole);
            // SAFETY: as above.
            unsafe { $do };
        }
    }};
}

/// A register of a row, with zeros behind its end.
///
/// # Safety
/// The instruction set of `B` must be present, and the row as long as the span says.
#[inline(always)]
unsafe fn get<B: Brain, T: Stored>(row: &[T], span: Span) -> B::Wide {
    // SAFETY: the caller's promise.
    unsafe {
        match span {
            Span::Whole(at) => {
                debug_assert!(at + B::Wide::N <= row.len());
                T::load::<B>(row.as_ptr().add(at))
            }
            Span::Rest(at) => T::load_part::<B>(row.as_ptr().add(at), row.len() - at),
        }
    }
}

/// Writes a register of a row, as far as the row goes.
///
/// # Safety
/// As of [`get`].
#[inline(always)]
unsafe fn put<B: Brain, T: Stored>(value: B::Wide, row: &mut [MaybeUninit<T>], span: Span) {
    // SAFETY: as of `get`.
    unsafe {
        match span {
            Span::Whole(at) => {
                debug_assert!(at + B::Wide::N <= row.len());
                T::store::<B>(value, row.as_mut_ptr().add(at).cast());
            }
            Span::Rest(at) => {
                T::store_part::<B>(value, row.as_mut_ptr().add(at).cast(), row.len() - at);
            }
        }
    }
}

/// Writes a whole register to a row that is padded to whole registers; with zeros behind the end of
/// what was computed they are its padding.
///
/// # Safety
/// As of [`get`].
#[inline(always)]
unsafe fn put_padded<B: Brain>(value: B::Wide, row: &mut [bf16], span: Span) {
    debug_assert!(span.start() + B::Wide::N <= row.len());
    // SAFETY: the caller's promise.
    unsafe { B::store(value, row.as_mut_ptr().add(span.start())) }
}

/// Zeros behind what [`put_padded`] has written.
///
/// # Safety
/// The instruction set of `B` must be present.
#[inline(always)]
unsafe fn pad<B: Brain>(row: &mut [bf16], width: usize) {
    for at in (width.next_multiple_of(B::Wide::N)..row.len()).step_by(B::Wide::N) {
        // SAFETY: the caller's promise; rows are padded to whole registers.
        unsafe { put_padded::<B>(B::Wide::splat(0.0), row, Span::Whole(at)) }
    }
}

/// What padded rows are multiples of: the numbers of the widest register.
const PADDED: usize = 16;

/// Numbers as if they were yet to be written.
#[inline(always)]
fn unwritten<T>(x: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the layouts are the same, and only numbers are ever written.
    unsafe { &mut *(std::ptr::from_mut(x) as *mut [MaybeUninit<T>]) }
}

for_each_brain! {
    /// Rounds `width` numbers of rows `x_stride` apart into rows `stride` apart.
    pub(super) fn round_rows<B>(
        x: &[f32],
        x_stride: usize,
        width: usize,
        to: &mut [bf16],
        stride: usize,
    ) {
        for (x, to) in x.chunks(x_stride).zip(to.chunks_mut(stride)) {
            let (x, to) = (&x[..width], unwritten(&mut to[..width]));
            for_each_span!(B, width, at => {
                B::prefetch(ahead(x.as_ptr(), at));
                put::<B, _>(get::<B, _>(x, at), to, at);
            });
        }
    }
}

/// `to = x`.
pub(super) fn round(set: InstructionSet, x: &[f32], to: &mut [bf16]) {
    if !x.is_empty() {
        round_rows(set, x, x.len(), x.len(), to, x.len());
    }
}

for_each_brain! {
    /// `gelu(x)` of rows of `width` numbers into rows `stride` apart, with zeros between them.
    pub(crate) fn gelu_rows<B>(x: &[f32], width: usize, to: &mut [bf16], stride: usize) {
        // SAFETY: the caller's promise.
        unsafe { gelu_of::<B, _>(x, width, to, stride) }
    }
}

for_each_brain! {
    /// The same of numbers that were rounded before.
    pub(crate) fn gelu_rows_of_rounded<B>(
        x: &[bf16],
        width: usize,
        to: &mut [bf16],
        stride: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe { gelu_of::<B, _>(x, width, to, stride) }
    }
}

#[inline(always)]
unsafe fn gelu_of<B: Brain, T: Stored>(x: &[T], width: usize, to: &mut [bf16], stride: usize) {
    assert!(width <= stride && stride.is_multiple_of(PADDED), "rows of whole registers");
    for (x, to) in x.chunks_exact(width).zip(to.chunks_exact_mut(stride)) {
        for_each_span!(B, width, at => {
            B::prefetch(ahead(x.as_ptr(), at));
            put_padded::<B>(gelu(get::<B, _>(x, at)), to, at);
        });
        // SAFETY: as above.
        unsafe { pad::<B>(to, width) };
    }
}

for_each_brain! {
    /// From sums `sums_stride` apart: hidden states `h` with the bias, where there is room for them,
    /// and `to = gelu(h)` in rows `stride` apart, with zeros between them.
    pub(crate) fn hidden_rows<B>(
        sums: &[f32],
        sums_stride: usize,
        bias: &[f32],
        h: &mut [bf16],
        to: &mut [bf16],
        stride: usize,
    ) {
        let width = bias.len();
        assert!(width <= stride && stride.is_multiple_of(PADDED), "rows of whole registers");
        let mut kept = h.chunks_exact_mut(width);
        for (sums, to) in sums.chunks_exact(sums_stride).zip(to.chunks_exact_mut(stride)) {
            let sums = &sums[..width];
            let mut h = kept.next().map(unwritten);
            for_each_span!(B, width, at => {
                // Without room for it a state still is what it would be if it were kept.
                let state = B::rounded(get::<B, _>(sums, at).add(get::<B, _>(bias, at)));
                if let Some(h) = &mut h {
                    put::<B, _>(state, h, at);
                }
                put_padded::<B>(gelu(state), to, at);
            });
            // SAFETY: as above.
            unsafe { pad::<B>(to, width) };
        }
    }
}

for_each_brain! {
    /// From sums `sums_stride` apart: gradients of hidden states, `to = sums · gelu'(h)` in rows
    /// `stride` apart, with zeros between them, and their sum over the rows, added to `bias`.
    pub(crate) fn hidden_gradient_rows<B>(
        sums: &[f32],
        sums_stride: usize,
        h: &[bf16],
        to: &mut [bf16],
        stride: usize,
        bias: &mut [f32],
    ) {
        let width = bias.len();
        assert!(width <= stride && stride.is_multiple_of(PADDED), "rows of whole registers");
        let rows = sums.chunks_exact(sums_stride).zip(h.chunks_exact(width));
        for ((sums, h), to) in rows.zip(to.chunks_exact_mut(stride)) {
            let sums = &sums[..width];
            for_each_span!(B, width, at => {
                let gradient = get::<B, _>(sums, at).mul(slope(get::<B, _>(h, at)));
                put_padded::<B>(gradient, to, at);
                put::<B, _>(get::<B, _>(bias, at).add(gradient), unwritten(bias), at);
            });
            // SAFETY: as above.
            unsafe { pad::<B>(to, width) };
        }
    }
}

/// What is added to the last channels of rows: nothing, or as many rows of `channels` numbers.
#[derive(Clone, Copy)]
pub(crate) struct Tail<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) channels: usize,
}

for_each_brain! {
    /// `out = sums + bias`, rows of as many numbers as there are in `bias`, with a tail. All of `out` is
    /// written if it is whole rows, and no more than there are of sums.
    pub(crate) fn output_rows<B>(
        sums: &[f32],
        sums_stride: usize,
        bias: &[f32],
        tail: Tail<'_>,
        out: &mut [MaybeUninit<f32>],
    ) {
        let (width, channels) = (bias.len(), tail.channels);
        let (head_bias, tail_bias) = bias.split_at(width - channels);
        let rows = out.chunks_exact_mut(width).zip(sums.chunks_exact(sums_stride));
        for (row, (out, sums)) in rows.enumerate() {
            let (head, out) = out.split_at_mut(width - channels);
            let (head_sums, sums) = sums[..width].split_at(width - channels);
            let x = &tail.x[row * channels..][..channels];
            for_each_span!(B, head.len(), at => {
                put::<B, _>(get::<B, _>(head_sums, at).add(get::<B, _>(head_bias, at)), head, at);
            });
            for_each_span!(B, channels, at => {
                B::prefetch(ahead(x.as_ptr(), at));
                B::prefetch_to_write(ahead(out.as_ptr(), at));
                let sum = get::<B, _>(sums, at).add(get::<B, _>(tail_bias, at));
                put::<B, _>(sum.add(get::<B, _>(x, at)), out, at);
            });
        }
    }
}

/// What is added to a gradient of an input: nothing, or rows as long as it has channels, `stride`
/// apart, beginning with the first number.
pub(crate) type Added<'a> = Option<(&'a [f32], usize)>;

for_each_brain! {
    /// `gradient = sums · gelu'(x) + added`, rows of `channels` numbers, those of sums `sums_stride`
    /// apart. All of `gradient` is written if it has as many rows as `x`, and no more than `sums`.
    pub(crate) fn input_gradient_rows<B>(
        sums: &[f32],
        sums_stride: usize,
        x: &[f32],
        channels: usize,
        added: [Added<'_>; 2],
        gradient: &mut [MaybeUninit<f32>],
    ) {
        let rows = sums.chunks_exact(sums_stride).zip(x.chunks_exact(channels));
        for (row, (gradient, (sums, x))) in gradient.chunks_exact_mut(channels).zip(rows).enumerate() {
            let added = added.map(|added| row_of(added, row, channels));
            let sums = &sums[..channels];
            match added {
                [None, None] => for_each_span!(B, channels, at => {
                    put::<B, _>(input_gradient::<B>(sums, x, at), gradient, at);
                }),
                [Some(one), None] | [None, Some(one)] => for_each_span!(B, channels, at => {
                    put::<B, _>(input_gradient::<B>(sums, x, at).add(get::<B, _>(one, at)), gradient, at);
                }),
                [Some(one), Some(two)] => for_each_span!(B, channels, at => {
                    let both = get::<B, _>(one, at).add(get::<B, _>(two, at));
                    put::<B, _>(input_gradient::<B>(sums, x, at).add(both), gradient, at);
                }),
            }
        }
    }
}

#[inline(always)]
fn row_of(added: Added<'_>, row: usize, channels: usize) -> Option<&[f32]> {
    added.map(|(numbers, stride)| &numbers[row * stride..][..channels])
}

/// # Safety
/// As of [`get`].
#[inline(always)]
unsafe fn input_gradient<B: Brain>(sums: &[f32], x: &[f32], at: Span) -> B::Wide {
    // SAFETY: the caller's promise.
    unsafe {
        B::prefetch(ahead(x.as_ptr(), at));
        get::<B, _>(sums, at).mul(slope(get::<B, _>(x, at)))
    }
}

multiversion! {
    /// Adds rows of as many numbers as `sum` has to it.
    pub(crate) fn add_rows(rows: &[f32], sum: &mut [f32]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, x) in sum.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}
