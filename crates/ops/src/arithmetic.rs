//! How a network's products and convolutions are computed.

/// How products and convolutions are computed: a property of each call, so that networks of
/// different settings run side by side. None changes what is computed but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arithmetic {
    /// On a CPU: sums 3×3 convolutions directly, without Winograd's transforms. More arithmetic,
    /// and results that the transforms change by up to 1e-5 of the largest.
    pub exact: bool,
    /// On a CPU: operands of products and convolutions, and what a block keeps for its gradient, are
    /// rounded to bfloat16 (eight significant bits); sums, and the results of operators, are float32.
    /// Several times faster where the processor has AMX, slower elsewhere. `exact` has no part in it.
    pub bf16: bool,
    /// On a GPU: products and convolutions of float32 round their operands to TensorFloat-32 (ten
    /// bits of mantissa), which tensor cores multiply several times faster.
    pub tf32: bool,
}
