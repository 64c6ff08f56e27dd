//! Products of bfloat16 matrices with float32 sums.
//!
//! bfloat16 is float32 without its last sixteen bits: numbers of the same range, rounded to eight
//! significant bits. A product takes its operands so and sums in float32, which is what tile
//! registers (AMX) and dot products (AVX-512 BF16) do in one instruction; elsewhere the same
//! arithmetic is written in float32 operations ([`lanes`]), exact but for the order of the sums and
//! for denormal numbers, which those instructions take for zero.
//!
//! The inner dimension goes in *pairs*: the left-hand side is row-major, and the right-hand side has
//! the numbers of rows 2i and 2i + 1 side by side, column by column ([`Panels`]).

mod amx;
mod elementwise;
mod gradient;
mod lanes;
mod lines;
mod pairs;
mod panels;
mod product;
#[cfg(test)]
mod tests;
mod vectors;

pub(crate) use elementwise::{
    Tail, add_rows, gelu_rows_of_rounded, hidden_gradient_rows, hidden_rows, input_gradient_rows,
    output_rows,
};
pub(crate) use gradient::{Taps, WeightGradient, add_up};
pub(crate) use lines::{Lines, LinesMut, padded};
pub(crate) use panels::Panels;
pub(crate) use product::{Left, Rows, Sums, multiply};
