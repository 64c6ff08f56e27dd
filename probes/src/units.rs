//! What it takes to tell the difference of two results of different runs from chance.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{PairedDifference, Replicated};
use crate::means::Means;

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
    /// The mean of several results on the same units, such as of one probe on several draws of its
    /// training rows; those that are undefined are left out. `None` where they are of different kinds
    /// or numbers, or there are none.
    pub fn mean(of: &[&Self]) -> Option<Self> {
        let (mut estimates, mut episodes, mut folds) = (Vec::new(), Vec::new(), Vec::new());
        for one in of {
            match one {
                Self::Replicates(one) => estimates.push(one),
                Self::Episodes(row) => episodes.push(&**row),
                Self::Folds(row) => folds.push(&**row),
            }
        }
        match [estimates.len(), episodes.len(), folds.len()].map(|count| count == of.len()) {
            [true, false, false] => {
                let defined: Vec<&Replicated> =
                    estimates.into_iter().filter(|one| one.value.is_some()).collect();
                let size = |one: &Replicated| (one.units, one.replicates.len());
                let same = defined.windows(2).all(|pair| size(pair[0]) == size(pair[1]));
                same.then(|| Self::Replicates(Replicated::mean(&defined)))
            }
            [false, true, false] => average(&episodes).map(Self::Episodes),
            [false, false, true] => average(&folds).map(Self::Folds),
            _ => None,
        }
    }

    /// `self - other` on units that both have; `None` where either is undefined, or they are of
    /// different kinds or numbers.
    pub fn minus(&self, other: &Self) -> Option<PairedDifference> {
        let means = |of: fn(&[f64]) -> Means, a: &[f64], b: &[f64]| {
            let same = a.len() == b.len() && !a.is_empty();
            same.then(|| of(a).minus(&of(b)))
        };
        match (self, other) {
            (Self::Replicates(a), Self::Replicates(b)) => {
                let same = a.replicates.len() == b.replicates.len() && a.units == b.units;
                same.then(|| a.minus(b))?
            }
            (Self::Episodes(a), Self::Episodes(b)) => means(Means::normal, a, b),
            (Self::Folds(a), Self::Folds(b)) => means(Means::student, a, b),
            _ => None,
        }
    }
}

/// The mean of rows of one length, number by number.
fn average(rows: &[&[f64]]) -> Option<Vec<f64>> {
    let length = rows.first()?.len();
    let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64;
    rows.iter().all(|row| row.len() == length).then(|| (0..length).map(mean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_those_of_the_units() {
        let (a, b) = (vec![0.5, 0.7, 0.9, 0.6], vec![0.4, 0.6, 0.9, 0.6]);
        let of = Units::Episodes(a.clone()).minus(&Units::Episodes(b.clone())).unwrap();
        assert!((of.value - 0.05).abs() < 1e-12 && of.ci95.is_some());
        let folds = Units::Folds(a.clone()).minus(&Units::Folds(b.clone())).unwrap();
        let width = |d: PairedDifference| d.ci95.map(|[low, high]| high - low).unwrap();
        assert!(width(folds) > width(of), "Student's interval of four folds is wider");
        assert_eq!(Units::Folds(a.clone()).minus(&Units::Episodes(b)), None);
        assert_eq!(Units::Folds(a).minus(&Units::Folds(vec![0.5])), None);

        let replicated = |shift: f64| {
            let replicates = (0..100).map(|i| Some(f64::from(i) / 100.0 + shift)).collect();
            Units::Replicates(Replicated { value: Some(0.5 + shift), replicates, units: 50 })
        };
        let difference = replicated(0.1).minus(&replicated(0.0)).unwrap();
        assert!((difference.value - 0.1).abs() < 1e-12);
        let [low, high] = difference.ci95.unwrap();
        assert!((low - 0.1).abs() < 1e-9 && (high - 0.1).abs() < 1e-9);
        let text = serde_json::to_string(&replicated(0.1)).unwrap();
        assert_eq!(serde_json::from_str::<Units>(&text).unwrap(), replicated(0.1));
        let short = Units::Replicates(Replicated { value: Some(0.5), ..Replicated::default() });
        assert_eq!(short.minus(&Units::Episodes(vec![0.5])), None);
    }

    #[test]
    fn means_are_over_the_same_units() {
        let episodes = |values: &[f64]| Units::Episodes(values.to_vec());
        let (a, b) = (episodes(&[0.25, 0.75]), episodes(&[0.75, 1.0]));
        assert_eq!(Units::mean(&[&a, &b]), Some(episodes(&[0.5, 0.875])));
        let replicated = |value, replicates: &[f64]| {
            let replicates = replicates.iter().copied().map(Some).collect();
            Units::Replicates(Replicated { value, replicates, units: 9 })
        };
        let (c, d) = (replicated(Some(0.5), &[0.25, 0.5]), replicated(Some(1.0), &[0.75, 1.0]));
        let mean = replicated(Some(0.75), &[0.5, 0.75]);
        assert_eq!(Units::mean(&[&c, &replicated(None, &[]), &d]), Some(mean));
        let others = [episodes(&[0.5]), Units::Folds(vec![0.5, 0.5]), c.clone()];
        assert!(others.iter().all(|other| Units::mean(&[&a, other]).is_none()));
        assert_eq!(Units::mean(&[&c, &replicated(Some(0.5), &[0.5])]), None);
        assert_eq!(Units::mean(&[]), None);
    }
}
