//! The sum of a layer's KL over everything but the batch.

use candle_core::{Result, Shape, Tensor, WithDType};

use crate::cpu::Number;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::Gpu,
    latent,
    memory::{Buffer, View},
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::real::Real;

/// Sums the KL half of what [`crate::sample_and_kl`] returns, in float64, over pixels and channels.
///
/// # Shapes
/// - `latent`: (N, r, r, 2Z): latent | KL in nats
/// - result: (N) nats, float32 where the latents are float32 or bfloat16
///
/// # Errors
/// Where the shape does not fit.
pub fn kl_sum(latent: &Tensor) -> Result<Tensor> {
    apply(KlSum, [latent])
}

struct KlSum;

impl Operator<1> for KlSum {
    const NAME: &'static str = "kl_sum";

    /// Images, and numbers of a pixel.
    type Sizes = (usize, usize);

    fn sizes(&self, [latent]: [&Shape; 1]) -> Result<((usize, usize), Shape)> {
        match *latent.dims() {
            [n, _, _, width] if n > 0 && width > 0 && width % 2 == 0 => {
                Ok(((n, width), Shape::from(n)))
            }
            ref other => {
                candle_core::bail!("{}: expected (N, r, r, 2Z), found {other:?}", Self::NAME)
            }
        }
    }

    fn forward<T: Number>(&self, &(n, width): &(usize, usize), [latent]: [&[T]; 1]) -> Vec<T> {
        let images = latent.chunks_exact(latent.len() / n);
        let sums = images.map(|image| {
            let kl = image.chunks_exact(width).flat_map(|pixel| &pixel[width / 2..]);
            <T as WithDType>::from_f64(kl.map(|&v| WithDType::to_f64(v)).sum())
        });
        sums.collect()
    }

    fn gradients<T: Number>(
        &self,
        &(n, width): &(usize, usize),
        of: OnSlices<'_, T, 1>,
    ) -> [Gradient<Vec<T>>; 1] {
        let OnSlices { inputs: [latent], upstream, .. } = of;
        [Gradient::Own(spread(upstream, n, width, latent.len()))]
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(
        &self,
        gpu: &Gpu,
        &(n, width): &(usize, usize),
        [latent]: [View<'_>; 1],
    ) -> Result<Buffer> {
        latent::kl_sum(gpu, latent, n, width / 2)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(
        &self,
        &(_, width): &(usize, usize),
        of: OnGpu<'_, 1>,
    ) -> Result<[Gradient<Buffer>; 1]> {
        let OnGpu { gpu, inputs: [latent], upstream, .. } = of;
        let of = (latent.kind, latent.len);
        Ok([Gradient::Own(latent::spread_kl(gpu, of, upstream, width / 2)?)])
    }
}

/// Each image's gradient to every number of its KL, zero to its latent.
fn spread<T: Real>(upstream: &[T], n: usize, width: usize, elements: usize) -> Vec<T> {
    let mut gradient = vec![T::zero(); elements];
    for (image, &u) in gradient.chunks_exact_mut(elements / n).zip(upstream) {
        for pixel in image.chunks_exact_mut(width) {
            pixel[width / 2..].fill(u);
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn sums_one_half_and_spreads_its_gradient() {
        let data: Vec<f64> = (0..16).map(f64::from).collect();
        let x = Tensor::from_vec(data, (2, 1, 2, 4), &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let y = kl_sum(&x).unwrap();
        assert_eq!(y.to_vec1::<f64>().unwrap(), [2.0 + 3.0 + 6.0 + 7.0, 10.0 + 11.0 + 14.0 + 15.0]);
        let weights = Tensor::new(&[2.0, 3.0], &Device::Cpu).unwrap();
        let gradients = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let expected = [0., 0., 2., 2., 0., 0., 2., 2., 0., 0., 3., 3., 0., 0., 3., 3.];
        assert_eq!(gradient, expected);
    }
}
