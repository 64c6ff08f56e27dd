//! From data to drawing: linear scales, round ticks, and labels that keep apart.

/// A linear map from data to drawing units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear {
    domain: [f64; 2],
    range: [f64; 2],
}

impl Linear {
    /// Maps the ends of `domain` to those of `range`; a domain of one value goes to the middle.
    pub(super) fn new(domain: [f64; 2], range: [f64; 2]) -> Self {
        let [low, high] = domain;
        let domain = if low == high { [low - 1.0, high + 1.0] } else { domain };
        Self { domain, range }
    }

    /// The place in the drawing that stands for `value`.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.domain[0]) / (self.domain[1] - self.domain[0]);
        self.range[0] + share * (self.range[1] - self.range[0])
    }
}

/// Round numbers along an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticks {
    /// The numbers, rising.
    pub(super) values: Vec<f64>,
    /// Decimals that tell them apart.
    pub(super) decimals: usize,
}

/// A step of 1, 2 or 5 times a power of ten.
#[derive(Debug, Clone, Copy)]
struct Step {
    mantissa: f64,
    power: i32,
}

impl Step {
    /// The round step of which about `count` make up `span`.
    fn new(span: f64, count: usize) -> Self {
        let raw = span / count.max(1) as f64;
        let power = raw.log10().floor() as i32;
        // 1e-9: a raw step of just above 2 through rounding is a step of 2.
        match raw / 10f64.powi(power) - 1e-9 {
            x if x <= 1.0 => Self { mantissa: 1.0, power },
            x if x <= 2.0 => Self { mantissa: 2.0, power },
            x if x <= 5.0 => Self { mantissa: 5.0, power },
            _ => Self { mantissa: 1.0, power: power + 1 },
        }
    }

    /// How many steps `value` is.
    fn count(self, value: f64) -> f64 {
        value / self.times(1.0)
    }

    /// So many steps. Negative powers divide, so that 3 steps of 0.1 are 0.3.
    fn times(self, steps: f64) -> f64 {
        let whole = steps * self.mantissa;
        if self.power < 0 {
            whole / 10f64.powi(-self.power)
        } else {
            whole * 10f64.powi(self.power)
        }
    }
}

/// The round numbers in `domain`, about `count`, in steps of 1, 2 or 5.
pub(super) fn ticks(domain: [f64; 2], count: usize) -> Ticks {
    let [low, high] = domain;
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return Ticks { values: vec![low], decimals: 3 };
    }
    let step = Step::new(span, count);
    let first = (step.count(low) - 1e-6).ceil() as i64;
    let last = (step.count(high) + 1e-6).floor() as i64;
    let values = (first..=last).map(|steps| step.times(steps as f64)).collect();
    Ticks { values, decimals: usize::try_from(-step.power).unwrap_or(0) }
}

/// The smallest domain with round ends that holds `domain`.
pub(super) fn round_domain(domain: [f64; 2], count: usize) -> [f64; 2] {
    let [low, high] = domain;
    if !(low.is_finite() && high.is_finite()) {
        return [0.0, 1.0];
    }
    if high <= low {
        let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        return round_domain([low - margin, low + margin], count);
    }
    let step = Step::new(high - low, count);
    let [first, last] = [(step.count(low) + 1e-6).floor(), (step.count(high) - 1e-6).ceil()];
    [step.times(first), step.times(last)]
}

/// Moves boxes as little as it takes (least squares) for none to overlap, inside `bounds` as far
/// as they fit. Boxes are given by centre and size, in rising order of centre; new centres come
/// back in that order.
pub(super) fn spread(boxes: &[(f64, f64)], bounds: [f64; 2]) -> Vec<f64> {
    // Without the room that earlier boxes take, centres need only not fall: isotonic regression,
    // by merging neighbours into blocks of (sum, count) for as long as they fall.
    let mut taken = 0.0;
    let mut offsets = Vec::with_capacity(boxes.len());
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &(centre, size) in boxes {
        let offset = taken + size / 2.0;
        offsets.push(offset);
        taken += size;
        let mut block = (centre - offset, 1);
        while let Some(&(sum, count)) = blocks.last() {
            if sum / count as f64 <= block.0 / block.1 as f64 {
                break;
            }
            block = (block.0 + sum, block.1 + count);
            blocks.pop();
        }
        blocks.push(block);
    }
    let room = (bounds[1] - taken).max(bounds[0]);
    let starts = blocks.into_iter().flat_map(|(sum, count)| {
        std::iter::repeat_n((sum / count as f64).clamp(bounds[0], room), count)
    });
    starts.zip(offsets).map(|(start, offset)| start + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_go_to_ends_and_one_value_to_the_middle() {
        let scale = Linear::new([0.5, 1.0], [300.0, 20.0]);
        assert_eq!([0.5, 0.75, 1.0].map(|v| scale.at(v)), [300.0, 160.0, 20.0]);
        assert_eq!(Linear::new([3.0, 3.0], [0.0, 10.0]).at(3.0), 5.0);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |domain, count| -> Vec<String> {
            let ticks = ticks(domain, count);
            ticks.values.iter().map(|v| format!("{v:.*}", ticks.decimals)).collect()
        };
        assert_eq!(labels([0.5, 1.0], 5), ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]);
        assert_eq!(labels([0.81, 0.87], 3), ["0.82", "0.84", "0.86"]);
        assert_eq!(labels([0.0, 79.0], 8), ["0", "10", "20", "30", "40", "50", "60", "70"]);
        assert_eq!(labels([-0.02, 0.03], 5), ["-0.02", "-0.01", "0.00", "0.01", "0.02", "0.03"]);
        assert_eq!(labels([0.0, 750.0], 4), ["0", "200", "400", "600"]);
    }

    #[test]
    fn ticks_of_nothing_are_one_number() {
        assert_eq!(ticks([0.7, 0.7], 5).values, [0.7]);
        assert_eq!(ticks([0.0, f64::INFINITY], 5).values.len(), 1);
    }

    #[test]
    fn domains_grow_to_round_ends() {
        assert_eq!(round_domain([0.602, 0.981], 5), [0.6, 1.0]);
        assert_eq!(round_domain([0.5, 1.0], 5), [0.5, 1.0]);
        assert_eq!(round_domain([f64::INFINITY, f64::NEG_INFINITY], 5), [0.0, 1.0]);
        let [low, high] = round_domain([0.7, 0.7], 5);
        assert!(low < 0.7 && 0.7 < high, "{low} {high}");
        assert_eq!(round_domain([0.0, 0.0], 2), [-1.0, 1.0]);
    }

    #[test]
    fn labels_that_fit_stay() {
        assert_eq!(
            spread(&[(10.0, 4.0), (20.0, 4.0), (24.0, 4.0)], [0.0, 50.0]),
            [10.0, 20.0, 24.0]
        );
        assert!(spread(&[], [0.0, 50.0]).is_empty());
    }

    #[test]
    fn labels_in_one_place_move_apart_evenly() {
        assert_eq!(spread(&[(20.0, 4.0); 3], [0.0, 50.0]), [16.0, 20.0, 24.0]);
    }

    #[test]
    fn labels_stay_inside_and_never_overlap() {
        for bounds in [[0.0, 60.0], [0.0, 100.0], [10.0, 70.0]] {
            let boxes: Vec<(f64, f64)> =
                (0..10).map(|i| (f64::from((i * i) % 7 * 10 + i), 6.0)).collect();
            let mut sorted = boxes.clone();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            let centres = spread(&sorted, bounds);
            assert!(centres.windows(2).all(|pair| pair[1] - pair[0] >= 6.0 - 1e-9), "{centres:?}");
            assert!(centres[0] >= bounds[0] + 3.0 - 1e-9, "{centres:?}");
            assert!(centres[9] <= bounds[1] - 3.0 + 1e-9, "{centres:?}");
        }
    }
}
