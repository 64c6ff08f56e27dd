//! The projection of a latent into the state.

use candle_core::{Result, Shape, Tensor};

use crate::arithmetic::Arithmetic;
use crate::cpu::Number;
use crate::cpu::matrix::Matrix;
use crate::cpu::product::{Rows, bias_gradient, product};
#[cfg(feature = "cuda")]
use crate::cuda::{
    dense,
    gpu::Gpu,
    memory::{Buffer, Kind, View},
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::shape::{ConvShape, check_parameters};
use crate::team::{Out, share_new};

/// Pixels of a gradient a task copies at once.
const PIXELS: usize = 1 << 8;

/// Adds the projection of a latent to the last channels of `base`:
/// `base[.., P - W..] + latent[.., ..Z] · weightsᵀ + bias`.
///
/// `base` is what a prior block returns (statistics, then the state with the prior's features
/// added) and `latent` what [`crate::sample_and_kl`] returns (the latent, then its KL), so neither
/// has to be cut into pieces first.
///
/// # Shapes
/// - `base`: (N, r, r, P), P ≥ W = `shape.output`
/// - `latent`: (N, r, r, L), L ≥ Z = `shape.input`
/// - `parameters`: (`shape.parameters()`), kernel 1
/// - result: (N, r, r, W)
///
/// # Errors
/// Where the shapes or number types do not fit.
pub fn project_add(
    base: &Tensor,
    latent: &Tensor,
    parameters: &Tensor,
    shape: ConvShape,
    arithmetic: Arithmetic,
) -> Result<Tensor> {
    apply(ProjectAdd { shape, arithmetic }, [base, latent, parameters])
}

struct ProjectAdd {
    shape: ConvShape,
    arithmetic: Arithmetic,
}

/// Pixels, and the channels of base and latent.
#[derive(Clone, Copy)]
struct Sizes {
    pixels: usize,
    base_width: usize,
    latent_width: usize,
}

impl Operator<3> for ProjectAdd {
    const NAME: &'static str = "project_add";

    type Sizes = Sizes;

    fn sizes(&self, [base, latent, parameters]: [&Shape; 3]) -> Result<(Sizes, Shape)> {
        let ConvShape { input, output, kernel } = self.shape;
        match (base.dims(), latent.dims()) {
            (&[n, height, width, p], &[n2, h2, w2, l])
                if kernel == 1
                    && (n, height, width) == (n2, h2, w2)
                    && p >= output
                    && l >= input =>
            {
                check_parameters(Self::NAME, parameters, self.shape.parameters())?;
                let pixels = n * height * width;
                let sizes = Sizes { pixels, base_width: p, latent_width: l };
                Ok((sizes, Shape::from((n, height, width, output))))
            }
            (base, latent) => candle_core::bail!(
                "{}: expected (N, r, r, ≥{output}) and (N, r, r, ≥{input}) with kernel 1, found \
                 {base:?} and {latent:?} with kernel {kernel}",
                Self::NAME
            ),
        }
    }

    fn forward<T: Number>(&self, &sizes: &Sizes, [base, latent, parameters]: [&[T]; 3]) -> Vec<T> {
        let Sizes { pixels, base_width, latent_width } = sizes;
        let ConvShape { input, output, .. } = self.shape;
        let (weights, bias) = parameters.split_at(self.shape.weights());
        let mut out = vec![];
        let new = Out::New(&mut out, pixels * output);
        let rows = Rows::Plain { x: latent, channels: input, stride: latent_width };
        let weights = Matrix::new(weights, output, input, input).transposed().into();
        let how = self.arithmetic;
        product(&[(rows, weights)], Some(bias), output, new, how, |first, block| {
            let base = base[first * base_width..].chunks_exact(base_width);
            for (out, base) in block.chunks_exact_mut(output).zip(base) {
                let tail = &base[base_width - output..];
                out.iter_mut().zip(tail).for_each(|(o, &b)| *o += b);
            }
        });
        out
    }

    fn gradients<T: Number>(
        &self,
        &sizes: &Sizes,
        of: OnSlices<'_, T, 3>,
    ) -> [Gradient<Vec<T>>; 3] {
        let OnSlices { inputs: [_, latent, parameters], upstream, .. } = of;
        let Sizes { pixels, base_width, latent_width } = sizes;
        let ConvShape { input, output, .. } = self.shape;
        let db = share_new(pixels * base_width, PIXELS * base_width, |chunks| {
            for (i, chunk) in chunks {
                let upstream = upstream[i * PIXELS * output..].chunks_exact(output);
                for (db, upstream) in chunk.chunks_exact_mut(base_width).zip(upstream) {
                    db[base_width - output..].copy_from_slice(upstream);
                }
            }
        });
        let mut dz = vec![];
        let new = Out::New(&mut dz, pixels * input);
        let rows = Rows::Plain { x: upstream, channels: output, stride: output };
        let weights = Matrix::new(&parameters[..self.shape.weights()], output, input, input);
        product(&[(rows, weights.into())], None, input, new, self.arithmetic, |_, _| ());
        let mut dl = vec![T::zero(); latent.len()];
        for (dl, dz) in dl.chunks_exact_mut(latent_width).zip(dz.chunks_exact(input)) {
            dl[..input].copy_from_slice(dz);
        }
        let mut dp = vec![T::zero(); parameters.len()];
        let (dw, bias) = dp.split_at_mut(self.shape.weights());
        let rows = Rows::Plain { x: latent, channels: input, stride: latent_width };
        T::weight_gradient(&rows, upstream, output, (dw, input), self.arithmetic);
        bias_gradient(upstream, bias);
        [db, dl, dp].map(Gradient::Own)
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(
        &self,
        gpu: &Gpu,
        &sizes: &Sizes,
        [base, latent, parameters]: [View<'_>; 3],
    ) -> Result<Buffer> {
        let Sizes { pixels, base_width, latent_width } = sizes;
        let latent = latent.expect(base.kind, Self::NAME)?;
        let parameters = parameters.expect(Kind::F32, Self::NAME)?;
        let how = (pixels, self.shape, self.arithmetic.tf32);
        dense::project_add(gpu, how, (base, base_width), (latent, latent_width), parameters)
    }

    /// The latent's gradient is added in the product that computes it.
    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, &sizes: &Sizes, of: OnGpu<'_, 3>) -> Result<[Gradient<Buffer>; 3]> {
        let OnGpu { gpu, inputs: [_, latent, parameters], upstream, held, .. } = of;
        let Sizes { pixels, base_width, latent_width } = sizes;
        let (db, dl, dp) = dense::project_add_backward(
            gpu,
            (pixels, self.shape, self.arithmetic.tf32),
            base_width,
            (latent, latent_width),
            (parameters, upstream),
            held[1],
        )?;
        Ok([Gradient::Own(db), Gradient::own(dl), Gradient::Own(dp)])
    }
}
