//! The sum of a layer's KL over everything but the batch.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::Real;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::{Gpu, Kind, Operand, View},
    latent,
};
use crate::real::{dispatch, slice, tensor, with_slice};
use crate::tape::{self, Operator, candle_gradient};

/// Sums the KL half of what [`crate::sample_and_kl`] returns, in float64, over pixels and channels.
///
/// # Shapes
/// - `latent`: (N, r, r, 2Z): latent | KL in nats
/// - result: (N) nats, float32 where the latents are float32 or bfloat16
pub fn kl_sum(latent: &Tensor) -> Result<Tensor> {
    tape::apply1(latent, KlSum)
}

struct KlSum;

impl KlSum {
    const NAME: &'static str = "kl_sum";

    /// Images and numbers of a pixel.
    fn sizes(shape: &Shape) -> Result<(usize, usize)> {
        match *shape.dims() {
            [n, _, _, width] if n > 0 && width > 0 && width % 2 == 0 => Ok((n, width)),
            ref other => {
                candle_core::bail!("{}: expected (N, r, r, 2Z), found {other:?}", Self::NAME)
            }
        }
    }
}

impl CustomOp1 for KlSum {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, latent: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, width) = Self::sizes(layout.shape())?;
        dispatch!(latent.dtype(), Self::NAME, T => {
            let latent = slice::<T>(latent, layout, Self::NAME)?;
            let sums: Vec<T> = latent.chunks_exact(latent.len() / n).map(|image| {
                let kl = image.chunks_exact(width).flat_map(|pixel| &pixel[width / 2..]);
                <T as candle_core::WithDType>::from_f64(kl.map(|&v| candle_core::WithDType::to_f64(v)).sum())
            }).collect();
            Ok((candle_core::WithDType::to_cpu_storage_owned(sums), Shape::from(n)))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (n, width) = Self::sizes(layout.shape())?;
        let gpu = Gpu::of(&storage.device)?;
        let view = View::new(storage, layout, Self::NAME)?;
        Ok((latent::kl_sum(&gpu, view, n, width / 2)?.into_storage(), Shape::from(n)))
    }

    candle_gradient!(1);
}

impl Operator<1> for KlSum {
    fn backward(
        &self,
        [latent]: [&Tensor; 1],
        upstream: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let (n, width) = Self::sizes(latent.shape())?;
        #[cfg(feature = "cuda")]
        if latent.device().is_cuda() {
            let gpu = Gpu::of_tensor(latent, Self::NAME)?;
            let us = Operand::new(upstream, Self::NAME)?;
            let of = (Kind::of(latent.dtype(), Self::NAME)?, latent.elem_count());
            let d = latent::spread_kl(&gpu, of, us.view(), width / 2)?;
            return Ok([Some(d.into_tensor(latent.shape()))]);
        }
        dispatch!(latent.dtype(), Self::NAME, T => {
            let d = with_slice::<T, _>(upstream, Self::NAME, |us| Ok(spread(us, n, width, latent.elem_count())))?;
            Ok([Some(tensor(d, latent.shape())?)])
        })
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
