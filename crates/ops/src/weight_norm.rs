//! Weights in a direction and a length: Salimans and Kingma, "Weight Normalization", arXiv 1602.07868.

use candle_core::{Result, Shape, Tensor};

use crate::cpu::Number;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::real::Real;
use crate::shape::check_parameters;

/// Weights `length · direction / ‖direction‖` of every output, followed by the biases: what
/// [`crate::window_conv`] takes. On the CPU only.
///
/// # Shapes
/// - `parameters`: (`outputs` · `row` + 2 `outputs`): the directions, the lengths, the biases
/// - result: (`outputs` · `row` + `outputs`)
///
/// # Errors
/// Where the shapes do not fit, and for tensors on a GPU.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vdvae_ops::weight_norm;
///
/// let parameters = Tensor::new(&[3f32, 4.0, 10.0, 0.5], &Device::Cpu)?;
/// let weights = weight_norm(&parameters, 1, 2)?.to_vec1::<f32>()?;
/// assert_eq!(weights, [6.0, 8.0, 0.5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn weight_norm(parameters: &Tensor, outputs: usize, row: usize) -> Result<Tensor> {
    apply(WeightNorm { outputs, row }, [parameters])
}

/// The least square of a length that is divided by, as of TensorFlow's `l2_normalize`.
const LEAST: f64 = 1e-12;

struct WeightNorm {
    outputs: usize,
    row: usize,
}

/// One over the length of a direction.
fn inverse_length<T: Real>(direction: &[T]) -> T {
    let square: f64 = direction.iter().map(|&v| candle_core::WithDType::to_f64(v).powi(2)).sum();
    <T as candle_core::WithDType>::from_f64(square.max(LEAST).sqrt().recip())
}

impl Operator<1> for WeightNorm {
    const NAME: &'static str = "weight_norm";

    type Sizes = ();

    fn sizes(&self, [parameters]: [&Shape; 1]) -> Result<((), Shape)> {
        let Self { outputs, row } = *self;
        check_parameters(Self::NAME, parameters, outputs * (row + 2))?;
        Ok(((), Shape::from(outputs * (row + 1))))
    }

    fn forward<T: Number>(&self, (): &(), [parameters]: [&[T]; 1]) -> Vec<T> {
        let (directions, rest) = parameters.split_at(self.outputs * self.row);
        let (lengths, biases) = rest.split_at(self.outputs);
        let mut weights = Vec::with_capacity(directions.len() + biases.len());
        for (direction, &length) in directions.chunks_exact(self.row).zip(lengths) {
            let factor = length * inverse_length(direction);
            weights.extend(direction.iter().map(|&v| v * factor));
        }
        weights.extend_from_slice(biases);
        weights
    }

    fn gradients<T: Number>(&self, (): &(), of: OnSlices<'_, T, 1>) -> [Gradient<Vec<T>>; 1] {
        let OnSlices { inputs: [parameters], upstream, .. } = of;
        let Self { outputs, row } = *self;
        let (directions, lengths) = parameters.split_at(outputs * row);
        let mut gradient = vec![T::zero(); parameters.len()];
        let (by_direction, rest) = gradient.split_at_mut(outputs * row);
        let (by_length, by_bias) = rest.split_at_mut(outputs);
        let of_weights = upstream[..outputs * row].chunks_exact(row);
        let each = by_direction.chunks_exact_mut(row).zip(directions.chunks_exact(row));
        for (i, ((out, direction), upstream)) in each.zip(of_weights).enumerate() {
            let inverse = inverse_length(direction);
            // Along the direction only its length changes.
            let along = direction.iter().zip(upstream).map(|(&v, &u)| v * u).sum::<T>() * inverse;
            by_length[i] = along;
            let (factor, along) = (lengths[i] * inverse, along * inverse);
            for ((out, &v), &u) in out.iter_mut().zip(direction).zip(upstream) {
                *out = factor * (u - v * along);
            }
        }
        by_bias.copy_from_slice(&upstream[outputs * row..]);
        [Gradient::Own(gradient)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_float32, check_gradients, message, waves};

    #[test]
    fn gradients_and_float32() {
        for (outputs, row) in [(3, 5), (1, 1), (2, 40)] {
            let inputs = [waves(&[outputs * (row + 2)], 1.0, 0.3)];
            let op = |x: &[Tensor]| weight_norm(&x[0], outputs, row);
            // The length of a direction of one number has no gradient, but for rounding.
            check_gradients(&inputs, 1e-7, op);
            check_float32(&inputs, 1e-5, op);
        }
    }

    #[test]
    fn a_direction_of_nothing_gives_no_weight() {
        let parameters = Tensor::new(&[0.0, 0.0, 2.0, 1.0], &candle_core::Device::Cpu).unwrap();
        let weights = weight_norm(&parameters, 1, 2).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(weights, [0.0, 0.0, 1.0]);
        assert!(message(weight_norm(&parameters, 2, 2)).contains("expected 8 parameters"));
    }
}
