//! AdamW and the exponential moving average of the weights, in one pass over flat parameters.

use rayon::prelude::*;

use crate::simd::multiversion;

/// Numbers a task works through: fixed, so that results do not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// One update of AdamW (Loshchilov and Hutter, arXiv 1711.05101) as PyTorch does it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled decay: weights shrink by `learning_rate · weight_decay` before the step.
    pub weight_decay: f32,
    /// Number of this update, from 1; corrects the moments' bias.
    pub step: u64,
    /// Factor on the gradient: 1, or less where it is clipped.
    pub gradient_scale: f32,
    /// Decay of the average of the weights.
    pub ema_rate: f32,
}

/// Flat parameters and what the optimizer keeps of them; all of one length.
#[derive(Debug)]
pub struct AdamWState<'a> {
    /// Weights.
    pub parameters: &'a mut [f32],
    /// Their moving average.
    pub ema: &'a mut [f32],
    /// First moment.
    pub first: &'a mut [f32],
    /// Second moment.
    pub second: &'a mut [f32],
}

/// Constants of one pass.
#[derive(Clone, Copy)]
struct Factors {
    adamw: AdamW,
    shrink: f32,
    /// Step size over the first moment's correction.
    step_size: f32,
    /// Root of the second moment's correction.
    root_correction: f32,
}

multiversion! {
    fn update(
        state: (&mut [f32], &mut [f32], &mut [f32], &mut [f32]),
        gradient: &[f32],
        factors: Factors,
    ) {
        let (parameters, ema, first, second) = state;
        let AdamW { beta1, beta2, epsilon, gradient_scale, ema_rate, .. } = factors.adamw;
        let n = gradient.len();
        let (parameters, ema) = (&mut parameters[..n], &mut ema[..n]);
        let (first, second) = (&mut first[..n], &mut second[..n]);
        for i in 0..n {
            let g = gradient[i] * gradient_scale;
            let m = beta1 * first[i] + (1.0 - beta1) * g;
            let v = beta2 * second[i] + (1.0 - beta2) * g * g;
            let denominator = v.sqrt() / factors.root_correction + epsilon;
            let p = parameters[i] * factors.shrink - factors.step_size * m / denominator;
            (first[i], second[i], parameters[i]) = (m, v, p);
            ema[i] = ema[i] * ema_rate + p * (1.0 - ema_rate);
        }
    }
}

impl AdamW {
    /// Moves parameters, moments and average by one step along `gradient`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(&self, state: AdamWState<'_>, gradient: &[f32]) {
        let AdamWState { parameters, ema, first, second } = state;
        let n = gradient.len();
        let lengths = [parameters.len(), ema.len(), first.len(), second.len()];
        assert_eq!(lengths, [n; 4], "lengths of parameters, average, moments and gradient");
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.step as f64);
        let factors = Factors {
            adamw: *self,
            shrink: 1.0 - self.learning_rate * self.weight_decay,
            step_size: (f64::from(self.learning_rate) / correction(self.beta1)) as f32,
            root_correction: correction(self.beta2).sqrt() as f32,
        };
        let parts = parameters.par_chunks_mut(CHUNK).zip(ema.par_chunks_mut(CHUNK));
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        parts.zip(moments).zip(gradient.par_chunks(CHUNK)).for_each(
            |(((parameters, ema), (first, second)), gradient)| {
                update((parameters, ema, first, second), gradient, factors);
            },
        );
    }
}

/// Sum of squares, in float64, the same for every number of threads.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let part = |chunk: &[f32]| -> f64 {
        // Eight running sums let the loop vectorise.
        let mut sums = [0.0f64; 8];
        for block in chunk.chunks(8) {
            for (sum, &v) in sums.iter_mut().zip(block) {
                *sum += f64::from(v) * f64::from(v);
            }
        }
        sums.iter().sum()
    };
    let parts: Vec<f64> = values.par_chunks(CHUNK).map(part).collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch.optim.AdamW([p], lr=0.1, betas=(0.9, 0.9), eps=1e-8, weight_decay=0.01), p =
    /// [1, -2, 0.5], gradients [0.1, -0.2, 3], [0.3, 0.1, -1], [-0.2, 0.4, 0.05]; ema = (ema + p) / 2 after
    /// each step (PyTorch 2.15).
    #[test]
    fn agrees_with_pytorch() {
        let mut p = [1.0, -2.0, 0.5];
        let (mut ema, mut m, mut v) = (p, [0.0; 3], [0.0; 3]);
        let gradients = [[0.1, -0.2, 3.0], [0.3, 0.1, -1.0], [-0.2, 0.4, 0.05f32]];
        for (i, gradient) in gradients.iter().enumerate() {
            let adamw = AdamW {
                learning_rate: 0.1,
                beta1: 0.9,
                beta2: 0.9,
                epsilon: 1e-8,
                weight_decay: 0.01,
                step: i as u64 + 1,
                gradient_scale: 1.0,
                ema_rate: 0.5,
            };
            let state =
                AdamWState { parameters: &mut p, ema: &mut ema, first: &mut m, second: &mut v };
            adamw.apply(state, gradient);
        }
        let expected = [
            (p, [0.781_841_2, -1.911_570_3, 0.324_326_1]),
            (ema, [0.830_340_15, -1.910_295_6, 0.364_154_73]),
            (m, [0.015_100_003, 0.032_8, 0.158]),
            (v, [0.012_910_001, 0.020_140_002, 0.819_25]),
        ];
        for (found, expected) in expected {
            // A few roundings of numbers up to 2.
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 5e-7), "{found:?}");
        }
    }

    #[test]
    fn the_average_follows_and_the_scale_clips() {
        let adamw = AdamW {
            learning_rate: 0.1,
            beta1: 0.0,
            beta2: 0.0,
            epsilon: 0.0,
            weight_decay: 0.0,
            step: 1,
            gradient_scale: 0.5,
            ema_rate: 0.75,
        };
        let (mut p, mut ema, mut m, mut v) = ([1.0], [1.0], [0.0], [0.0]);
        let state = AdamWState { parameters: &mut p, ema: &mut ema, first: &mut m, second: &mut v };
        adamw.apply(state, &[4.0]);
        assert_eq!((m, v), ([2.0], [4.0]));
        assert!((p[0] - 0.9).abs() < 1e-7);
        assert!((ema[0] - 0.975).abs() < 1e-7);
    }

    #[test]
    fn squares_sum_in_float64() {
        let values = vec![1e-4f32; 3 * CHUNK + 5];
        let expected = values.len() as f64 * f64::from(1e-4f32).powi(2);
        assert!((sum_of_squares(&values) / expected - 1.0).abs() < 1e-12);
        assert!(sum_of_squares(&[1.0, f32::NAN]).is_nan());
        let values: Vec<f32> = (0..5 * CHUNK).map(|i| (i as f32).sin()).collect();
        crate::testing::same_on_any_threads(|| sum_of_squares(&values));
    }
}
