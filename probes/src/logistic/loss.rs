//! The log losses and their derivatives at given decision values.
//!
//! Decision values `z` of one fit are `(outputs, N)`, flat, one output after the other.

use super::Response;

/// Probability of the positive class; does not overflow.
fn sigmoid(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// `ln(1 + exp(z))`; does not overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Turns scores into probabilities in place and returns the log of their normaliser.
pub(crate) fn softmax(scores: &mut [f64]) -> f64 {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - top).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
    top + sum.ln()
}

/// Calls `each(row, label, scores)` with the scores of every output at `z + step · direction`.
fn each_softmax(
    (labels, outputs): (&[u32], usize),
    score: impl Fn(usize) -> f64,
    mut each: impl FnMut(usize, usize, &mut [f64]),
) {
    let rows = labels.len();
    let mut scores = vec![0.0; outputs];
    for (row, &label) in labels.iter().enumerate() {
        for (output, value) in scores.iter_mut().enumerate() {
            *value = score(output * rows + row);
        }
        each(row, label as usize, &mut scores);
    }
}

/// Sum of the log losses.
pub(super) fn loss(response: &Response<'_>, z: impl Fn(usize) -> f64) -> f64 {
    match *response {
        Response::Binary(labels) => {
            let terms = labels.iter().enumerate().filter(|(_, label)| **label >= 0);
            terms.map(|(row, &label)| softplus(if label > 0 { -z(row) } else { z(row) })).sum()
        }
        Response::Classes { labels, classes } => {
            let mut sum = 0.0;
            each_softmax((labels, classes), z, |_, label, scores| {
                let own = scores[label];
                sum += softmax(scores) - own;
            });
            sum
        }
    }
}

/// First and second derivative of the loss along `direction`, at `z + step · direction`.
pub(super) fn along(
    response: &Response<'_>,
    z: &[f64],
    direction: &[f64],
    step: f64,
) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    match *response {
        Response::Binary(labels) => {
            for ((&label, &z), &d) in labels.iter().zip(z).zip(direction) {
                if label >= 0 {
                    let p = sigmoid(z + step * d);
                    slope += (p - f64::from(label)) * d;
                    curvature += p * (1.0 - p) * d * d;
                }
            }
        }
        Response::Classes { labels, classes } => {
            let rows = labels.len();
            let score = |i: usize| z[i] + step * direction[i];
            each_softmax((labels, classes), score, |row, label, scores| {
                softmax(scores);
                let (mut mean, mut square) = (0.0, 0.0);
                for (output, p) in scores.iter().enumerate() {
                    let d = direction[output * rows + row];
                    mean += p * d;
                    square += p * d * d;
                }
                slope += mean - direction[label * rows + row];
                curvature += square - mean * mean;
            });
        }
    }
    (slope, curvature)
}

/// Writes the derivative of the loss in every decision value into `residual`, and the mean over
/// all rows of its own second derivative, p(1 − p), into `variance` (one an output).
pub(super) fn residuals(
    response: &Response<'_>,
    z: &[f64],
    residual: &mut [f64],
    variance: &mut [f64],
) {
    variance.fill(0.0);
    match *response {
        Response::Binary(labels) => {
            for ((&label, &z), residual) in labels.iter().zip(z).zip(residual) {
                let p = if label < 0 { 0.0 } else { sigmoid(z) };
                *residual = p - f64::from(label.max(0));
                variance[0] += p * (1.0 - p);
            }
        }
        Response::Classes { labels, classes } => {
            let rows = labels.len();
            each_softmax(
                (labels, classes),
                |i| z[i],
                |row, label, scores| {
                    softmax(scores);
                    for (output, &p) in scores.iter().enumerate() {
                        residual[output * rows + row] = p - f64::from(u8::from(output == label));
                        variance[output] += p * (1.0 - p);
                    }
                },
            );
        }
    }
    let rows = response.rows() as f64;
    variance.iter_mut().for_each(|sum| *sum /= rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: Response<'_>, outputs: usize) {
        let rows = response.rows();
        let z: Vec<f64> = (0..outputs * rows).map(|i| ((i * 7 % 11) as f64 - 5.0) / 3.0).collect();
        let d: Vec<f64> = (0..outputs * rows).map(|i| ((i * 5 % 13) as f64 - 6.0) / 4.0).collect();
        let at = |t: f64| loss(&response, |i| z[i] + t * d[i]);
        // Central differences: truncation and rounding are both near 1e-8 at this step.
        let h = 1e-4;
        let (slope, curvature) = along(&response, &z, &d, 0.5);
        let (low, mid, high) = (at(0.5 - h), at(0.5), at(0.5 + h));
        assert!((slope - (high - low) / (2.0 * h)).abs() < 1e-6, "{slope}");
        assert!((curvature - (high - 2.0 * mid + low) / (h * h)).abs() < 1e-5, "{curvature}");

        let (mut residual, mut variance) = (vec![0.0; z.len()], vec![0.0; outputs]);
        residuals(&response, &z, &mut residual, &mut variance);
        let product: f64 = residual.iter().zip(&d).map(|(r, d)| r * d).sum();
        assert!((product - along(&response, &z, &d, 0.0).0).abs() < 1e-12);
        // p(1 - p) of one output is the curvature along that output alone.
        for (output, variance) in variance.into_iter().enumerate() {
            let unit: Vec<f64> =
                (0..z.len()).map(|i| f64::from(u8::from(i / rows == output))).collect();
            let expected = along(&response, &z, &unit, 0.0).1 / rows as f64;
            assert!((variance - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn derivatives_match_differences() {
        check(Response::Binary(&[1, 0, -1, 1, 0, 0]), 1);
        check(Response::Classes { labels: &[2, 0, 1, 1, 0], classes: 3 }, 3);
    }

    #[test]
    fn large_scores_stay_finite() {
        let z = [800.0, -800.0, 800.0, -800.0];
        assert_eq!(loss(&Response::Binary(&[1, 0, 0, 1]), |i| z[i]), 1600.0);
        let classes = Response::Classes { labels: &[0, 1], classes: 2 };
        assert_eq!(loss(&classes, |i| [800.0, 800.0, -800.0, -800.0][i]), 1600.0);
    }
}
