//! How features change with a probe's score.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::Result;
use crate::error::check_range;
use crate::matrix::product;
use crate::probe::Linear;

/// Rows read at a time.
const BLOCK: usize = 1024;

/// By how much every column rises, in its own units, where the score of an output rises by one
/// standard deviation: the slope of the column's regression on the score over some rows.
///
/// Weights say what to multiply features by, and may point where no picture lies: a column that only
/// takes noise off another has weight, too. This is what the weights answer to (Haufe et al. 2014,
/// "On the interpretation of weight vectors of linear models in multivariate neuroimaging", equation
/// 6, for one score at a time).
///
/// # Shapes
/// - `rows`: (N, D), at least one row
/// - result: (outputs, D); zeros where nothing was fitted, or the score is the same for all rows
pub(super) fn pattern(linear: &Linear, rows: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
    let Linear { weights, standardiser, .. } = linear;
    let n = rows.nrows() as f64;
    check_range(n > 0.0, "rows of a probe's pattern", "at least 1", n)?;
    let (outputs, columns) = weights.dim();
    let mut products = Array2::<f64>::zeros((outputs, columns));
    let (mut column_sums, mut score_sums) = (Array1::zeros(columns), Array1::zeros(outputs));
    let mut score_squares = Array1::<f64>::zeros(outputs);
    standardiser.for_blocks(rows, BLOCK, |_, x| {
        // Without intercepts, which may be NaN and change no slope.
        let scores = product(x.view(), weights.t());
        products += &product(scores.t(), x.view());
        column_sums += &x.sum_axis(Axis(0));
        score_sums += &scores.sum_axis(Axis(0));
        score_squares += &scores.mapv(|score| score * score).sum_axis(Axis(0));
    })?;
    for output in 0..outputs {
        let mean = score_sums[output] / n;
        let variance = score_squares[output] / n - mean * mean;
        // What is left of squares that cancel is no variance.
        let moves = variance > 1e-12 * score_squares[output] / n;
        let mut row = products.row_mut(output);
        for (column, value) in row.iter_mut().enumerate() {
            let covariance = *value / n - mean * column_sums[column] / n;
            let slope = covariance / variance.sqrt() * standardiser.deviation[column];
            *value = if moves { slope } else { 0.0 };
        }
    }
    Ok(products)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::Standardiser;

    #[test]
    fn a_pattern_is_what_the_score_does_to_columns() {
        // The second column is noise that stands in the first, too: the weights take it off again.
        let signal = [1.0f32, -1.0, 1.0, -1.0];
        let noise = [2.0f32, 2.0, -2.0, -2.0];
        let rows = Array2::from_shape_fn((4, 2), |(row, column)| match column {
            0 => signal[row] + noise[row],
            _ => noise[row],
        });
        let standardiser = Standardiser::of(rows.view()).unwrap();
        let deviation = standardiser.deviation.clone();
        let weights = array![[deviation[0], -deviation[1]], [0.0, 0.0]];
        let intercept = array![0.5, f64::NAN];
        let linear = Linear { standardiser, weights, intercept, softmax: false };
        let found = pattern(&linear, rows.view()).unwrap();
        // The score is the signal, whose deviation is 1; a change of it moves the first column by as
        // much, and the second not at all, whose weight is as large.
        assert!((found[[0, 0]] - 1.0).abs() < 1e-12, "{found}");
        assert!(found[[0, 1]].abs() < 1e-12, "{found}");
        assert_eq!(found.row(1), Array1::<f64>::zeros(2));
        assert!(pattern(&linear, rows.slice(ndarray::s![..0, ..])).is_err());
    }
}
