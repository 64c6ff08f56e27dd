//! How far to go along a direction, from objectives and slopes at the lengths tried so far.
//!
//! Every try is a pass over the rows, so the first length, that of a Newton step, is taken wherever
//! it descends. The objective is convex: its slope rises along the line and brackets the minimum.

/// A length is long enough where the slope has fallen to this share of the first one.
const SLOPE_SHARE: f64 = 0.9;

/// How much longer the next length is at most, while the slope still falls.
const MOST_GROWTH: f64 = 8.0;

/// What to do after a try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Go there.
    Accept,
    /// Try this length.
    Try(f64),
    /// The direction does not lead downhill.
    Fail,
}

/// What a search may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Rises of the objective up to this are rounding.
    pub(super) slack: f64,
    /// Lengths tried, at least one.
    pub(super) tries: usize,
}

/// The search along one direction; the first length to try is 1.
#[derive(Debug, Clone)]
pub(super) struct LineSearch {
    objective: f64,
    first_slope: f64,
    slack: f64,
    /// Length and slope of the last try before the minimum.
    low: (f64, f64),
    /// Length and slope of the first try behind the minimum, once there was one.
    high: Option<(f64, f64)>,
    length: f64,
    tries_left: usize,
}

impl LineSearch {
    /// `None` where the slope does not lead downhill.
    pub(super) fn new(objective: f64, slope: f64, limits: Limits) -> Option<Self> {
        (slope < 0.0 && slope.is_finite()).then_some(Self {
            objective,
            first_slope: slope,
            slack: limits.slack,
            low: (0.0, slope),
            high: None,
            length: 1.0,
            tries_left: limits.tries,
        })
    }

    /// The length last tried.
    pub(super) fn length(&self) -> f64 {
        self.length
    }

    /// Judges the length last tried by the objective and the slope there.
    pub(super) fn judge(&mut self, objective: f64, slope: f64) -> Verdict {
        self.tries_left -= 1;
        let descends = objective <= self.objective + self.slack;
        if descends && slope.abs() <= -SLOPE_SHARE * self.first_slope {
            return Verdict::Accept;
        }
        if self.tries_left == 0 {
            return Verdict::Fail;
        }
        // Where the objective is not finite, nor is the slope: too far.
        if descends && slope < 0.0 {
            self.low = (self.length, slope);
        } else {
            self.high = Some((self.length, slope));
        }
        self.length = self.next_length();
        Verdict::Try(self.length)
    }

    fn next_length(&self) -> f64 {
        let (low, low_slope) = self.low;
        match self.high {
            Some((high, high_slope)) => {
                // Where the slope crosses zero if it is straight, but off the ends.
                let share = low_slope / (low_slope - high_slope);
                let share = if high_slope > 0.0 { share.clamp(0.1, 0.9) } else { 0.5 };
                low + (high - low) * if share.is_finite() { share } else { 0.1 }
            }
            None => {
                // The slope fell by less than a tenth: the minimum of a parabola is far.
                let rise = (low_slope - self.first_slope) / low;
                let parabola = low - low_slope / rise;
                let most = MOST_GROWTH * low;
                if parabola > 2.0 * low && parabola < most { parabola } else { most }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { slack: 0.0, tries: 40 };

    /// Length accepted on a function of the length, and the tries it took.
    fn search(value: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) -> (Option<f64>, usize) {
        let mut search = LineSearch::new(value(0.0), slope(0.0), LIMITS).unwrap();
        for tries in 1.. {
            let at = search.length();
            match search.judge(value(at), slope(at)) {
                Verdict::Accept => return (Some(at), tries),
                Verdict::Fail => return (None, tries),
                Verdict::Try(length) => assert_eq!(length, search.length()),
            }
        }
        unreachable!("the number of tries is bounded")
    }

    #[test]
    fn newton_steps_are_taken_at_once() {
        assert_eq!(search(|t| (t - 1.0).powi(2), |t| 2.0 * (t - 1.0)), (Some(1.0), 1));
    }

    #[test]
    fn minima_near_and_far_are_bracketed() {
        for minimum in [1e-6, 0.01, 0.4, 30.0, 1e5] {
            let (length, tries) = search(|t| (t - minimum).powi(2), |t| 2.0 * (t - minimum));
            let length = length.unwrap();
            assert!((length - minimum).abs() < 0.95 * minimum, "{minimum}: {length}");
            assert!(tries < 12, "{minimum}: {tries}");
        }
        // The slope jumps, and beyond 10 nothing is finite.
        let value = |t: f64| if t > 10.0 { f64::NAN } else { (-t).max(20.0 * (t - 0.1)) };
        let slope = |t: f64| {
            if t > 10.0 {
                f64::NAN
            } else if 21.0 * t < 2.0 {
                -1.0
            } else {
                20.0
            }
        };
        // No slope is small, but the search ends.
        assert_eq!(search(value, slope), (None, LIMITS.tries));
    }

    #[test]
    fn uphill_is_refused_and_rounding_is_not() {
        assert!(LineSearch::new(1.0, 0.0, LIMITS).is_none());
        assert!(LineSearch::new(1.0, f64::NAN, LIMITS).is_none());
        let rises = |slack| {
            let limits = Limits { slack, ..LIMITS };
            LineSearch::new(1.0, -1.0, limits).unwrap().judge(1.01, 0.5)
        };
        assert_eq!(rises(0.1), Verdict::Accept);
        assert!(matches!(rises(0.0), Verdict::Try(length) if length < 1.0));
    }
}
