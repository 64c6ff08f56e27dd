//! Candle's own operators that networks need between this crate's, with a place on the tape.

use candle_core::{DType, Result, Tensor};

use super::{Operator, record, recording};

/// Applies some of candle's own operators, whose gradients are right there too.
fn stock<const N: usize>(
    inputs: [&Tensor; N],
    operator: impl Operator<N>,
    forward: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    if !recording() {
        return forward(inputs);
    }
    let detached = inputs.map(Tensor::detach);
    let result = forward(detached.each_ref())?;
    record(operator, inputs, &result)?;
    Ok(result)
}

/// The tensor itself where its numbers lie in order.
pub(super) fn contiguous(x: &Tensor) -> Result<Tensor> {
    match x.is_contiguous() {
        true => Ok(x.clone()),
        false => stock([x], Same, |[x]| x.contiguous()),
    }
}

/// Its gradient is that of its result.
struct Same;

impl Operator<1> for Same {
    const PASSES_ON: bool = true;

    fn backward(
        &self,
        _: [&Tensor; 1],
        upstream: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(upstream.clone())])
    }
}

/// `x + y`, of one shape.
///
/// # Errors
/// Where the shapes or number types differ.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    stock([x, y], Add, |[x, y]| x + y)
}

struct Add;

impl Operator<2> for Add {
    const PASSES_ON: bool = true;

    fn backward(
        &self,
        _: [&Tensor; 2],
        upstream: &Tensor,
        _: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        Ok([Some(upstream.clone()), Some(upstream.clone())])
    }
}

/// `x · factor`
///
/// # Errors
/// Where candle does not multiply numbers of this type.
pub fn scale(x: &Tensor, factor: f64) -> Result<Tensor> {
    stock([x], Scale(factor), |[x]| x * factor)
}

struct Scale(f64);

impl Operator<1> for Scale {
    fn backward(
        &self,
        _: [&Tensor; 1],
        upstream: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        Ok([Some((upstream * self.0)?)])
    }
}

/// The same numbers in another type; the tensor itself where it has that type.
///
/// # Errors
/// Where candle does not convert between the types.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    stock([x], Cast, |[x]| x.to_dtype(dtype))
}

struct Cast;

impl Operator<1> for Cast {
    fn backward(
        &self,
        [x]: [&Tensor; 1],
        upstream: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(upstream.to_dtype(x.dtype())?)])
    }
}
