//! Candle's own operators that networks need between this crate's, with a place on the tape.

use candle_core::{DType, Result, Tensor};

use super::{Operator, record, recording};

/// An operator whose inputs all have the same gradient, a function of its result's.
struct Stock<G>(G);

impl<const N: usize, G> Operator<N> for Stock<G>
where
    G: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    const PASSES_ON: bool = true;

    fn backward(
        &self,
        _: [&Tensor; N],
        upstream: &Tensor,
        _: [bool; N],
    ) -> Result<[Option<Tensor>; N]> {
        let gradient = (self.0)(upstream)?;
        Ok(std::array::from_fn(|_| Some(gradient.clone())))
    }
}

/// Applies some of candle's own operators, whose gradients are right there too.
fn stock<const N: usize>(
    inputs: [&Tensor; N],
    forward: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
    gradient: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !recording() {
        return forward(inputs);
    }
    let detached = inputs.map(Tensor::detach);
    let result = forward(detached.each_ref())?;
    record(Stock(gradient), inputs, &result)?;
    Ok(result)
}

/// The tensor itself where its numbers lie in order.
pub(super) fn contiguous(x: &Tensor) -> Result<Tensor> {
    match x.is_contiguous() {
        true => Ok(x.clone()),
        false => stock([x], |[x]| x.contiguous(), |upstream| Ok(upstream.clone())),
    }
}

/// `x + y`, of one shape.
///
/// # Errors
/// Where the shapes or number types differ.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    stock([x, y], |[x, y]| x + y, |upstream| Ok(upstream.clone()))
}

/// `x · factor`
///
/// # Errors
/// Where candle does not multiply numbers of this type.
pub fn scale(x: &Tensor, factor: f64) -> Result<Tensor> {
    stock([x], |[x]| x * factor, move |upstream| upstream * factor)
}

/// The same numbers in another type; the tensor itself where it has that type.
///
/// # Errors
/// Where candle does not convert between the types.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let from = x.dtype();
    if from == dtype {
        return Ok(x.clone());
    }
    stock([x], |[x]| x.to_dtype(dtype), move |upstream| upstream.to_dtype(from))
}
