//! The receiver operating characteristic.

use super::{by_falling_score, observed};

/// Points of a curve at most: what a plot can show.
const MOST_POINTS: usize = 200;

/// The receiver operating characteristic of scores: `[false positive rate, true positive rate]`
/// from `[0, 0]` to `[1, 1]`, tied scores in one step. Rows that are missing are skipped.
///
/// All corners of the curve, or 200 of them that lie evenly along it. Empty where the curve is not
/// defined: one class only, or a score that is NaN.
///
/// ```
/// use vdvae_probes::metrics::roc_points;
/// let points = roc_points(&[0, 0, 1, 1, -1], &[0.1, 0.4, 0.35, 0.8, 9.0]);
/// assert_eq!(points, [[0.0, 0.0], [0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [1.0, 1.0]]);
/// ```
pub fn roc_points(labels: &[i8], scores: &[f64]) -> Vec<[f64; 2]> {
    let rows = by_falling_score(observed(labels, scores));
    if rows.iter().any(|(score, _)| score.is_nan()) {
        return Vec::new();
    }
    Roc::new(&rows).points()
}

/// How many rows are called positive at every threshold, from none to all; rows with equal scores
/// enter together.
#[derive(Debug)]
pub(crate) struct Roc {
    /// Negative and positive rows whose score is at least the threshold, beginning with `[0, 0]`.
    called: Vec<[usize; 2]>,
}

impl Roc {
    /// From `(score, positive)` of every row, by falling score.
    pub(crate) fn new(sorted: &[(f64, bool)]) -> Self {
        let mut called = vec![[0, 0]];
        let [mut wrong, mut right] = [0, 0];
        for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
            let hits = ties.iter().filter(|(_, positive)| *positive).count();
            right += hits;
            wrong += ties.len() - hits;
            called.push([wrong, right]);
        }
        Self { called }
    }

    /// All negative and positive rows.
    fn totals(&self) -> [f64; 2] {
        self.called.last().map_or([0.0; 2], |counts| counts.map(|count| count as f64))
    }

    /// The true positive rate at the lowest threshold whose false positive rate is at most `rate`,
    /// without interpolation. `None` without positive rows, or with fewer than `1 / rate` negative
    /// ones: one of them is then already more than that rate.
    pub(crate) fn true_positives_at(&self, rate: f64) -> Option<f64> {
        let [negative, positive] = self.totals();
        // The product may fall short of a whole number by its rounding.
        let allowed = (rate * negative + 1e-9).floor();
        if positive == 0.0 || allowed < 1.0 {
            return None;
        }
        let within = self.called.iter().take_while(|[wrong, _]| *wrong as f64 <= allowed);
        within.last().map(|[_, right]| *right as f64 / positive)
    }

    /// The points of the curve, as [`roc_points`] describes them.
    pub(crate) fn points(&self) -> Vec<[f64; 2]> {
        let [negative, positive] = self.totals();
        if negative == 0.0 || positive == 0.0 {
            return Vec::new();
        }
        let mut corners: Vec<[usize; 2]> = Vec::new();
        for &point in &self.called {
            // A point between two others on one straight line is no corner.
            if let [.., a, b] = corners[..]
                && straight(a, b, point)
            {
                corners.pop();
            }
            corners.push(point);
        }
        let rates = |[wrong, right]: [usize; 2]| [wrong as f64 / negative, right as f64 / positive];
        thin(corners.into_iter().map(rates).collect())
    }
}

fn straight(a: [usize; 2], b: [usize; 2], c: [usize; 2]) -> bool {
    let [[x, y], [u, v]] = [[b[0] - a[0], b[1] - a[1]], [c[0] - b[0], c[1] - b[1]]];
    x as u128 * v as u128 == y as u128 * u as u128
}

/// At most [`MOST_POINTS`], with both ends; the length along the curve is the sum of both rates.
fn thin(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let mut kept = Vec::with_capacity(MOST_POINTS);
    let mut from = 0;
    for step in 0..MOST_POINTS {
        let length = 2.0 * step as f64 / (MOST_POINTS - 1) as f64;
        let after = points[from..].partition_point(|[wrong, right]| wrong + right < length);
        if from + after < points.len() {
            kept.push(points[from + after]);
            from += after + 1;
        }
    }
    if kept.last() != points.last() {
        kept.truncate(MOST_POINTS - 1);
        kept.extend(points.last());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auroc;

    /// Labels and scores that overlap, with ties, from a fixed recurrence.
    fn noisy(rows: usize, levels: u64) -> (Vec<i8>, Vec<f64>) {
        let mut state = 7u64;
        let rows = (0..rows).map(|row| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let label = i8::from(row % 3 == 0);
            (label, ((state >> 33) % levels) as f64 / levels as f64 + f64::from(label) * 0.3)
        });
        rows.unzip()
    }

    fn area(points: &[[f64; 2]]) -> f64 {
        points.windows(2).map(|p| (p[1][0] - p[0][0]) * (p[0][1] + p[1][1]) / 2.0).sum()
    }

    #[test]
    fn a_curve_by_hand() {
        let points = roc_points(&[0, 0, 1, 1, -1], &[0.1, 0.4, 0.35, 0.8, f64::NAN]);
        assert_eq!(points, [[0.0, 0.0], [0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [1.0, 1.0]]);
    }

    #[test]
    fn ties_are_one_step_and_equal_scores_the_diagonal() {
        assert_eq!(roc_points(&[0, 1, 0, 1], &[2.0; 4]), [[0.0, 0.0], [1.0, 1.0]]);
        let points = roc_points(&[1, 1, 0, 0], &[4.0, 3.0, 2.0, 1.0]);
        assert_eq!(points, [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
    }

    #[test]
    fn undefined_curves_are_empty() {
        assert!(roc_points(&[1, 1], &[0.1, 0.2]).is_empty());
        assert!(roc_points(&[0, -1], &[0.1, 0.2]).is_empty());
        assert!(roc_points(&[0, 1], &[0.1, f64::NAN]).is_empty());
        assert!(roc_points(&[], &[]).is_empty());
    }

    #[test]
    fn rates_by_hand_with_ties() {
        // By falling score: + | - + | + | - - + | - | six more -: four positive, ten negative.
        let mut sorted = vec![(9.0, true), (8.0, false), (8.0, true), (7.0, true)];
        sorted.extend([(6.0, false), (6.0, false), (6.0, true), (5.0, false)]);
        sorted.extend((0..6).map(|at| (4.0 - f64::from(at), false)));
        let roc = Roc::new(&sorted);
        // One negative row of ten may pass, and at 7 one has: three of four positive ones.
        assert_eq!(roc.true_positives_at(0.1), Some(0.75));
        // Two may pass, but the next threshold, 6, passes three at once.
        assert_eq!(roc.true_positives_at(0.2), Some(0.75));
        assert_eq!(roc.true_positives_at(0.3), Some(1.0));
        // Ten negative rows cannot tell shares of a hundredth.
        assert_eq!(roc.true_positives_at(0.09), None);
        assert_eq!(roc.true_positives_at(0.01), None);
        let expected = [[0.0, 0.0], [0.0, 0.25], [0.1, 0.5], [0.1, 0.75], [0.3, 1.0], [1.0, 1.0]];
        assert_eq!(roc.points(), expected);
    }

    #[test]
    fn long_curves_are_thinned_to_corners_of_their_own() {
        let (labels, scores) = noisy(30_000, 1 << 30);
        let points = roc_points(&labels, &scores);
        assert!((150..=MOST_POINTS).contains(&points.len()), "{}", points.len());
        assert_eq!((points[0], points[points.len() - 1]), ([0.0, 0.0], [1.0, 1.0]));
        assert!(points.windows(2).all(|p| p[0][0] <= p[1][0] && p[0][1] <= p[1][1]));
        // Each point is on the curve: some threshold gives exactly these counts.
        let mut falling = scores.clone();
        falling.sort_by(|a, b| b.total_cmp(a));
        for point in &points[1..] {
            let called = (point[0] * 20_000.0 + point[1] * 10_000.0).round() as usize;
            let threshold = falling[called - 1];
            let hits = labels.iter().zip(&scores).filter(|(l, s)| **l > 0 && **s >= threshold);
            assert_eq!((hits.count() as f64) / 10_000.0, point[1]);
        }
        // Chords of length 2/200 cut off next to nothing.
        let exact = auroc(&labels, &scores).unwrap();
        assert!((area(&points) - exact).abs() < 1e-3, "{} {exact}", area(&points));
    }

    #[test]
    fn short_curves_keep_their_area_exactly() {
        let (labels, scores) = noisy(400, 40);
        let points = roc_points(&labels, &scores);
        let exact = auroc(&labels, &scores).unwrap();
        assert!((area(&points) - exact).abs() < 1e-12, "{} {exact}", area(&points));
    }
}
