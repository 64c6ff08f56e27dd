//! Candle's own operators between this crate's, with a place on the tape.

use candle_core::backend::BackendStorage;
use candle_core::op::Add;
use candle_core::{DType, Layout, Result, Storage, Tensor, Var};

use super::{Mode, Recording, check, record, recording, result, tracked};
use crate::shape::same_shape;
use crate::storage::{Storages, with_storages};

/// What `f` computes with candle's own operators, differentiated by candle's graph.
///
/// This is how a network of this crate's operators and of candle's is trained on a [`super::Tape`]:
/// between recorded operators the tape knows nothing of candle's, and refuses what they return.
/// Without a recording `f` is called, and nothing else. The graph is kept until the tape has passed
/// it, and so is everything that candle keeps for it.
///
/// `inputs` are all tensors whose gradients `f` takes part in: variables, such as the weights of a
/// layer of candle's, and what was computed from some. A recording calls `f` twice, once with
/// constants, which shows whether it uses others.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use vdvae_ops::{Tape, scale, stock};
///
/// let x = Var::new(&[0.5f32, -1.0], &Device::Cpu)?;
/// let (y, tape) = Tape::record(|| {
///     let y = scale(&x, 2.0)?;
///     let y = stock([&y], |[y]| y.sqr())?;
///     scale(&y, 3.0)
/// })?;
/// let mut gradients = tape.backward(&[(&y, y.ones_like()?)])?;
/// // 3 · (2x)², whose slope is 24x.
/// assert_eq!(gradients.remove(&x).expect("y depends on x").to_vec1::<f32>()?, [12.0, -24.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// Those of `f`, there and in the backward pass; where it uses a variable or a recorded result that
/// is not among the inputs.
pub fn stock<const N: usize>(
    inputs: [&Tensor; N],
    f: impl Fn([&Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    if !recording() {
        return f(inputs);
    }
    check("stock", &inputs)?;
    let again = inputs.into_iter().any(tracked);
    let in_graph = Recording::start(Mode::Graph);
    let constants = inputs.map(Tensor::detach);
    let mut of_graph = f(constants.each_ref())?;
    if of_graph.track_op() {
        candle_core::bail!(
            "tape: stock: the result, of shape {:?}, depends on a variable or a recorded result that is not \
             among the inputs",
            of_graph.dims()
        );
    }
    if again {
        of_graph = f(inputs)?;
    }
    drop(in_graph);
    if of_graph.is_variable() || !inputs.iter().any(|input| input.is_variable()) {
        return Ok(of_graph);
    }
    // A variable is made of a copy.
    let result = Var::from_tensor(&of_graph.detach())?.into_inner();
    record(inputs.map(Tensor::clone), &result, true, move |inputs, upstream, wanted, held| {
        let mut found = (of_graph * upstream)?.sum_all()?.backward()?;
        let mut sums = held;
        for ((sum, input), _) in
            sums.iter_mut().zip(inputs).zip(wanted).filter(|(_, wanted)| *wanted)
        {
            *sum = both(sum.take(), found.remove(input))?;
        }
        Ok(sums)
    });
    Ok(result)
}

/// Every pixel of `x` as `rate` × `rate` pixels, which its channels are divided among: first those of the
/// upper left one, then row by row.
///
/// # Shapes
/// - `x`: (N, H, W, `rate`² · C)
/// - result: (N, H · `rate`, W · `rate`, C)
///
/// # Errors
/// Where the square of the rate does not divide the channels.
pub fn pixel_shuffle(x: &Tensor, rate: usize) -> Result<Tensor> {
    let (n, height, width, channels) = x.dims4()?;
    if rate == 0 || !channels.is_multiple_of(rate * rate) {
        candle_core::bail!(
            "pixel_shuffle: expected channels that the square of {rate} divides, found {channels}"
        );
    }
    stock([x], |[x]| {
        let x = x.reshape((n, height, width, rate, rate, channels / (rate * rate)))?;
        let x = x.permute((0, 1, 3, 2, 4, 5))?.contiguous()?;
        x.reshape((n, height * rate, width * rate, channels / (rate * rate)))
    })
}

/// The sum of two gradients, or the one there is.
fn both(a: Option<Tensor>, b: Option<Tensor>) -> Result<Option<Tensor>> {
    match (a, b) {
        (Some(a), Some(b)) => (a + b).map(Some),
        (a, b) => Ok(a.or(b)),
    }
}

/// One of candle's operators on storages, so without its graph, that has a gradient of its result's
/// alone, the same for every input.
trait Small<const N: usize>: Send + 'static {
    fn run<S: BackendStorage>(&self, inputs: [(&S, &Layout); N]) -> Result<S>;
    fn gradient(&self, upstream: &Tensor) -> Result<Tensor>;
}

/// Applies a small operator while this thread records.
fn recorded<const N: usize>(
    name: &'static str,
    inputs: [&Tensor; N],
    operator: impl Small<N>,
) -> Result<Tensor> {
    check(name, &inputs)?;
    let storage = with_storages(name, inputs, |storages| match storages {
        Storages::Cpu(inputs) => operator.run(inputs).map(Storage::Cpu),
        #[cfg(feature = "cuda")]
        Storages::Gpu(inputs) => operator.run(inputs).map(Storage::Cuda),
    })?;
    let result = result(storage, inputs[0].shape(), &inputs);
    record(inputs.map(Tensor::clone), &result, true, move |_, upstream, wanted, held| {
        let gradient = operator.gradient(upstream)?;
        let mut sums = held;
        for (sum, _) in sums.iter_mut().zip(wanted).filter(|(_, wanted)| *wanted) {
            *sum = both(sum.take(), Some(gradient.clone()))?;
        }
        Ok(sums)
    });
    Ok(result)
}

struct Sum;

impl Small<2> for Sum {
    fn run<S: BackendStorage>(&self, [(x, of_x), (y, of_y)]: [(&S, &Layout); 2]) -> Result<S> {
        x.binary_impl::<Add>(y, of_x, of_y)
    }

    fn gradient(&self, upstream: &Tensor) -> Result<Tensor> {
        Ok(upstream.clone())
    }
}

struct Scale(f64);

impl Small<1> for Scale {
    fn run<S: BackendStorage>(&self, [(x, layout)]: [(&S, &Layout); 1]) -> Result<S> {
        x.affine(layout, self.0, 0.0)
    }

    fn gradient(&self, upstream: &Tensor) -> Result<Tensor> {
        upstream * self.0
    }
}

struct Cast {
    from: DType,
    to: DType,
}

impl Small<1> for Cast {
    fn run<S: BackendStorage>(&self, [(x, layout)]: [(&S, &Layout); 1]) -> Result<S> {
        x.to_dtype(layout, self.to)
    }

    fn gradient(&self, upstream: &Tensor) -> Result<Tensor> {
        upstream.to_dtype(self.from)
    }
}

/// `x + y`, of one shape.
///
/// # Errors
/// Where the shapes or number types differ.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    same_shape("add", "the second tensor", x.dims(), y.shape())?;
    match recording() {
        true => recorded("add", [x, y], Sum),
        false => x + y,
    }
}

/// `x · factor`
///
/// # Errors
/// Where candle does not multiply numbers of this type.
pub fn scale(x: &Tensor, factor: f64) -> Result<Tensor> {
    match recording() {
        true => recorded("scale", [x], Scale(factor)),
        false => x * factor,
    }
}

/// The same numbers in another type; the tensor itself where it has that type.
///
/// # Errors
/// Where candle does not convert between the types.
pub fn cast(x: &Tensor, to: DType) -> Result<Tensor> {
    let from = x.dtype();
    match recording() {
        _ if from == to => Ok(x.clone()),
        true => recorded("cast", [x], Cast { from, to }),
        false => x.to_dtype(to),
    }
}
