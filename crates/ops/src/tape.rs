//! What a gradient needs, written down while a network runs, and the way back through it.
//!
//! Candle keeps a graph of its own, and its backward pass starts every gradient as a tensor of
//! zeros that the first contribution is added to: four passes over memory that a training step of
//! large activations notices, and thousands of launches on a GPU. It also holds every activation
//! until the whole gradient is there. A tape moves the first contribution in, adds only where a
//! tensor was used twice, and lets go of each operator's inputs as soon as it has passed it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor, TensorId};

/// An operator with `N` inputs and one result.
pub(crate) trait Operator<const N: usize>: Send + Sync + 'static {
    /// Gradients of the inputs from that of the result. Those that are not `wanted` may be given or
    /// not.
    fn backward(
        &self,
        inputs: [&Tensor; N],
        upstream: &Tensor,
        wanted: [bool; N],
    ) -> Result<[Option<Tensor>; N]>;
}

/// A recording of the operators of this crate, from which gradients follow.
///
/// It takes part in what is computed from variables ([`candle_core::Var`]) by this crate's
/// operators. Any other operator's result is a constant to it; an input that follows from a
/// variable by one of candle's own operators is an error.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use vdvae_ops::{ConvShape, Tape, conv};
///
/// let shape = ConvShape { input: 1, output: 1, kernel: 1 };
/// let parameters = Var::new(&[3f32, 5.0], &Device::Cpu)?;
/// let x = Tensor::new(&[[[[2f32], [4.0]]]], &Device::Cpu)?;
/// let (y, tape) = Tape::record(|| conv(&x, &parameters, shape))?;
/// let mut gradients = tape.backward(&[(&y, y.ones_like()?)])?;
/// let gradient = gradients.remove(&parameters).expect("the result depends on it");
/// assert_eq!(gradient.to_vec1::<f32>()?, [6.0, 2.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Default)]
pub struct Tape {
    nodes: Vec<Node>,
    /// Results of the nodes.
    known: HashSet<TensorId>,
}

/// One application of an operator.
struct Node {
    result: TensorId,
    /// `None` where no gradient is wanted.
    inputs: Vec<Option<TensorId>>,
    backward: Backward,
}

/// From the gradient of the result to those of the inputs. Owns what it needs for that.
type Backward = Box<dyn FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>> + Send>;

thread_local! {
    /// The recordings of this thread; one may begin while another runs.
    static TAPES: RefCell<Vec<Tape>> = const { RefCell::new(Vec::new()) };
}

/// Ends a recording, also where it panics or fails.
struct Recording;

impl Recording {
    fn start() -> Self {
        TAPES.with_borrow_mut(|tapes| tapes.push(Tape::default()));
        Self
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        TAPES.with_borrow_mut(Vec::pop);
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("operators", &self.nodes.len()).finish_non_exhaustive()
    }
}

impl Tape {
    /// Calls `f` and records the operators that it applies on this thread.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn record<R, E>(
        f: impl FnOnce() -> std::result::Result<R, E>,
    ) -> std::result::Result<(R, Self), E> {
        let recording = Recording::start();
        let result = f()?;
        let tape = TAPES.with_borrow_mut(|tapes| tapes.last_mut().map(std::mem::take));
        drop(recording);
        Ok((result, tape.expect("started above")))
    }

    /// The gradient of `Σ seed · result` over all pairs of a recorded result and its seed.
    ///
    /// # Shapes
    /// - each seed as its result
    ///
    /// # Errors
    /// Where a seed's shape is not that of its result; those of the operators.
    pub fn backward(self, seeds: &[(&Tensor, Tensor)]) -> Result<Gradients> {
        let mut gradients = Gradients::default();
        for (result, seed) in seeds {
            if result.shape() != seed.shape() {
                candle_core::bail!(
                    "tape: expected a seed of {:?}, found {:?}",
                    result.dims(),
                    seed.dims()
                );
            }
            gradients.add(result.id(), seed.clone())?;
        }
        for Node { result, inputs, backward } in self.nodes.into_iter().rev() {
            let Some(upstream) = gradients.0.remove(&result) else { continue };
            for (input, gradient) in inputs.into_iter().zip(backward(&upstream)?) {
                if let (Some(input), Some(gradient)) = (input, gradient) {
                    gradients.add(input, gradient)?;
                }
            }
        }
        Ok(gradients)
    }
}

/// Gradients of variables.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Gradients {
    /// Takes out the gradient of a variable; `None` where the results do not depend on it.
    pub fn remove(&mut self, variable: &Tensor) -> Option<Tensor> {
        self.0.remove(&variable.id())
    }

    fn add(&mut self, of: TensorId, gradient: Tensor) -> Result<()> {
        let sum = match self.0.remove(&of) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.0.insert(of, sum);
        Ok(())
    }
}

/// Whether a gradient of this tensor is wanted: by the recording of this thread or, without one, by
/// candle.
pub(crate) fn tracked(tensor: &Tensor) -> bool {
    TAPES.with_borrow(|tapes| match tapes.last() {
        Some(tape) => tensor.is_variable() || tape.known.contains(&tensor.id()),
        None => tensor.track_op(),
    })
}

fn recording() -> bool {
    TAPES.with_borrow(|tapes| !tapes.is_empty())
}

/// Records an operator where one of its inputs is tracked.
fn record<const N: usize>(
    operator: impl Operator<N>,
    inputs: [&Tensor; N],
    result: &Tensor,
) -> Result<()> {
    let wanted = inputs.map(tracked);
    if inputs.iter().any(|input| input.track_op() && !input.is_variable()) {
        candle_core::bail!(
            "tape: expected variables, constants and results of recorded operators, found the \
             result of another operator on a variable"
        );
    }
    if !wanted.contains(&true) {
        return Ok(());
    }
    let ids = inputs.iter().zip(wanted).map(|(input, wanted)| wanted.then(|| input.id()));
    let ids = ids.collect();
    let inputs = inputs.map(Tensor::clone);
    let node = Node {
        result: result.id(),
        inputs: ids,
        backward: Box::new(move |upstream| {
            Ok(operator.backward(inputs.each_ref(), upstream, wanted)?.into())
        }),
    };
    TAPES.with_borrow_mut(|tapes| {
        let tape = tapes.last_mut().expect("the caller looked");
        tape.known.insert(node.result);
        tape.nodes.push(node);
    });
    Ok(())
}

/// The gradient that candle asks an operator of one, two or three inputs for: that of [`Operator`].
macro_rules! candle_gradient {
    (1) => {
        fn bwd(&self, x: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
            let [dx] = crate::tape::Operator::backward(self, [x], upstream, [x.track_op()])?;
            Ok(dx)
        }
    };
    (2) => {
        fn bwd(
            &self,
            x: &Tensor,
            y: &Tensor,
            _: &Tensor,
            upstream: &Tensor,
        ) -> Result<(Option<Tensor>, Option<Tensor>)> {
            let wanted = [x.track_op(), y.track_op()];
            Ok(crate::tape::Operator::backward(self, [x, y], upstream, wanted)?.into())
        }
    };
    (3) => {
        fn bwd(
            &self,
            x: &Tensor,
            y: &Tensor,
            z: &Tensor,
            _: &Tensor,
            upstream: &Tensor,
        ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
            let wanted = [x.track_op(), y.track_op(), z.track_op()];
            Ok(crate::tape::Operator::backward(self, [x, y, z], upstream, wanted)?.into())
        }
    };
}
pub(crate) use candle_gradient;

pub(crate) fn apply1<O>(x: &Tensor, operator: O) -> Result<Tensor>
where
    O: CustomOp1 + Operator<1>,
{
    let x = &contiguous(x)?;
    if !recording() {
        return x.apply_op1(operator);
    }
    let result = x.apply_op1_no_bwd(&operator)?;
    record(operator, [x], &result)?;
    Ok(result)
}

pub(crate) fn apply2<O>(x: &Tensor, y: &Tensor, operator: O) -> Result<Tensor>
where
    O: CustomOp2 + Operator<2>,
{
    let (x, y) = (&contiguous(x)?, &contiguous(y)?);
    if !recording() {
        return x.apply_op2(y, operator);
    }
    let result = x.apply_op2_no_bwd(y, &operator)?;
    record(operator, [x, y], &result)?;
    Ok(result)
}

pub(crate) fn apply3<O>(x: &Tensor, y: &Tensor, z: &Tensor, operator: O) -> Result<Tensor>
where
    O: CustomOp3 + Operator<3>,
{
    let (x, y, z) = (&contiguous(x)?, &contiguous(y)?, &contiguous(z)?);
    if !recording() {
        return x.apply_op3(y, z, operator);
    }
    let result = x.apply_op3_no_bwd(y, z, &operator)?;
    record(operator, [x, y, z], &result)?;
    Ok(result)
}

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
fn contiguous(x: &Tensor) -> Result<Tensor> {
    match x.is_contiguous() {
        true => Ok(x.clone()),
        false => stock([x], Same, |[x]| x.contiguous()),
    }
}

/// Its gradient is that of its result.
struct Same;

impl Operator<1> for Same {
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
pub fn cast(x: &Tensor, dtype: candle_core::DType) -> Result<Tensor> {
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
