//! Drawing pictures with everything kept that was computed before.
//!
//! Ramachandran et al., "Fast Generation for Convolutional Autoregressive Models", arXiv 1704.06001.
//! A drawn pixel changes nothing above it or to its left, so each place of each layer is computed once:
//! the stream that sees the rows above a row at a time, the other a pixel at a time, and the smaller
//! scales at every second and fourth of both.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use vdvae_ops::{WindowShape, add, concat_elu, gated_add, joined_concat_elu, window_conv};

use crate::layer::Layer;
use crate::layout::{Block, Layout, SCALES, Streams};
use crate::network::{draw, pixels_of};
use crate::{PixelCnn, Result};

impl PixelCnn {
    /// Draws pictures pixel by pixel, computing what is new at each.
    ///
    /// A picture depends on the seed and its number, not on how many there are.
    ///
    /// # Shapes
    /// - result: u8 (n, H, W, 3)
    ///
    /// # Errors
    /// Where the memory does not suffice.
    pub fn sample(&self, n: usize, seed: u64) -> Result<Tensor> {
        let size = self.config.image_size;
        if n == 0 {
            return Ok(Tensor::zeros((0, size, size, 3), DType::U8, &Device::Cpu)?);
        }
        let layers = self.layout.layers.iter();
        let weights = layers.map(|layer| layer.weights(&self.tensors[layer.index]));
        let weights = weights.collect::<Result<Vec<_>, _>>()?;
        // One thread each: a pixel has too little work to divide.
        let groups = rayon::current_num_threads().min(n);
        let group = |i: usize| {
            let pictures = n * i / groups..n * (i + 1) / groups;
            Sampler::new(self, &weights, pictures.len()).run(pictures, seed)
        };
        let bytes: Vec<Vec<u8>> = (0..groups).into_par_iter().map(group).collect::<Result<_>>()?;
        Ok(Tensor::from_vec(bytes.concat(), (n, size, size, 3), &Device::Cpu)?)
    }
}

/// Numbers of every pixel of some pictures, NHWC, as far as they were computed.
struct Plane {
    size: usize,
    channels: usize,
    data: Vec<f32>,
}

/// Pixels side by side in one row.
#[derive(Clone)]
struct Strip {
    y: usize,
    xs: Range<usize>,
}

impl Strip {
    /// The pixels that these become when each becomes 2 × 2.
    fn enlarged(&self) -> [Self; 2] {
        [0, 1].map(|row| Self { y: 2 * self.y + row, xs: 2 * self.xs.start..2 * self.xs.end })
    }
}

impl Plane {
    fn new(n: usize, size: usize, channels: usize) -> Self {
        Self { size, channels, data: vec![0.0; n * size * size * channels] }
    }

    fn pictures(&self) -> usize {
        self.data.len() / (self.size * self.size * self.channels)
    }

    fn at(&self, picture: usize, y: usize, x: usize) -> usize {
        ((picture * self.size + y) * self.size + x) * self.channels
    }

    /// What a convolution reads for the results of a strip: (N, 1, pixels, numbers of a window).
    fn windows(&self, shape: WindowShape, strip: &Strip) -> Result<Tensor> {
        let (n, channels) = (self.pictures(), self.channels);
        let mut data = Vec::with_capacity(n * strip.xs.len() * shape.row());
        let inside = |place: usize| place.checked_sub(1).filter(|&place| place < self.size);
        for picture in 0..n {
            for x in strip.xs.clone() {
                for row in 0..shape.rows {
                    for column in 0..shape.columns {
                        // One more than the pixel's place, which may lie outside.
                        let y = (strip.y * shape.stride + row + 1).checked_sub(shape.above);
                        let x = (x * shape.stride + column + 1).checked_sub(shape.left);
                        match (y.and_then(inside), x.and_then(inside)) {
                            (Some(y), Some(x)) => {
                                let from = self.at(picture, y, x);
                                data.extend_from_slice(&self.data[from..][..channels]);
                            }
                            _ => data.resize(data.len() + channels, 0.0),
                        }
                    }
                }
            }
        }
        let dims = (n, 1, strip.xs.len(), shape.row());
        Ok(Tensor::from_vec(data, dims, &Device::Cpu)?)
    }

    /// (N, 1, pixels, channels)
    fn get(&self, strip: &Strip) -> Result<Tensor> {
        let (n, channels) = (self.pictures(), self.channels);
        let rows = (0..n).flat_map(|picture| {
            let from = self.at(picture, strip.y, strip.xs.start);
            &self.data[from..][..strip.xs.len() * channels]
        });
        let data: Vec<f32> = rows.copied().collect();
        Ok(Tensor::from_vec(data, (n, 1, strip.xs.len(), channels), &Device::Cpu)?)
    }

    /// Writes one strip, or several that lie below each other in `values`.
    fn put(&mut self, strips: &[Strip], values: &Tensor) -> Result<()> {
        let values = values.flatten_all()?.to_vec1::<f32>()?;
        let mut rows = values.chunks_exact(strips[0].xs.len() * self.channels);
        for picture in 0..self.pictures() {
            for strip in strips {
                let to = self.at(picture, strip.y, strip.xs.start);
                let row = rows.next().expect("a row for each");
                self.data[to..][..row.len()].copy_from_slice(row);
            }
        }
        Ok(())
    }
}

/// What is kept of a block: what its convolutions read, and its result.
struct Kept {
    first: Plane,
    second: Plane,
    result: Plane,
}

/// What is kept of one stream.
struct Stream {
    /// Of each scale, before its first block up.
    start: Vec<Plane>,
    up: Vec<Vec<Kept>>,
    /// Of each scale but the smallest, before its first block down.
    enlarged: Vec<Plane>,
    down: Vec<Vec<Kept>>,
}

impl Stream {
    fn new(layout: &Layout, n: usize, image_size: usize, filters: usize) -> Self {
        let plane = |scale: usize, channels| Plane::new(n, image_size >> scale, channels);
        let kept = |scale: usize, blocks: usize| -> Vec<Kept> {
            let each = |_| Kept {
                first: plane(scale, 2 * filters),
                second: plane(scale, 2 * filters),
                result: plane(scale, filters),
            };
            (0..blocks).map(each).collect()
        };
        Self {
            start: (0..SCALES).map(|scale| plane(scale, filters)).collect(),
            up: (0..SCALES).map(|scale| kept(scale, layout.up[scale].len())).collect(),
            enlarged: (0..SCALES - 1).map(|scale| plane(scale, filters)).collect(),
            down: (0..SCALES).map(|scale| kept(scale, layout.down[scale].len())).collect(),
        }
    }

    /// The place on the way up that block `k` on the way down has its short cut from: the last one first.
    fn short_cut(&self, scale: usize, k: usize) -> &Plane {
        // The smallest scale begins where it ended, so that its first short cut is the one before.
        let back = k + usize::from(scale + 1 == SCALES);
        match self.up[scale].len() - back {
            0 => &self.start[scale],
            block => &self.up[scale][block - 1].result,
        }
    }
}

/// Pictures that are being drawn.
struct Sampler<'a> {
    layout: &'a Layout,
    /// As they are computed, one a layer.
    weights: &'a [Tensor],
    n: usize,
    size: usize,
    /// Colours and ones.
    pixels: Plane,
    above: Stream,
    beside: Stream,
}

impl<'a> Sampler<'a> {
    fn new(model: &'a PixelCnn, weights: &'a [Tensor], n: usize) -> Self {
        let (layout, size) = (&model.layout, model.config.image_size);
        let stream = || Stream::new(layout, n, size, model.config.filters);
        let mut pixels = Plane::new(n, size, 4);
        pixels.data.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 1.0);
        Self { layout, weights, n, size, pixels, above: stream(), beside: stream() }
    }

    /// The bytes of pictures of these numbers, NHWC.
    fn run(mut self, pictures: Range<usize>, seed: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.n * self.size * self.size * 3];
        let mut random: Vec<_> = pictures.map(|i| pixels_of(seed, i as u64)).collect();
        for y in 0..self.size {
            self.row(y)?;
            for x in 0..self.size {
                let logits = self.pixel(y, x)?;
                for (i, random) in random.iter_mut().enumerate() {
                    let colours = draw(&logits.narrow(0, i, 1)?, random)?;
                    let place = self.pixels.at(i, y, x);
                    for (to, &byte) in self.pixels.data[place..].iter_mut().zip(&colours) {
                        *to = f32::from(byte) / 127.5 - 1.0;
                    }
                    bytes[place / 4 * 3..][..3].copy_from_slice(&colours);
                }
            }
        }
        Ok(bytes)
    }

    /// Computes the stream that sees the rows above for a row, which depends on no pixel of it.
    fn row(&mut self, y: usize) -> Result<()> {
        let scales = scales_at(y);
        let strip = |scale: usize| Strip { y: y >> scale, xs: 0..self.size >> scale };
        let Self { layout, weights, pixels, above: stream, .. } = self;
        for scale in 0..scales {
            let here = strip(scale);
            let (layer, from) = match scale.checked_sub(1) {
                None => (&layout.first_above, &*pixels),
                Some(last) => (&layout.shrink[last].above, stream.end_of_up(last)),
            };
            let mut x = apply(layer, from, &here, weights)?;
            stream.start[scale].put(std::slice::from_ref(&here), &x)?;
            for (Streams { above, .. }, kept) in layout.up[scale].iter().zip(&mut stream.up[scale])
            {
                x = kept.block(above, &x, None, &here, weights)?;
            }
        }
        for scale in (0..scales).rev() {
            let here = strip(scale);
            let mut x = stream.start_of_down(scale).get(&here)?;
            for (k, Streams { above, .. }) in layout.down[scale].iter().enumerate() {
                let skip = concat_elu(&stream.short_cut(scale, k).get(&here)?)?;
                x = stream.down[scale][k].block(above, &x, Some(&skip), &here, weights)?;
            }
            if let Some(next) = scale.checked_sub(1) {
                let layer = &layout.enlarge[next].above;
                let x = layer.run(&x, &weights[layer.index])?;
                stream.enlarged[next].put(&here.enlarged(), &x)?;
            }
        }
        Ok(())
    }

    /// Computes the other stream at a pixel; returns the mixtures, (N, 1, 1, 10M).
    fn pixel(&mut self, y: usize, x: usize) -> Result<Tensor> {
        let scales = scales_at(y | x);
        let strip = |scale: usize| Strip { y: y >> scale, xs: x >> scale..(x >> scale) + 1 };
        let Self { layout, weights, pixels, above, beside: stream, .. } = self;
        for scale in 0..scales {
            let here = strip(scale);
            let mut x = match scale.checked_sub(1) {
                None => {
                    let [row, column] = &layout.first_beside;
                    let row = apply(row, pixels, &here, weights)?;
                    add(&row, &apply(column, pixels, &here, weights)?)?
                }
                Some(last) => {
                    let from = stream.end_of_up(last);
                    apply(&layout.shrink[last].beside, from, &here, weights)?
                }
            };
            stream.start[scale].put(std::slice::from_ref(&here), &x)?;
            for (k, Streams { beside, .. }) in layout.up[scale].iter().enumerate() {
                let skip = concat_elu(&above.up[scale][k].result.get(&here)?)?;
                x = stream.up[scale][k].block(beside, &x, Some(&skip), &here, weights)?;
            }
        }
        for scale in (0..scales).rev() {
            let here = strip(scale);
            let mut x = stream.start_of_down(scale).get(&here)?;
            for (k, Streams { beside, .. }) in layout.down[scale].iter().enumerate() {
                let over = above.down[scale][k].result.get(&here)?;
                let skip = joined_concat_elu(&over, &stream.short_cut(scale, k).get(&here)?)?;
                x = stream.down[scale][k].block(beside, &x, Some(&skip), &here, weights)?;
            }
            match scale.checked_sub(1) {
                Some(next) => {
                    let layer = &layout.enlarge[next].beside;
                    let x = layer.run(&x, &weights[layer.index])?;
                    stream.enlarged[next].put(&here.enlarged(), &x)?;
                }
                None => {
                    let out = &layout.out;
                    return Ok(out.run(&x.elu(1.0)?, &weights[out.index])?);
                }
            }
        }
        unreachable!("the picture's own scale is always computed")
    }
}

impl Stream {
    /// What the last block up of a scale gave.
    fn end_of_up(&self, scale: usize) -> &Plane {
        &self.up[scale].last().expect("a block at least").result
    }

    /// What the first block down of a scale reads.
    fn start_of_down(&self, scale: usize) -> &Plane {
        self.enlarged.get(scale).unwrap_or_else(|| self.end_of_up(scale))
    }
}

/// How many scales have something new at a place: all at every fourth, two at every second.
fn scales_at(place: usize) -> usize {
    (place.trailing_zeros() as usize + 1).min(SCALES)
}

/// The results of a convolution for a strip.
fn apply(layer: &Layer, from: &Plane, strip: &Strip, weights: &[Tensor]) -> Result<Tensor> {
    let shape = layer.computed();
    // A window's numbers lie together, as if they were the channels of one pixel.
    let one = WindowShape { rows: 1, columns: 1, above: 0, left: 0, stride: 1, ..shape };
    let one = WindowShape { input: shape.row(), ..one };
    Ok(window_conv(&from.windows(shape, strip)?, &weights[layer.index], one)?)
}

impl Kept {
    /// A gated residual block for a strip; `skip` is already activated.
    fn block(
        &mut self,
        block: &Block,
        x: &Tensor,
        skip: Option<&Tensor>,
        strip: &Strip,
        weights: &[Tensor],
    ) -> Result<Tensor> {
        let here = std::slice::from_ref(strip);
        self.first.put(here, &concat_elu(x)?)?;
        let mut hidden = apply(&block.first, &self.first, strip, weights)?;
        if let (Some(layer), Some(skip)) = (&block.skip, skip) {
            hidden = add(&hidden, &layer.run(skip, &weights[layer.index])?)?;
        }
        self.second.put(here, &concat_elu(&hidden)?)?;
        let result = gated_add(x, &apply(&block.second, &self.second, strip, weights)?)?;
        self.result.put(here, &result)?;
        Ok(result)
    }
}
