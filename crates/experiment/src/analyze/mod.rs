//! What every layer holds, whether it can be read again, and where what a task asks for is born.

mod scores;
mod sums;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::Serialize;
use vdvae_datasets::{AHEAD_OF_GPU, Batches, Dataset, OnBadImage, Preparation, Split, read_ahead};
use vdvae_model::{LatentMode, Noise, Vdvae};

pub use self::scores::{LayerScores, Score, layer_scores};
use self::sums::Sums;
use crate::error::{Error, Result};

/// Variance over pictures above which a unit's posterior mean counts as active (Burda et al. 2015).
const ACTIVE: f64 = 0.01;
/// The share of the information that the fewest dimensions are counted for.
const MOST: f64 = 0.95;

/// A network, the pictures it is looked at with, and how many.
pub struct Analysis<'a> {
    /// The network.
    pub model: &'a Vdvae,
    /// The pictures.
    pub data: &'a dyn Dataset,
    /// Which of them.
    pub split: Split,
    /// How they are cut and resized.
    pub preparation: Preparation,
    /// What happens to one that cannot be read.
    pub on_bad_image: OnBadImage,
    /// Pictures, evenly spaced over the split.
    pub pictures: usize,
    /// The first of those that are decoded from the first k layers, for every k; none for 0.
    pub decoded: usize,
    /// Pictures that pass through the network at once, on each thread.
    pub batch_size: usize,
    /// Seed of all noise.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// Pictures that means are over.
    pub images: usize,
    /// Pictures that were decoded from the first layers alone.
    pub decoded: usize,
    /// KL from posterior to prior of all layers, nats a picture.
    pub kl_nats: f64,
    /// Latent dimensions of all layers.
    pub dimensions: usize,
    /// The fewest of them that hold 95% of the KL.
    pub dimensions_95: usize,
    /// One entry a layer, top first.
    pub layers: Vec<LayerFindings>,
}

/// What one layer holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerFindings {
    /// Number of the layer, from 0 at the top.
    pub index: usize,
    /// Side r of its grid.
    pub resolution: usize,
    /// Its latent dimensions: r · r · Z.
    pub dimensions: usize,
    /// KL from posterior to prior, nats a picture.
    pub kl_nats: f64,
    /// How many of its dimensions are among the fewest of the network that hold 95% of the KL.
    pub dimensions_95: usize,
    /// Dimensions whose posterior means vary over pictures by more than 0.01 (Burda et al. 2015).
    pub active: usize,
    /// Correlation over pictures of two samples of a dimension, drawn through all layers: the mean
    /// over dimensions. None of one picture.
    pub reliability: Option<f64>,
    /// Pictures decoded from this layer and those above; none where none were.
    pub depth: Option<Depth>,
}

/// Pictures decoded from the layers down to one, the others drawn from the prior: a code that sends no
/// more than those.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Depth {
    /// KL of the layers sent, bits per dimension.
    pub rate: f64,
    /// Negative log-likelihood of the pictures given them, bits per dimension.
    pub distortion: f64,
}

impl Analysis<'_> {
    /// Looks at the pictures. `progress` is told how many passed.
    ///
    /// # Errors
    /// Those of the data set and the network; [`Error::NoPictures`] where none could be read;
    /// [`Error::Setting`] for no pictures.
    pub fn run(&self, progress: impl Fn(usize) + Sync) -> Result<LayerReport> {
        if self.pictures == 0 || self.batch_size == 0 {
            let problem = "expected at least 1, found 0".to_owned();
            return Err(Error::Setting { setting: "pictures", problem });
        }
        self.data.require(&[self.split])?;
        let on_cpu = self.model.device().is_cpu();
        let at_once = if on_cpu { rayon::current_num_threads() } else { 1 };
        let batches = Batches::new(self.data, self.split, self.preparation)
            .on_bad_image(self.on_bad_image)
            .evenly_spaced(self.pictures)
            .size(self.batch_size);
        let mut sums = Sums::new(self.model.config());
        let (mut first, mut depths) = (0, Depths::new(self.model));
        read_ahead(if on_cpu { 0 } else { AHEAD_OF_GPU }, batches, |batches| {
            loop {
                let group = (&mut *batches).take(at_once).collect::<Result<Vec<_>, _>>()?;
                if group.is_empty() {
                    return Ok::<_, Error>(());
                }
                let mut work = Vec::new();
                for batch in group.into_iter().filter(|batch| !batch.is_empty()) {
                    let n = batch.len();
                    work.push((self.model.pixels(batch.pixels)?, first));
                    first += n as u64;
                }
                let parts = work.into_par_iter().map(|(pixels, first)| {
                    let part = self.look(&pixels, first)?;
                    progress(pixels.dim(0)?);
                    Ok(part)
                });
                // In their order, so that sums do not depend on the threads.
                for (part, depth) in parts.collect::<Result<Vec<_>>>()? {
                    sums.add(&part);
                    depths.add(&depth);
                }
            }
        })?;
        if sums.images == 0 {
            let data = self.data.name().to_owned();
            return Err(Error::NoPictures { data, split: self.split });
        }
        Ok(self.report(&sums, &depths))
    }

    /// What one batch adds, whose first picture has this number.
    fn look(&self, pixels: &Tensor, first: u64) -> Result<(Sums, Depths)> {
        let config = self.model.config();
        let n = pixels.dim(0)?;
        let mut sums = Sums { images: n, ..Sums::new(config) };
        let activations = self.model.encode(pixels)?;
        let sample = |draw| LatentMode::PosteriorSample { seed: self.draw_seed(draw), first };
        let values = |tensor: &Tensor| tensor.flatten_from(1)?.to_vec2::<f32>();
        let keep_going = std::ops::ControlFlow::Continue(());

        let mut kl = Vec::new();
        let mut drawn = Vec::new();
        self.model.visit_layers(&activations, sample(0), |layer| {
            kl.push(layer.kl()?);
            drawn.push(layer.z()?);
            Ok(keep_going)
        })?;
        let mut again = Vec::new();
        self.model.visit_layers(&activations, sample(1), |layer| {
            again.push(layer.z()?);
            Ok(keep_going)
        })?;
        let mut means = Vec::new();
        self.model.visit_layers(&activations, LatentMode::PosteriorMean, |layer| {
            means.push(layer.mean()?);
            Ok(keep_going)
        })?;
        for (index, layer) in sums.layers.iter_mut().enumerate() {
            layer.add_kl(&values(&kl[index])?);
            layer.add_draws(&values(&drawn[index])?, &values(&again[index])?);
            layer.add_means(&values(&means[index])?);
        }

        let mut depths = Depths::new(self.model);
        let decoded = (self.decoded as u64).saturating_sub(first).min(n as u64) as usize;
        if decoded > 0 {
            depths.images = decoded;
            let pixels = pixels.narrow(0, 0, decoded)?;
            let cut = |layer: &Tensor| Ok(layer.narrow(0, 0, decoded)?.contiguous()?);
            let given = drawn.iter().map(cut).collect::<Result<Vec<_>>>()?;
            let noise = Noise::Seeded { seed: self.draw_seed(2), first };
            for layers in 1..=given.len() {
                let nats = kl[layers - 1].narrow(0, 0, decoded)?.sum_all()?.to_scalar::<f32>()?;
                depths.kl_nats[layers - 1] = nats.into();
                let terms = self.model.distortion(&pixels, &given[..layers], noise, 1.0)?;
                depths.distortion[layers - 1] = f64::from(terms.sum_all()?.to_scalar::<f32>()?);
            }
        }
        Ok((sums, depths))
    }

    /// Seed of one of several draws, apart from each other.
    fn draw_seed(&self, draw: u64) -> u64 {
        // The golden ratio, as multiples of it lie far from each other.
        self.seed.wrapping_add(draw.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn report(&self, sums: &Sums, depths: &Depths) -> LayerReport {
        let shapes = self.model.config().latent_layers();
        let least = sums.least_of_most(MOST);
        let to_bits = (self.model.dimensions() as f64 * std::f64::consts::LN_2).recip();
        let mut sent = 0.0;
        let layers = shapes.iter().zip(&sums.layers).map(|(shape, layer)| {
            let decoded = depths.images as f64;
            sent += depths.kl_nats[shape.index];
            let depth = (depths.images > 0).then(|| Depth {
                rate: sent / decoded * to_bits,
                distortion: depths.distortion[shape.index] / decoded / std::f64::consts::LN_2,
            });
            LayerFindings {
                index: shape.index,
                resolution: shape.resolution,
                dimensions: layer.dimensions(),
                kl_nats: layer.kl_nats(sums.images),
                dimensions_95: layer.count_above(least),
                active: layer.active(sums.images, ACTIVE),
                reliability: layer.reliability(sums.images),
                depth,
            }
        });
        let layers: Vec<LayerFindings> = layers.collect();
        LayerReport {
            images: sums.images,
            decoded: depths.images,
            kl_nats: layers.iter().map(|layer| layer.kl_nats).sum(),
            dimensions: layers.iter().map(|layer| layer.dimensions).sum(),
            dimensions_95: layers.iter().map(|layer| layer.dimensions_95).sum(),
            layers,
        }
    }
}

/// Sums over pictures that were decoded from the first layers, one entry a layer.
struct Depths {
    images: usize,
    kl_nats: Vec<f64>,
    /// Nats per dimension.
    distortion: Vec<f64>,
}

impl Depths {
    fn new(model: &Vdvae) -> Self {
        let layers = model.config().latent_layers().len();
        Self { images: 0, kl_nats: vec![0.0; layers], distortion: vec![0.0; layers] }
    }

    fn add(&mut self, other: &Self) {
        self.images += other.images;
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        add(&mut self.kl_nats, &other.kl_nats);
        add(&mut self.distortion, &other.distortion);
    }
}

#[cfg(test)]
mod tests;
