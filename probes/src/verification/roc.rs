//! The receiver operating characteristic of pooled scores.

/// The share of genuine pairs that are accepted at a share of impostor pairs that are, `None` where
/// the pairs cannot tell.
pub type TarAtFar = (f64, Option<f64>);

/// Points of a curve at most: what a plot can show.
const MOST_POINTS: usize = 200;

/// How many pairs are accepted at every threshold, from none to all; pairs with equal scores enter
/// together.
#[derive(Debug)]
pub(super) struct Roc {
    /// Impostor and genuine pairs whose score is at least the threshold, beginning with (0, 0).
    accepted: Vec<[usize; 2]>,
}

impl Roc {
    /// From `(score, same)` of every pair, by falling score.
    pub(super) fn new(sorted: &[(f64, bool)]) -> Self {
        let mut accepted = vec![[0, 0]];
        let [mut impostors, mut genuine] = [0, 0];
        for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
            let same = ties.iter().filter(|(_, same)| *same).count();
            genuine += same;
            impostors += ties.len() - same;
            accepted.push([impostors, genuine]);
        }
        Self { accepted }
    }

    /// All impostor and genuine pairs.
    fn totals(&self) -> [f64; 2] {
        self.accepted.last().map_or([0.0; 2], |counts| counts.map(|count| count as f64))
    }

    /// The share of genuine pairs accepted at the lowest threshold that accepts at most the share
    /// `far` of the impostors, without interpolation. `None` without genuine pairs, or with fewer
    /// than `1 / far` impostors: one of them is then already more than that share.
    pub(super) fn tar_at(&self, far: f64) -> Option<f64> {
        let [impostors, genuine] = self.totals();
        // The product may fall short of a whole number by its rounding.
        let allowed = (far * impostors + 1e-9).floor();
        if genuine == 0.0 || allowed < 1.0 {
            return None;
        }
        let within = self.accepted.iter().take_while(|[count, _]| *count as f64 <= allowed);
        within.last().map(|[_, accepted]| *accepted as f64 / genuine)
    }

    /// Corners of the curve as (false accepts, true accepts), shares, from (0, 0) to (1, 1): all of
    /// them, or 200 that lie evenly along it. Empty without genuine or without impostor pairs.
    pub(super) fn points(&self) -> Vec<[f64; 2]> {
        let [impostors, genuine] = self.totals();
        if impostors == 0.0 || genuine == 0.0 {
            return Vec::new();
        }
        let mut corners: Vec<[usize; 2]> = Vec::new();
        for &point in &self.accepted {
            // A point between two others on one straight line is no corner.
            while let [.., a, b] = corners[..] {
                if !straight(a, b, point) {
                    break;
                }
                corners.pop();
            }
            corners.push(point);
        }
        let shares: Vec<[f64; 2]> =
            corners.iter().map(|[i, g]| [*i as f64 / impostors, *g as f64 / genuine]).collect();
        thin(&shares)
    }
}

fn straight(a: [usize; 2], b: [usize; 2], c: [usize; 2]) -> bool {
    let [[x, y], [u, v]] = [[b[0] - a[0], b[1] - a[1]], [c[0] - b[0], c[1] - b[1]]];
    x as u128 * v as u128 == y as u128 * u as u128
}

/// At most [`MOST_POINTS`], with both ends; the length along the curve is the sum of both shares.
fn thin(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(MOST_POINTS);
    let mut from = 0;
    for step in 0..MOST_POINTS {
        let length = 2.0 * step as f64 / (MOST_POINTS - 1) as f64;
        let after = points[from..].partition_point(|[far, tar]| far + tar < length);
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
