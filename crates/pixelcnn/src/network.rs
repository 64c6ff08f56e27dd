//! The network: from a picture to the mixture of every pixel, given the pixels before it.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{D, DType, Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vdvae_model::{Array, ElboTerms, Noise, Weights, stream};
use vdvae_ops::{
    Tape, add, concat_elu, gated_add, joined_concat_elu, mixture_nll, mixture_sample, stock,
};

use crate::layer::Layer;
use crate::layout::{Block, Layout, SCALES, Streams};
use crate::{Error, PixelCnnConfig, Result};

/// Standard deviation of directions at first.
const DIRECTION_STD: f64 = 0.05;
/// Added to the variance that a layer is initialised by.
const VARIANCE_EPSILON: f64 = 1e-10;
/// What streams of random numbers are for: first directions, by layer; what blocks leave out; drawn
/// pixels.
const DIRECTIONS: u64 = 0;
const FIRST_BLOCK: u64 = 1;
const PIXELS: u64 = u64::MAX;

/// A PixelCNN++.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vdvae_pixelcnn::{PixelCnn, PixelCnnConfig};
///
/// let sizes = PixelCnnConfig { image_size: 8, filters: 4, blocks: 1, ..PixelCnnConfig::cifar10() };
/// let pictures = Tensor::zeros((2, 8, 8, 3), DType::U8, &Device::Cpu)?;
/// let weights = PixelCnn::initialise(&sizes, 0, &pictures)?;
/// let model = PixelCnn::new(&sizes, &weights)?;
/// assert_eq!(model.nll(&pictures)?.dims(), [2]);
/// assert_eq!(model.sample(2, 0)?.dims(), [2, 8, 8, 3]);
/// # Ok::<(), vdvae_pixelcnn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PixelCnn {
    pub(crate) config: PixelCnnConfig,
    pub(crate) layout: Layout,
    /// Flat parameters, one a layer.
    pub(crate) tensors: Vec<Tensor>,
}

/// How a forward pass goes.
#[derive(Default)]
struct Pass<'a> {
    /// What leaves out numbers inside blocks: seed, and number of the first picture.
    dropout: Option<(u64, u64)>,
    /// Where lengths and biases go that are found on the way.
    found: Option<&'a RefCell<Vec<Tensor>>>,
}

impl PixelCnn {
    /// A network with given weights, which must be exactly those of `config`.
    ///
    /// # Errors
    /// [`Error::Config`], and [`Error::Weights`] where they are others.
    pub fn new(config: &PixelCnnConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        Self::from_tensors(config, flat(&Layout::new(config), weights)?)
    }

    /// As [`Self::new`], from flat tensors; they may be variables.
    pub(crate) fn from_tensors(config: &PixelCnnConfig, tensors: Vec<Tensor>) -> Result<Self> {
        let layout = Layout::new(config);
        for (layer, tensor) in layout.layers.iter().zip(&tensors) {
            if tensor.dims() != [layer.parameters()] {
                let (name, expected) = (layer.name.clone(), format!("[{}]", layer.parameters()));
                return Err(Error::Weights {
                    name,
                    expected,
                    found: format!("{:?}", tensor.dims()),
                });
            }
        }
        if tensors.len() != layout.layers.len() {
            let (name, expected) = ("layers".to_owned(), layout.layers.len().to_string());
            return Err(Error::Weights { name, expected, found: tensors.len().to_string() });
        }
        Ok(Self { config: config.clone(), layout, tensors })
    }

    /// Random weights: directions that follow from the seed, and lengths and biases that give the results
    /// of every layer a mean of zero and one standard deviation on `pictures` (Salimans and Kingma,
    /// arXiv 1602.07868).
    ///
    /// # Shapes
    /// - `pictures`: u8 (N, H, W, 3)
    ///
    /// # Errors
    /// [`Error::Config`], and [`Error::Pictures`] for pictures of another size.
    pub fn initialise(config: &PixelCnnConfig, seed: u64, pictures: &Tensor) -> Result<Weights> {
        config.validate()?;
        let layout = Layout::new(config);
        let directions = layout.layers.iter().zip(0..).map(|(layer, number)| {
            let mut random = stream(seed, number, DIRECTIONS);
            let mut draw = || {
                DIRECTION_STD
                    * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut random)
            };
            let size = layer.shape.output * layer.shape.row();
            let mut flat: Vec<f32> = (0..size).map(|_| draw() as f32).collect();
            flat.extend(vec![1.0; layer.shape.output]);
            flat.extend(vec![0.0; layer.shape.output]);
            Tensor::new(flat, &Device::Cpu)
        });
        let tensors = directions.collect::<Result<Vec<_>, _>>()?;
        let found = RefCell::new(tensors.clone());
        let network = Self::from_tensors(config, tensors)?;
        let pass = Pass { found: Some(&found), ..Pass::default() };
        network.walk(&network.scaled(pictures)?, &pass)?;
        let network = Self { tensors: found.into_inner(), ..network };
        network.weights()
    }

    /// What it was built from.
    pub fn config(&self) -> &PixelCnnConfig {
        &self.config
    }

    /// Weights by name: of every layer its directions (output, row, column, input), lengths and biases.
    ///
    /// # Errors
    /// Where the memory does not suffice.
    pub fn weights(&self) -> Result<Weights> {
        named(&self.layout, &self.tensors)
    }

    /// Negative log-likelihood of pictures, exact.
    ///
    /// # Shapes
    /// - `images`: u8 (N, H, W, 3)
    /// - result: (N), nats per dimension
    ///
    /// # Errors
    /// [`Error::Pictures`] for pictures of another size.
    pub fn nll(&self, images: &Tensor) -> Result<Tensor> {
        self.nll_with(images, &Pass::default())
    }

    /// The mixture of every pixel given those before it, in the order of [`vdvae_ops::mixture_nll`].
    ///
    /// # Shapes
    /// - `x`: float32 (N, H, W, 3), bytes / 127.5 - 1
    /// - result: (N, H, W, 10M)
    ///
    /// # Errors
    /// Where shape or type do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.walk(x, &Pass::default())
    }

    fn nll_with(&self, images: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let logits = self.walk(&self.scaled(images)?, pass)?;
        Ok(mixture_nll(&logits, images, self.config.low_bit)?)
    }

    /// The loss and its gradient, see [`vdvae_train::Network`]. Numbers are left out by the noise's seed
    /// and pictures; without noise none are.
    pub(crate) fn loss_and_gradients(
        &self,
        images: &Tensor,
        noise: Noise,
        weight: f64,
        gradient: &mut dyn FnMut(usize, Tensor) -> candle_core::Result<()>,
    ) -> Result<ElboTerms> {
        let dropout = match noise {
            Noise::Zero => None,
            Noise::Seeded { seed, first } | Noise::SeededOnHost { seed, first } => {
                (self.config.dropout > 0.0).then_some((seed, first))
            }
        };
        let pass = Pass { dropout, found: None };
        let (distortion, tape) = Tape::record(|| self.nll_with(images, &pass))?;
        let seed = Tensor::full(weight as f32, distortion.shape(), &Device::Cpu)?;
        let numbers: HashMap<_, _> =
            self.tensors.iter().enumerate().map(|(i, tensor)| (tensor.id(), i)).collect();
        tape.backward_with(&[(&distortion, seed)], |variable, of| {
            gradient(numbers[&variable], of)
        })?;
        let rate = distortion.zeros_like()?.detach();
        Ok(ElboTerms { distortion, rate })
    }

    /// Pictures as the network reads them.
    pub(crate) fn scaled(&self, images: &Tensor) -> Result<Tensor> {
        let size = self.config.image_size;
        match (images.dtype(), images.dims()) {
            (DType::U8, &[_, h, w, 3]) if h == size && w == size => {
                Ok(((images.to_dtype(DType::F32)? / 127.5)? - 1.0)?)
            }
            (dtype, dims) => Err(Error::Pictures { size, found: format!("{dtype:?} {dims:?}") }),
        }
    }

    /// The two streams up to the smallest scale, and back, with short cuts from each place to the one of
    /// the same scale.
    fn walk(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let Layout { up, down, shrink, enlarge, .. } = &self.layout;
        let x = Tensor::cat(&[x, &x.narrow(D::Minus1, 0, 1)?.ones_like()?], D::Minus1)?;
        let [row, column] = &self.layout.first_beside;
        let mut above = self.layer(&self.layout.first_above, &x, pass)?;
        let mut beside = add(&self.layer(row, &x, pass)?, &self.layer(column, &x, pass)?)?;
        // What every place on the way up gives to the one on the way down.
        let mut kept = Vec::new();
        for scale in 0..SCALES {
            if scale > 0 {
                above = self.layer(&shrink[scale - 1].above, &above, pass)?;
                beside = self.layer(&shrink[scale - 1].beside, &beside, pass)?;
            }
            kept.push((above.clone(), beside.clone()));
            for blocks in &up[scale] {
                above = self.block(&blocks.above, &above, None, pass)?;
                let skip = concat_elu(&above)?;
                beside = self.block(&blocks.beside, &beside, Some(&skip), pass)?;
                kept.push((above.clone(), beside.clone()));
            }
        }
        // The smallest scale begins where it ended.
        kept.pop();
        for scale in (0..SCALES).rev() {
            if scale + 1 < SCALES {
                above = self.layer(&enlarge[scale].above, &above, pass)?;
                beside = self.layer(&enlarge[scale].beside, &beside, pass)?;
            }
            for Streams { above: over, beside: next_to } in &down[scale] {
                let (kept_above, kept_beside) = kept.pop().expect("one for each block");
                above = self.block(over, &above, Some(&concat_elu(&kept_above)?), pass)?;
                let skip = joined_concat_elu(&above, &kept_beside)?;
                beside = self.block(next_to, &beside, Some(&skip), pass)?;
            }
        }
        let last = stock([&beside], |[x]| x.elu(1.0))?;
        self.layer(&self.layout.out, &last, pass)
    }

    /// `skip` is already activated.
    fn block(
        &self,
        block: &Block,
        x: &Tensor,
        skip: Option<&Tensor>,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let mut hidden = self.layer(&block.first, &concat_elu(x)?, pass)?;
        if let (Some(layer), Some(skip)) = (&block.skip, skip) {
            hidden = add(&hidden, &self.layer(layer, skip, pass)?)?;
        }
        let mut hidden = concat_elu(&hidden)?;
        if let Some((seed, first)) = pass.dropout {
            let mask = self.mask(hidden.dims(), seed, first, block.number)?;
            hidden = stock([&hidden], |[hidden]| hidden * &mask)?;
        }
        Ok(gated_add(x, &self.layer(&block.second, &hidden, pass)?)?)
    }

    /// Zeros where a number is left out, elsewhere what makes up for them. A function of seed, picture
    /// and block.
    fn mask(&self, dims: &[usize], seed: u64, first: u64, block: u64) -> Result<Tensor> {
        let each: usize = dims[1..].iter().product();
        let left_out = (self.config.dropout * 2f64.powi(32)) as u32;
        let kept = (1.0 / (1.0 - self.config.dropout)) as f32;
        let mut mask = Vec::with_capacity(dims[0] * each);
        for (_, picture) in (0..dims[0]).zip(first..) {
            let mut random = stream(seed, picture, FIRST_BLOCK + block);
            let number = |random: &mut ChaCha8Rng| random.random::<u32>() >= left_out;
            mask.extend((0..each).map(|_| if number(&mut random) { kept } else { 0.0 }));
        }
        Ok(Tensor::from_vec(mask, dims, &Device::Cpu)?)
    }

    fn layer(&self, layer: &Layer, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let parameters = &self.tensors[layer.index];
        let y = layer.run(x, &layer.weights(parameters)?)?;
        let Some(found) = pass.found else { return Ok(y) };
        // Lengths are 1 and biases 0 so far.
        let mean = y.mean((0, 1, 2))?;
        let variance = y.broadcast_sub(&mean)?.sqr()?.mean((0, 1, 2))?;
        let length = ((variance + VARIANCE_EPSILON)?.sqrt()?.recip()? * layer.scale)?;
        let bias = (&mean * &length)?.neg()?;
        let directions = parameters.narrow(0, 0, layer.shape.output * layer.shape.row())?;
        found.borrow_mut()[layer.index] = Tensor::cat(&[&directions, &length, &bias], 0)?;
        Ok(y.broadcast_mul(&length)?.broadcast_add(&bias)?)
    }

    /// Draws pictures pixel by pixel, each from the whole network: the plain way, to compare
    /// [`Self::sample`] with, which gives the same pictures.
    ///
    /// # Shapes
    /// - result: u8 (n, H, W, 3)
    ///
    /// # Errors
    /// Where the memory does not suffice.
    pub fn sample_naive(&self, n: usize, seed: u64) -> Result<Tensor> {
        let size = self.config.image_size;
        let mut bytes = vec![0u8; n * self.config.dimensions()];
        let mut random: Vec<_> = (0..n as u64).map(|i| pixels_of(seed, i)).collect();
        for y in 0..size {
            for x in 0..size {
                let images = Tensor::from_slice(&bytes, (n, size, size, 3), &Device::Cpu)?;
                let logits =
                    self.forward(&self.scaled(&images)?)?.narrow(1, y, 1)?.narrow(2, x, 1)?;
                for (i, random) in random.iter_mut().enumerate() {
                    let colours = draw(&logits.narrow(0, i, 1)?, random)?;
                    bytes[((i * size + y) * size + x) * 3..][..3].copy_from_slice(&colours);
                }
            }
        }
        Ok(Tensor::from_vec(bytes, (n, size, size, 3), &Device::Cpu)?)
    }
}

/// The random numbers that a picture's pixels are drawn with.
pub(crate) fn pixels_of(seed: u64, picture: u64) -> ChaCha8Rng {
    stream(seed, picture, PIXELS)
}

/// The colours of one pixel from its mixture, (1, 1, 1, 10M).
pub(crate) fn draw(logits: &Tensor, random: &mut ChaCha8Rng) -> Result<Vec<u8>> {
    Ok(mixture_sample(logits, || random.random::<f64>())?.flatten_all()?.to_vec1()?)
}

/// The names and sizes of a layer's arrays, in the order of its flat parameters.
fn arrays(layer: &Layer) -> [(String, Vec<usize>); 3] {
    let shape = layer.shape;
    let directions = vec![shape.output, shape.rows, shape.columns, shape.input];
    let of = |what: &str, shape| (format!("{}.{what}", layer.name), shape);
    [of("v", directions), of("g", vec![shape.output]), of("b", vec![shape.output])]
}

/// Weights by name.
pub(crate) fn named(layout: &Layout, tensors: &[Tensor]) -> Result<Weights> {
    let mut weights = Weights::new();
    for (layer, tensor) in layout.layers.iter().zip(tensors) {
        let flat = tensor.to_vec1::<f32>()?;
        let mut rest = &flat[..];
        for (name, shape) in arrays(layer) {
            let (data, after) = rest.split_at(shape.iter().product());
            weights.insert(name, Array::new(shape, data.to_vec()));
            rest = after;
        }
    }
    Ok(weights)
}

/// The way back from [`named`].
pub(crate) fn flat(layout: &Layout, weights: &Weights) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::with_capacity(layout.layers.len());
    for layer in &layout.layers {
        let mut flat = Vec::with_capacity(layer.parameters());
        for (name, shape) in arrays(layer) {
            let found = weights.get(&name);
            match found {
                Some(array) if array.shape() == shape => flat.extend_from_slice(array.data()),
                _ => {
                    let found =
                        found.map_or("none".to_owned(), |array| format!("{:?}", array.shape()));
                    return Err(Error::Weights { name, expected: format!("{shape:?}"), found });
                }
            }
        }
        tensors.push(Tensor::new(flat, &Device::Cpu)?);
    }
    if weights.len() != 3 * tensors.len() {
        let expected = format!("{} arrays", 3 * tensors.len());
        let found = format!("{} arrays", weights.len());
        return Err(Error::Weights { name: "layers".to_owned(), expected, found });
    }
    match weights.not_finite() {
        None => Ok(tensors),
        Some(found) => {
            let (name, expected) = ("weights".to_owned(), "finite numbers".to_owned());
            Err(Error::Weights { name, expected, found })
        }
    }
}
