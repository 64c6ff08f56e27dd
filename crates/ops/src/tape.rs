//! What a gradient needs, written down while a network runs, and the way back through it.
//!
//! Candle keeps a graph of its own, and its backward pass starts every gradient as a tensor of
//! zeros that the first contribution is added to: four passes over memory that a training step of
//! large activations notices, and thousands of launches on a GPU. It also holds every activation
//! until the whole gradient is there. A tape moves the first contribution in, adds only where a
//! tensor was used twice, and lets go of each operator's inputs as soon as it has passed it.
//!
//! Nothing gets past it unseen. While it records, a result that depends on a variable is itself a
//! variable to candle, so that candle marks whatever is computed from it by operators of its own;
//! a recorded operator that is given such a tensor refuses it. [`crate::stock`] is the way to mix both.

pub(crate) mod stock;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use candle_core::op::BackpropOp;
use candle_core::{Result, Shape, Storage, Tensor, TensorId};

/// A recording of the operators of this crate, from which gradients follow.
///
/// It takes part in what is computed from variables ([`candle_core::Var`]) by this crate's
/// operators. What follows from a variable, or from a recorded result, by one of candle's own
/// operators is an error where it comes back to a recorded operator or is asked for a gradient:
/// such operators belong inside [`crate::stock`]. Results of an earlier recording count as variables.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use vdvae_ops::{Arithmetic, ConvShape, Tape, conv};
///
/// let shape = ConvShape { input: 1, output: 1, kernel: 1 };
/// let parameters = Var::new(&[3f32, 5.0], &Device::Cpu)?;
/// let x = Tensor::new(&[[[[2f32], [4.0]]]], &Device::Cpu)?;
/// let (y, tape) = Tape::record(|| conv(&x, &parameters, shape, Arithmetic::default()))?;
/// let mut gradients = tape.backward(&[(&y, y.ones_like()?)])?;
/// let gradient = gradients.remove(&parameters).expect("the result depends on it");
/// assert_eq!(gradient.to_vec1::<f32>()?, [6.0, 2.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Default)]
pub struct Tape {
    nodes: Vec<Node>,
}

/// One application of an operator, or of several that are computed again.
struct Node {
    results: Vec<TensorId>,
    /// `None` where no gradient is wanted.
    inputs: Vec<Option<TensorId>>,
    backward: Backward,
    /// Whether the gradients it returns may be its result's own gradient, which others read too.
    passes_on: bool,
}

/// From the gradients of the results, of which there is one at least, and what the inputs have so
/// far to the gradients of the inputs. Owns what it needs for that.
type Backward =
    Box<dyn FnOnce(Vec<Option<Tensor>>, Vec<Option<Tensor>>) -> Result<Vec<Option<Tensor>>> + Send>;

thread_local! {
    /// What becomes of operators on this thread; one may begin while another lasts.
    static MODES: RefCell<Vec<Mode>> = const { RefCell::new(Vec::new()) };
}

/// What becomes of operators that are applied.
enum Mode {
    /// They are recorded.
    Tape(Tape),
    /// Nothing is recorded and nothing kept: it is computed again.
    Pause,
    /// They join candle's graph, as where nothing is recorded.
    Graph,
}

/// Ends a recording, also where it panics or fails.
struct Recording;

impl Recording {
    fn start(mode: Mode) -> Self {
        MODES.with_borrow_mut(|modes| modes.push(mode));
        Self
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        MODES.with_borrow_mut(Vec::pop);
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
        let recording = Recording::start(Mode::Tape(Self::default()));
        let result = f()?;
        let tape = MODES.with_borrow_mut(|modes| match modes.last_mut() {
            Some(Mode::Tape(tape)) => std::mem::take(tape),
            _ => unreachable!("started above, and what began since has ended"),
        });
        drop(recording);
        Ok((result, tape))
    }

    /// The gradient of `Σ seed · result` over all pairs of a recorded result and its seed.
    ///
    /// # Shapes
    /// - each seed as its result
    ///
    /// # Errors
    /// Where a seed's shape is not that of its result, or the result is one of candle's own
    /// operators on a recorded one; those of the operators.
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
        let results: HashSet<_> = self.nodes.iter().flat_map(|node| &node.results).collect();
        for (i, node) in self.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten().filter(|input| !results.contains(input)) {
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
            check("backward", &[*result])?;
            gradients.add(result.id(), seed.detach(), true)?;
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
    MODES.with_borrow(|modes| match modes.last() {
        Some(Mode::Tape(_)) => tensor.is_variable(),
        Some(Mode::Pause) => false,
        Some(Mode::Graph) | None => tensor.track_op(),
    })
}

/// Whether operators stay out of candle's graph.
pub(crate) fn recording() -> bool {
    MODES.with_borrow(|modes| matches!(modes.last(), Some(Mode::Tape(_) | Mode::Pause)))
}

/// Fails where one of the tensors that `op` was given follows from a variable by one of candle's own
/// operators.
pub(crate) fn check(op: &str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().position(|tensor| tensor.track_op() && !tensor.is_variable()) {
        Some(i) => candle_core::bail!(
            "tape: {op}: tensor {} of {}, of shape {:?}, is what one of candle's own operators made of a \
             variable or a recorded result, and has no gradient here: compute it inside vdvae_ops::stock",
            i + 1,
            tensors.len(),
            tensors[i].dims()
        ),
        None => Ok(()),
    }
}

/// The result of an operator while this thread records: a variable where one of the inputs is.
pub(crate) fn result(storage: Storage, shape: impl Into<Shape>, inputs: &[&Tensor]) -> Tensor {
    let depends = inputs.iter().any(|input| input.is_variable());
    Tensor::from_storage(storage, shape, BackpropOp::none(), depends)
}

/// Records an operator where one of its inputs is tracked. `backward` takes the inputs, the
/// gradient of the result, which gradients are wanted, and what the inputs have so far, which is
/// its to write to; it returns the sums.
pub(crate) fn record<const N: usize>(
    inputs: [Tensor; N],
    result: &Tensor,
    passes_on: bool,
    backward: impl FnOnce(
        [&Tensor; N],
        &Tensor,
        [bool; N],
        [Option<Tensor>; N],
    ) -> Result<[Option<Tensor>; N]>
    + Send
    + 'static,
) {
    let wanted = inputs.each_ref().map(tracked);
    if !wanted.contains(&true) {
        return;
    }
    push(Node {
        results: vec![result.id()],
        inputs: ids_of(&inputs),
        backward: Box::new(move |upstream, held| {
            let [Some(upstream)] = &upstream[..] else { unreachable!("the only one is there") };
            let held = held.try_into().expect("one for each input");
            Ok(backward(inputs.each_ref(), upstream, wanted, held)?.into())
        }),
        passes_on,
    });
}

/// The inputs whose gradients are wanted.
fn ids_of<'a>(inputs: impl IntoIterator<Item = &'a Tensor>) -> Vec<Option<TensorId>> {
    inputs.into_iter().map(|input| tracked(input).then(|| input.id())).collect()
}

fn push(node: Node) {
    MODES.with_borrow_mut(|modes| match modes.last_mut() {
        Some(Mode::Tape(tape)) => tape.nodes.push(node),
        _ => unreachable!("something is tracked"),
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
/// Those of `f`, there and in the backward pass; in the latter also where `f` uses a variable or
/// a recorded result that is not among the inputs.
pub fn recomputed<const N: usize>(
    inputs: &[&Tensor],
    f: impl Fn() -> Result<[Tensor; N]> + Send + 'static,
) -> Result<[Tensor; N]> {
    let ids = ids_of(inputs.iter().copied());
    if !recording() || ids.iter().all(Option::is_none) {
        return f();
    }
    check("recomputed", inputs)?;
    let pause = Recording::start(Mode::Pause);
    let results = f()?;
    drop(pause);
    check("recomputed", &results.each_ref())?;
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
            let (results, tape) = Tape::record(f)?;
            for (result, upstream) in results.iter().zip(upstream) {
                if let Some(upstream) = upstream {
                    gradients.add(result.id(), upstream, true)?;
                }
            }
            drop(results);
            tape.walk(&mut gradients, |_, _| Ok(()))?;
            // What several inputs share is copied: the tape outside takes each for its own.
            let of_inputs = known.iter().map(|of| gradients.take(*of)).collect::<Result<_>>()?;
            if !gradients.0.is_empty() {
                candle_core::bail!("tape: what is recomputed uses a variable that is not an input");
            }
            Ok(of_inputs)
        }),
        passes_on: false,
    });
    Ok(results)
}

#[cfg(test)]
mod tests;
