//! Intervals and p-values from replicates.
//!
//! The interval is the expanded percentile interval (Hesterberg 2015, "What Teachers Should Know
//! about the Bootstrap", section 5): percentiles further out than 2.5 and 97.5, by what the normal
//! quantile and the missing factor n / (n - 1) of the variance leave short of Student's t with
//! n - 1 degrees of freedom. n counts what is resampled as a whole, rows or groups, so that a
//! handful of groups gives an honest interval. The two-sided p-value of a difference is the level
//! at which that interval just touches zero, one replicate added on each side, so that it is never
//! zero.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// An estimate on the rows themselves and on every replicate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Replicated {
    /// On the rows themselves; `None` where it is undefined.
    pub value: Option<f64>,
    /// On every replicate, in order; empty where `value` is undefined.
    pub replicates: Vec<Option<f64>>,
    /// Rows or groups that were resampled as wholes.
    pub units: usize,
}

/// The difference of two estimates of the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// `a - b`.
    pub value: f64,
    /// Its 95% interval over replicates that both estimates share.
    pub ci95: Option<[f64; 2]>,
    /// Two-sided p-value of no difference; not corrected for the number of comparisons made.
    pub p_value: Option<f64>,
}

impl Replicated {
    /// The 95% interval; `None` where the estimate is undefined, or fewer than two units or no
    /// replicates were drawn.
    pub fn interval(&self) -> Option<[f64; 2]> {
        self.value?;
        let scale = Expansion::of(self.units)?;
        percentiles(self.replicates.iter().flatten().copied().collect(), scale.share(0.025))
    }

    /// `self - other` on the replicates that both share, which gives a much narrower interval than
    /// the two side by side suggest; `None` where either is undefined.
    ///
    /// # Panics
    /// When both are defined and differ in their number of replicates.
    pub fn minus(&self, other: &Self) -> Option<PairedDifference> {
        let value = self.value? - other.value?;
        assert_eq!(self.replicates.len(), other.replicates.len(), "the same replicates");
        let pairs = self.replicates.iter().zip(&other.replicates);
        let differences: Vec<f64> = pairs.filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
        let scale = Expansion::of(self.units.min(other.units));
        let p_value = scale.as_ref().and_then(|scale| scale.p_value(&differences));
        let ci95 = scale.and_then(|scale| percentiles(differences, scale.share(0.025)));
        Some(PairedDifference { value, ci95, p_value })
    }

    /// The mean of several estimates of the same rows, replicate by replicate, such as one probe
    /// on several draws of its training rows. Those that are undefined are left out.
    ///
    /// # Panics
    /// When two that are defined differ in their number of replicates.
    pub fn mean(of: &[&Self]) -> Self {
        let defined: Vec<&&Self> = of.iter().filter(|one| one.value.is_some()).collect();
        let average = |value: &dyn Fn(&Self) -> Option<f64>| {
            let sum = defined.iter().try_fold(0.0, |sum, one| Some(sum + value(one)?))?;
            Some(sum / defined.len() as f64)
        };
        let Some(first) = defined.first() else { return Self::default() };
        let count = first.replicates.len();
        assert!(defined.iter().all(|one| one.replicates.len() == count), "the same replicates");
        Self {
            value: average(&|one| one.value),
            replicates: (0..count).map(|index| average(&|one| one.replicates[index])).collect(),
            units: first.units,
        }
    }

    /// [`Self::mean`] of several networks with random weights, where what is asked about is the mean
    /// over all such networks. That of the few at hand misses it by s / √n times a Student's t with
    /// n - 1 degrees of freedom, s their standard deviation: to every replicate, which redraws rows, a
    /// draw of that error is added, so that intervals and differences hold for other rows and other
    /// networks.
    ///
    /// # Panics
    /// As [`Self::mean`].
    pub fn over_networks(of: &[&Self]) -> Self {
        let mut mean = Self::mean(of);
        let values: Vec<f64> = of.iter().filter_map(|one| one.value).collect();
        let (Some(centre), Some(freedom)) = (mean.value, values.len().checked_sub(1)) else {
            return mean;
        };
        let Ok(student) = StudentsT::new(0.0, 1.0, freedom as f64) else { return mean };
        let square: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
        let error = (square / (freedom * values.len()) as f64).sqrt();
        // Evenly spaced quantiles in random order: as a sample of the distribution, with less noise.
        let count = mean.replicates.len();
        let mut places: Vec<usize> = (0..count).collect();
        places.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        for (replicate, place) in mean.replicates.iter_mut().zip(places) {
            let quantile = student.inverse_cdf((place as f64 + 0.5) / count as f64);
            *replicate = replicate.map(|value| value + error * quantile);
        }
        mean
    }
}

/// How much further out percentiles are read for a number of units.
struct Expansion {
    normal: Normal,
    student: StudentsT,
    /// √(n / (n - 1)).
    factor: f64,
}

impl Expansion {
    /// `None` for fewer than two units, of which nothing can be said.
    fn of(units: usize) -> Option<Self> {
        if units < 2 {
            return None;
        }
        let (units, freedom) = (units as f64, (units - 1) as f64);
        Some(Self {
            normal: Normal::standard(),
            student: StudentsT::new(0.0, 1.0, freedom).ok()?,
            factor: (units / freedom).sqrt(),
        })
    }

    /// The share of replicates to leave on either side for an interval that misses the truth by
    /// `tail` there.
    fn share(&self, tail: f64) -> f64 {
        self.normal.cdf(self.factor * self.student.inverse_cdf(tail))
    }

    /// Twice the tail whose share of replicates lies beyond zero; `None` without replicates.
    fn p_value(&self, differences: &[f64]) -> Option<f64> {
        if differences.is_empty() {
            return None;
        }
        let beyond = |side: fn(&&f64) -> bool| 1 + differences.iter().filter(side).count();
        let fewest = beyond(|d| **d <= 0.0).min(beyond(|d| **d >= 0.0));
        let share = (fewest as f64 / (differences.len() + 1) as f64).min(0.5);
        let tail = self.student.cdf(self.normal.inverse_cdf(share) / self.factor);
        Some((2.0 * tail).min(1.0))
    }
}

/// Percentiles at `share` and `1 - share`, interpolated linearly (numpy's default).
fn percentiles(mut values: Vec<f64>, share: f64) -> Option<[f64; 2]> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| {
        let position = share * last as f64;
        let (low, part) = (position.floor() as usize, position.fract());
        values[low] + part * (values[(low + 1).min(last)] - values[low])
    };
    Some([at(share), at(1.0 - share)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        // numpy.percentile(range(101), [2.5, 97.5])
        let values = (0..=100).map(f64::from).collect();
        assert_eq!(percentiles(values, 0.025), Some([2.5, 97.5]));
        assert_eq!(percentiles(vec![], 0.025), None);
    }

    #[test]
    fn few_units_read_further_out() {
        // scipy 1.17: n = 10; norm.cdf(sqrt(n / (n - 1)) * t.ppf(0.025, n - 1)) = 0.008550639
        let share = Expansion::of(10).unwrap().share(0.025);
        assert!((share - FEW).abs() < 1e-7, "{share}");
        assert!((Expansion::of(100_000).unwrap().share(0.025) - 0.025).abs() < 1e-4);
        assert!(Expansion::of(1).is_none());
    }

    /// See `few_units_read_further_out`.
    const FEW: f64 = 0.008_550_639_024;

    #[test]
    fn p_values_agree_with_the_interval() {
        // A hundred thousand units: plain percentiles. 2% of the replicates lie at or below zero.
        let scale = Expansion::of(100_000).unwrap();
        let differences: Vec<f64> = (0..1000).map(|i| f64::from(i - 19)).collect();
        let p = scale.p_value(&differences).unwrap();
        // 2 · (20 + 1) / 1001; the quantile functions add 1e-5.
        assert!((p - 42.0 / 1001.0).abs() < 1e-4, "{p}");
        assert!(percentiles(differences, scale.share(0.025)).unwrap()[0] > 0.0);
        assert_eq!(scale.p_value(&[0.0; 50]), Some(1.0));
        let certain = scale.p_value(&[1.0; 999]).unwrap();
        assert!((certain - 0.002).abs() < 1e-5, "{certain}");
    }

    #[test]
    fn means_are_taken_replicate_by_replicate() {
        let one = |value, shift: f64| Replicated {
            value,
            replicates: vec![Some(1.0 + shift), None, Some(3.0 + shift)],
            units: 9,
        };
        let (a, b) = (one(Some(1.0), 0.0), one(Some(2.0), 1.0));
        let undefined = Replicated { units: 9, ..Replicated::default() };
        let mean = Replicated::mean(&[&a, &undefined, &b]);
        assert_eq!(mean.replicates, [Some(1.5), None, Some(3.5)]);
        assert_eq!((mean.value, mean.units), (Some(1.5), 9));
        assert_eq!(Replicated::mean(&[&undefined]).value, None);
        assert_eq!(a.minus(&undefined), None);
    }

    #[test]
    fn the_spread_of_networks_widens_the_interval() {
        let network = |value: f64| Replicated {
            value: Some(value),
            replicates: vec![Some(value); 4001],
            units: 100_000,
        };
        let networks = [0.80, 0.82, 0.87].map(network);
        let [a, b, c] = &networks;
        let mean = Replicated::over_networks(&[a, b, c]);
        // The rows say nothing here. scipy 1.17: t.interval(0.95, 2, 0.83, sem([0.80, 0.82, 0.87]))
        // = 0.740433, 0.919567; 4001 quantiles of a wide distribution are that good.
        let [low, high] = mean.interval().unwrap();
        assert!((low - 0.740_433).abs() < 1e-3 && (high - 0.919_567).abs() < 1e-3, "{low} {high}");
        let difference = network(0.90).minus(&mean).unwrap();
        let [low, high] = difference.ci95.unwrap();
        assert!((low + 0.019_567).abs() < 1e-3 && (high - 0.159_567).abs() < 1e-3);
        // scipy: 2 t.sf(0.07 / sem, 2) = 0.0782
        assert!((difference.p_value.unwrap() - 0.0782).abs() < 2e-3, "{difference:?}");
        assert_eq!(Replicated::over_networks(&[a]), *a);
    }
}
