//! What a gradient needs, written down while a network runs, and the way back through it.
//!
//! Candle keeps a graph of its own, and its backward pass starts every gradient as a tensor of
//! zeros that the first contribution is added to: four passes over memory that a training step of
//! large activations notices, and thousands of launches on a GPU. It also holds every activation
//! until the whole gradient is there. A tape moves the first contribution in, adds only where a
//! tensor was used twice, and lets go of each operator's inputs as soon as it has passed it.

mod stock;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor, TensorId};

use stock::contiguous;
pub use stock::{add, cast, scale};

/// An operator with `N` inputs and one result. It has one of the two methods: the second where it
/// can add to a gradient while it computes its own.
pub(crate) trait Operator<const N: usize>: Send + Sync + 'static {
    /// Whether the gradients it returns may be its result's own gradient, which others read too.
    const PASSES_ON: bool = false;

    /// Gradients of the inputs from that of the result. Those that are not `wanted` may be given or
    /// not.
    fn backward(
        &self,
        inputs: [&Tensor; N],
        upstream: &Tensor,
        wanted: [bool; N],
    ) -> Result<[Option<Tensor>; N]> {
        self.backward_onto(inputs, upstream, wanted, [const { None }; N])
    }

    /// The same, added to the gradients that inputs have from other uses. Those are the callee's to
    /// write to.
    fn backward_onto(
        &self,
        inputs: [&Tensor; N],
        upstream: &Tensor,
        wanted: [bool; N],
        held: [Option<Tensor>; N],
    ) -> Result<[Option<Tensor>; N]> {
        added(self.backward(inputs, upstream, wanted)?, held)
    }
}

/// Gradients, each added to what its input has from other uses.
pub(crate) fn added<const N: usize>(
    mut gradients: [Option<Tensor>; N],
    held: [Option<Tensor>; N],
) -> Result<[Option<Tensor>; N]> {
    for (gradient, held) in gradients.iter_mut().zip(held) {
        *gradient = match (gradient.take(), held) {
            (Some(gradient), Some(held)) => Some((held + gradient)?),
            (gradient, held) => gradient.or(held),
        };
    }
    Ok(gradients)
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

/// One application of an operator, or of several that are computed again.
struct Node {
    results: Vec<TensorId>,
    /// `None` where no gradient is wanted.
    inputs: Vec<Option<TensorId>>,
    backward: Backward,
    /// [`Operator::PASSES_ON`]
    passes_on: bool,
}

/// From the gradients of the results, of which there is one at least, and what the inputs have so
/// far to the gradients of the inputs. Owns what it needs for that.
type Backward =
    Box<dyn FnOnce(Vec<Option<Tensor>>, Vec<Option<Tensor>>) -> Result<Vec<Option<Tensor>>> + Send>;

thread_local! {
    /// The recordings of this thread; one may begin while another runs. `None` where nothing is
    /// recorded and nothing kept.
    static TAPES: RefCell<Vec<Option<Tape>>> = const { RefCell::new(Vec::new()) };
}

/// Ends a recording, also where it panics or fails.
struct Recording;

impl Recording {
    fn start(tape: Option<Tape>) -> Self {
        TAPES.with_borrow_mut(|tapes| tapes.push(tape));
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
        Self::default().continued(f)
    }

    /// Records further.
    fn continued<R, E>(
        self,
        f: impl FnOnce() -> std::result::Result<R, E>,
    ) -> std::result::Result<(R, Self), E> {
        let recording = Recording::start(Some(self));
        let result = f()?;
        let tape = TAPES.with_borrow_mut(|tapes| tapes.last_mut().and_then(Option::take));
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
        let mut gradients = Gradients::of_seeds(seeds)?;
        self.walk(&mut gradients, |_, _| Ok(()))?;
        Ok(gradients)
    }

    /// As [`Self::backward`], handing each variable's gradient to `finished` as soon as nothing more
    /// is added to it: the variables that were used last come first.
    ///
    /// # Errors
    /// Those of [`Self::backward`] and of `finished`.
    pub fn backward_with(
        self,
        seeds: &[(&Tensor, Tensor)],
        mut finished: impl FnMut(TensorId, Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut first_use = HashMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten().filter(|input| !self.known.contains(input)) {
                first_use.entry(*input).or_insert(i);
            }
        }
        let mut variables: Vec<Vec<TensorId>> = vec![vec![]; self.nodes.len()];
        first_use.into_iter().for_each(|(variable, i)| variables[i].push(variable));
        self.walk(&mut Gradients::of_seeds(seeds)?, |i, gradients| {
            for variable in &variables[i] {
                if let Some(gradient) = gradients.remove_id(*variable) {
                    finished(*variable, gradient)?;
                }
            }
            Ok(())
        })
    }

    /// Replaces the gradients of results by those of what they were computed from; calls `passed`
    /// with the number of each node once it is done.
    fn walk(
        self,
        gradients: &mut Gradients,
        mut passed: impl FnMut(usize, &mut Gradients) -> Result<()>,
    ) -> Result<()> {
        for (i, node) in self.nodes.into_iter().enumerate().rev() {
            node.pass(gradients)?;
            passed(i, gradients)?;
        }
        Ok(())
    }
}

impl Node {
    fn pass(self, gradients: &mut Gradients) -> Result<()> {
        let Self { results, inputs, backward, passes_on } = self;
        let upstream: Vec<_> = results.iter().map(|result| gradients.remove_id(*result)).collect();
        if upstream.iter().all(Option::is_none) {
            return Ok(());
        }
        let held = inputs.iter().map(|input| gradients.take(*input));
        let held = held.collect::<Result<_>>()?;
        for (input, gradient) in inputs.into_iter().zip(backward(upstream, held)?) {
            if let (Some(input), Some(gradient)) = (input, gradient) {
                gradients.add(input, gradient, passes_on)?;
            }
        }
        Ok(())
    }
}

/// Gradients of variables.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<TensorId, Gradient>);

#[derive(Debug)]
struct Gradient {
    /// Over the uses that the backward pass has seen.
    sum: Tensor,
    /// Whether something else reads its storage.
    shared: bool,
}

impl Gradients {
    fn of_seeds(seeds: &[(&Tensor, Tensor)]) -> Result<Self> {
        let mut gradients = Self::default();
        for (result, seed) in seeds {
            if result.shape() != seed.shape() {
                candle_core::bail!(
                    "tape: expected a seed of {:?}, found {:?}",
                    result.dims(),
                    seed.dims()
                );
            }
            gradients.add(result.id(), seed.clone(), true)?;
        }
        Ok(gradients)
    }

    /// Takes out the gradient of a variable; `None` where the results do not depend on it.
    pub fn remove(&mut self, variable: &Tensor) -> Option<Tensor> {
        self.remove_id(variable.id())
    }

    fn remove_id(&mut self, of: TensorId) -> Option<Tensor> {
        self.0.remove(&of).map(|gradient| gradient.sum)
    }

    /// Takes out a gradient to write to, its numbers in order.
    fn take(&mut self, of: Option<TensorId>) -> Result<Option<Tensor>> {
        match of.and_then(|of| self.0.remove(&of)) {
            Some(Gradient { sum, shared: true }) => Ok(Some(sum.force_contiguous()?)),
            gradient => Ok(gradient.map(|gradient| gradient.sum)),
        }
    }

    fn add(&mut self, of: TensorId, gradient: Tensor, shared: bool) -> Result<()> {
        let gradient = match self.0.remove(&of) {
            Some(Gradient { sum, .. }) => Gradient { sum: (sum + gradient)?, shared: false },
            None => Gradient { sum: gradient, shared },
        };
        self.0.insert(of, gradient);
        Ok(())
    }
}

/// Whether a gradient of this tensor is wanted: by the recording of this thread or, without one, by
/// candle.
pub(crate) fn tracked(tensor: &Tensor) -> bool {
    TAPES.with_borrow(|tapes| match tapes.last() {
        Some(Some(tape)) => tensor.is_variable() || tape.known.contains(&tensor.id()),
        Some(None) => false,
        None => tensor.track_op(),
    })
}

fn recording() -> bool {
    TAPES.with_borrow(|tapes| !tapes.is_empty())
}

/// Records an operator where one of its inputs is tracked.
fn record<const N: usize, O: Operator<N>>(
    operator: O,
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
    let ids = ids_of(inputs);
    let inputs = inputs.map(Tensor::clone);
    push(Node {
        results: vec![result.id()],
        inputs: ids,
        backward: Box::new(move |upstream, held| {
            let [Some(upstream)] = &upstream[..] else { unreachable!("the only one is there") };
            let held = held.try_into().expect("one for each input");
            Ok(operator.backward_onto(inputs.each_ref(), upstream, wanted, held)?.into())
        }),
        passes_on: O::PASSES_ON,
    });
    Ok(())
}

/// The inputs whose gradients are wanted.
fn ids_of<'a>(inputs: impl IntoIterator<Item = &'a Tensor>) -> Vec<Option<TensorId>> {
    inputs.into_iter().map(|input| tracked(input).then(|| input.id())).collect()
}

fn push(node: Node) {
    TAPES.with_borrow_mut(|tapes| {
        let tape = tapes.last_mut().and_then(Option::as_mut).expect("something is tracked");
        tape.known.extend(&node.results);
        tape.nodes.push(node);
    });
}

/// Results of `f`, which a tape does not look into: the backward pass calls `f` again and keeps what
/// it computed no longer than it takes to go back through it. Less memory, for one more forward
/// pass. Without a recording `f` is called, and nothing else.
///
/// `f` has to compute the same again. `inputs` are the tensors whose gradients it takes part in,
/// variables included.
///
/// # Errors
/// Those of `f`, there and in the backward pass; in the latter also where `f` uses a variable that
/// is not among the inputs.
pub fn recomputed<const N: usize>(
    inputs: &[&Tensor],
    f: impl Fn() -> Result<[Tensor; N]> + Send + 'static,
) -> Result<[Tensor; N]> {
    let ids = ids_of(inputs.iter().copied());
    if !recording() || ids.iter().all(Option::is_none) {
        return f();
    }
    let pause = Recording::start(None);
    let results = f()?;
    drop(pause);
    let known = ids.clone();
    push(Node {
        results: results.iter().map(Tensor::id).collect(),
        inputs: ids,
        backward: Box::new(move |upstream, held| {
            let mut gradients = Gradients::default();
            for (of, held) in known.iter().zip(held) {
                if let (Some(of), Some(held)) = (of, held) {
                    gradients.add(*of, held, false)?;
                }
            }
            let tape = Tape { nodes: vec![], known: known.iter().flatten().copied().collect() };
            let (results, tape) = tape.continued(f)?;
            for (result, upstream) in results.iter().zip(upstream) {
                if let Some(upstream) = upstream {
                    gradients.add(result.id(), upstream, true)?;
                }
            }
            drop(results);
            tape.walk(&mut gradients, |_, _| Ok(()))?;
            let of_inputs = known.iter().map(|of| of.and_then(|of| gradients.remove_id(of)));
            let of_inputs = of_inputs.collect();
            if !gradients.0.is_empty() {
                candle_core::bail!("tape: what is recomputed uses a variable that is not an input");
            }
            Ok(of_inputs)
        }),
        passes_on: false,
    });
    Ok(results)
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

#[cfg(test)]
mod tests;
