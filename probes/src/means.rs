//! Means over units that results share, episodes or folds, and how far off they may be.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::bootstrap::PairedDifference;
use crate::compare::Paired;
use crate::moments::{mean, standard_error};
use crate::result::NetworkScore;

/// Quantile of the normal interval that few-shot papers quote.
const QUANTILE: f64 = 1.96;

/// How far a mean may be off.
#[derive(Debug, Clone, Copy)]
struct Error {
    /// Its standard error.
    standard: f64,
    /// Degrees of freedom that the standard error is known with; infinite for a normal interval.
    freedom: f64,
}

impl Error {
    /// That of a sum of two independent numbers; degrees of freedom by Welch and Satterthwaite.
    fn and(self, other: Self) -> Self {
        let [a, b] = [self, other].map(|one| one.standard.powi(2));
        let known = a * a / self.freedom + b * b / other.freedom;
        match known > 0.0 {
            true => Self { standard: (a + b).sqrt(), freedom: (a + b).powi(2) / known },
            false => Self { standard: (a + b).sqrt(), freedom: self.freedom.max(other.freedom) },
        }
    }

    /// Half the width of the 95% interval.
    fn half_width(self) -> f64 {
        let quantile = self.student().map_or(QUANTILE, |student| student.inverse_cdf(0.975));
        self.standard * quantile
    }

    /// Two-sided, of nothing but chance; `None` where there is no chance and yet a difference.
    fn p_value(self, difference: f64) -> Option<f64> {
        if self.standard == 0.0 {
            return (difference == 0.0).then_some(1.0);
        }
        let ratio = (difference / self.standard).abs();
        let tail = |student: StudentsT| student.sf(ratio);
        Some(2.0 * self.student().map_or_else(|| Normal::standard().sf(ratio), tail))
    }

    /// `None` where the normal distribution stands for it.
    fn student(self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.freedom).ok().filter(|_| self.freedom.is_finite())
    }
}

/// A number for each unit, and what their mean may be off by.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    values: Vec<f64>,
    /// Whether intervals are Student's, not normal.
    student: bool,
    /// Of means over several networks, where what is asked about is the mean over all such.
    networks: Option<Error>,
}

impl Means {
    /// With the normal interval that few-shot papers quote.
    pub(crate) fn normal(values: &[f64]) -> Self {
        Self { values: values.to_vec(), student: false, networks: None }
    }

    /// With Student's interval, for a few units.
    pub(crate) fn student(values: &[f64]) -> Self {
        Self { student: true, ..Self::normal(values) }
    }

    /// Says that each value is a mean over these networks: the mean over all such networks differs
    /// from it by s / √n times a Student's t with n - 1 degrees of freedom, s their standard deviation.
    pub(crate) fn over(self, networks: &[NetworkScore]) -> Self {
        let values: Vec<f64> = networks.iter().filter_map(|network| network.value).collect();
        let freedom = values.len().saturating_sub(1) as f64;
        let networks = standard_error(&values).map(|standard| Error { standard, freedom });
        Self { networks, ..self }
    }

    pub(crate) fn mean(&self) -> f64 {
        mean(&self.values)
    }

    /// Half the width of the mean's 95% interval; `None` for fewer than two units.
    pub(crate) fn half_width(&self) -> Option<f64> {
        Some(self.error()?.half_width())
    }

    fn error(&self) -> Option<Error> {
        let units = self.values.len() as f64;
        let freedom = if self.student { units - 1.0 } else { f64::INFINITY };
        let error = Error { standard: standard_error(&self.values)?, freedom };
        Some(self.networks.iter().fold(error, |error, networks| error.and(*networks)))
    }

    /// `self - other` on the same units.
    ///
    /// # Panics
    /// When the two have other numbers of units.
    pub(crate) fn minus(&self, other: &Self) -> PairedDifference {
        assert_eq!(self.values.len(), other.values.len(), "the same units");
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a - b).collect();
        let networks = self.networks.into_iter().chain(other.networks).reduce(Error::and);
        let differences = Self { values, student: self.student, networks };
        let (value, error) = (differences.mean(), differences.error());
        let half = error.map(Error::half_width);
        PairedDifference {
            value,
            ci95: half.map(|half| [value - half, value + half]),
            p_value: error.and_then(|error| error.p_value(value)),
        }
    }
}

impl Paired for Means {
    fn value(&self) -> Option<f64> {
        Some(self.mean())
    }

    fn difference(&self, other: &Self) -> Option<PairedDifference> {
        Some(self.minus(other))
    }
}

/// Means over several of the same units: `of[network][unit]` becomes a number a unit.
pub(crate) fn unit_means<'a>(of: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let of: Vec<&[f64]> = of.collect();
    let unit = |unit| of.iter().map(|values: &&[f64]| values[unit]).sum::<f64>() / of.len() as f64;
    (0..of.first().map_or(0, |values| values.len())).map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.ttest_rel([.9, .8, .85, .95], [.85, .8, .8, .85]): t = 2.4495, p = 0.0917.
    #[test]
    fn few_units_are_compared_by_students_paired_test() {
        let [a, b] = [[0.9, 0.8, 0.85, 0.95], [0.85, 0.8, 0.8, 0.85]].map(|v| Means::student(&v));
        let found = a.minus(&b);
        assert!((found.value - 0.05).abs() < 1e-12);
        assert!((found.p_value.unwrap() - 0.0917).abs() < 1e-4, "{found:?}");
        // 0.05 ± 3.1824 · 0.020412.
        let [low, high] = found.ci95.unwrap();
        assert!((low + 0.01496).abs() < 1e-4 && (high - 0.11496).abs() < 1e-4, "{low} {high}");
        let same = a.minus(&a);
        assert_eq!((same.value, same.p_value), (0.0, Some(1.0)));
    }

    fn networks(values: &[f64]) -> Vec<NetworkScore> {
        (0..).zip(values).map(|(seed, &value)| NetworkScore { seed, value: Some(value) }).collect()
    }

    /// Networks that lie apart widen the interval as Welch's test says: of episodes that all have the
    /// same difference it is Student's over the networks alone, 0.5 ± 4.3027 · 0.057735.
    #[test]
    fn networks_widen_intervals() {
        let ours = Means::normal(&[0.9; 50]);
        let mean = Means::normal(&[0.4; 50]).over(&networks(&[0.3, 0.4, 0.5]));
        let found = ours.minus(&mean);
        let [low, high] = found.ci95.unwrap();
        assert!((low - 0.251_586).abs() < 1e-5 && (high - 0.748_414).abs() < 1e-5, "{found:?}");
        // scipy.stats.ttest_1samp([.6, .5, .4], 0): p = 0.013072.
        assert!((found.p_value.unwrap() - 0.013_072).abs() < 1e-5, "{found:?}");

        // With units that differ by as much: standard errors 0.1 and 0.1 over 50 and 3 of them, in all
        // 0.141421 with 1 / (0.25 / 49 + 0.25 / 2) = 7.6863 degrees of freedom, quantile 2.32243.
        let spread: Vec<f64> = (0..50).map(|at| f64::from(at % 2) * 1.4).collect();
        let deviation = standard_error(&spread).unwrap();
        let scaled: Vec<f64> = spread.iter().map(|value| value * 0.1 / deviation).collect();
        let apart = 0.1 * 3f64.sqrt();
        let of = networks(&[0.5 - apart, 0.5, 0.5 + apart]);
        let half = Means::student(&scaled).over(&of).half_width().unwrap();
        assert!((half - 0.141_421 * 2.322_43).abs() < 1e-4, "{half}");
        // One network says nothing of others.
        let alone = Means::student(&scaled).over(&networks(&[0.5]));
        assert_eq!(alone.half_width(), Means::student(&scaled).half_width());
    }
}
