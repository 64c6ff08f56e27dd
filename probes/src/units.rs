//! What it takes to tell the difference of two results of different runs from chance.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{PairedDifference, Replicated};
use crate::means::Means;
use crate::result::NetworkScore;

/// A result on each of the units that it is a mean over, or on the replicates of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Units {
    /// The headline on bootstrap replicates of the test rows, or of their groups.
    Replicates(Replicated),
    /// The accuracy of every episode.
    Episodes(Vec<f64>),
    /// The accuracy of every fold of pairs.
    Folds(Vec<f64>),
}

impl Units {
    /// `self - other` on units that both have; `None` where either is undefined, or they are of
    /// different kinds or numbers. `networks` are those of each result, where it is the mean over
    /// several of random weights ([`ProbeResult::networks`](crate::ProbeResult::networks)).
    pub fn minus(&self, other: &Self, networks: [&[NetworkScore]; 2]) -> Option<PairedDifference> {
        let means = |of: fn(&[f64]) -> Means, a: &[f64], b: &[f64]| {
            let same = a.len() == b.len() && !a.is_empty();
            same.then(|| of(a).over(networks[0]).minus(&of(b).over(networks[1])))
        };
        match (self, other) {
            (Self::Replicates(a), Self::Replicates(b)) => {
                let same = a.replicates.len() == b.replicates.len() && a.units == b.units;
                a.minus(b).filter(|_| same)
            }
            (Self::Episodes(a), Self::Episodes(b)) => means(Means::normal, a, b),
            (Self::Folds(a), Self::Folds(b)) => means(Means::student, a, b),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_those_of_the_units() {
        let none: [&[NetworkScore]; 2] = [&[], &[]];
        let (a, b) = (vec![0.5, 0.7, 0.9, 0.6], vec![0.4, 0.6, 0.9, 0.6]);
        let of = Units::Episodes(a.clone()).minus(&Units::Episodes(b.clone()), none).unwrap();
        assert!((of.value - 0.05).abs() < 1e-12 && of.ci95.is_some());
        let folds = Units::Folds(a.clone()).minus(&Units::Folds(b.clone()), none).unwrap();
        let width = |d: PairedDifference| d.ci95.map(|[low, high]| high - low).unwrap();
        assert!(width(folds) > width(of), "Student's interval of four folds is wider");
        assert_eq!(Units::Folds(a.clone()).minus(&Units::Episodes(b), none), None);
        assert_eq!(Units::Folds(a).minus(&Units::Folds(vec![0.5]), none), None);

        let replicated = |shift: f64| {
            let replicates = (0..100).map(|i| Some(f64::from(i) / 100.0 + shift)).collect();
            Units::Replicates(Replicated { value: Some(0.5 + shift), replicates, units: 50 })
        };
        let difference = replicated(0.1).minus(&replicated(0.0), none).unwrap();
        assert!((difference.value - 0.1).abs() < 1e-12);
        let [low, high] = difference.ci95.unwrap();
        assert!((low - 0.1).abs() < 1e-9 && (high - 0.1).abs() < 1e-9);
        let text = serde_json::to_string(&replicated(0.1)).unwrap();
        assert_eq!(serde_json::from_str::<Units>(&text).unwrap(), replicated(0.1));
        let short = Units::Replicates(Replicated { value: Some(0.5), ..Replicated::default() });
        assert_eq!(short.minus(&Units::Episodes(vec![0.5]), none), None);
    }
}
