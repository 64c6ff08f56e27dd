//! Classes that have a training row; the others would send their intercepts to -∞.

use ndarray::{Array1, Array2, Axis, s};

use super::job::{Job, Response};

/// Which outputs of a response are fitted.
#[derive(Debug)]
pub(super) struct Present {
    /// Outputs of the response that are fitted, rising.
    pub(super) outputs: Vec<usize>,
    /// Outputs of the response.
    all: usize,
    /// Labels as indices into `outputs`; empty for a binary target.
    labels: Vec<u32>,
}

impl Present {
    /// A response whose labels are below its number of classes.
    pub(super) fn of(response: &Response<'_>) -> Self {
        match *response {
            Response::Binary(_) => Self { outputs: vec![0], all: 1, labels: Vec::new() },
            Response::Classes { labels, classes } => {
                let mut index = vec![None; classes];
                labels.iter().for_each(|&label| index[label as usize] = Some(0));
                let outputs: Vec<usize> = (0..classes).filter(|&c| index[c].is_some()).collect();
                (0u32..).zip(&outputs).for_each(|(at, &output)| index[output] = Some(at));
                let labels = labels.iter().filter_map(|&label| index[label as usize]).collect();
                Self { outputs, all: classes, labels }
            }
        }
    }

    /// The response restricted to what is fitted.
    pub(super) fn response<'a>(&'a self, response: &Response<'a>) -> Response<'a> {
        match *response {
            Response::Binary(labels) => Response::Binary(labels),
            Response::Classes { .. } => {
                Response::Classes { labels: &self.labels, classes: self.outputs.len() }
            }
        }
    }

    /// Best intercepts without weights: log odds of a binary target, log shares of classes. The
    /// response has a row in every class.
    pub(super) fn intercepts(response: &Response<'_>) -> Vec<f64> {
        match *response {
            Response::Binary(labels) => {
                let count = |wanted| labels.iter().filter(|&&label| label == wanted).count() as f64;
                vec![(count(1) / count(0)).ln()]
            }
            Response::Classes { labels, classes } => {
                let mut counts = vec![0.0; classes];
                labels.iter().for_each(|&label| counts[label as usize] += 1.0);
                let logs: Vec<f64> = counts.into_iter().map(f64::ln).collect();
                // Only differences matter; sums of zero are what scikit-learn settles on too.
                let mean = logs.iter().sum::<f64>() / classes as f64;
                logs.into_iter().map(|log| log - mean).collect()
            }
        }
    }

    /// Where a job starts, `(outputs fitted, D + 1)`, the intercept last.
    pub(super) fn start(&self, job: &Job<'_>, columns: usize) -> Array2<f64> {
        let mut start = Array2::zeros((self.outputs.len(), columns + 1));
        let intercepts = Self::intercepts(&self.response(&job.response));
        start.column_mut(columns).assign(&Array1::from_vec(intercepts));
        for (mut row, &output) in start.rows_mut().into_iter().zip(&self.outputs) {
            let Some(fit) = job.start.filter(|fit| output < fit.weights.nrows()) else { continue };
            // A class that is new since the start keeps the intercept of its share.
            if fit.intercept[output].is_finite() {
                row.slice_mut(s![..columns]).assign(&fit.weights.row(output));
                row[columns] = fit.intercept[output];
            }
        }
        start
    }

    /// Weights `(outputs, D)` and intercepts `(outputs)` of all outputs from parameters
    /// `(outputs fitted, D + 1)`.
    pub(super) fn expand(&self, parameters: &Array2<f64>) -> (Array2<f64>, Array1<f64>) {
        let columns = parameters.ncols() - 1;
        let mut weights = Array2::zeros((self.all, columns));
        let mut intercepts = Array1::from_elem(self.all, f64::NEG_INFINITY);
        // A constant added to the intercepts of all classes changes nothing: make their sum zero.
        let fitted = parameters.column(columns);
        let shift = if self.all > 1 { fitted.sum() / fitted.len() as f64 } else { 0.0 };
        for (row, &output) in parameters.axis_iter(Axis(0)).zip(&self.outputs) {
            weights.row_mut(output).assign(&row.slice(s![..columns]));
            intercepts[output] = row[columns] - shift;
        }
        (weights, intercepts)
    }
}
