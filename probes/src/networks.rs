//! Several networks with random weights as one control.

use crate::bootstrap::Replicated;
use crate::evaluate::Evaluated;
use crate::result::{ProbeResult, TargetResult};

/// What a task keeps of one line of its table, which may be one of several networks.
pub trait OfNetwork: Clone {
    /// The entry of `results.json`.
    fn result(&self) -> &ProbeResult;

    /// One in the place of several that differ in the seed of their random weights alone.
    #[must_use]
    fn average(networks: &[&Self]) -> Self;
}

/// Replaces results that differ in the seed of their random weights alone
/// ([`Origin::network_seed`](crate::Origin::network_seed)) by one in the place of the first: means of
/// all numbers, with an interval for other such networks, too. What belongs to a network alone, such as
/// the strength of a penalty, a threshold or a curve, a mean does not have.
///
/// Intervals of labels are those of [`Replicated::over_networks`]; those of episodes and of folds add
/// the variance of the mean over networks to that over units (Welch).
pub fn average_networks<T: OfNetwork>(evaluated: &[T]) -> Vec<T> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for one in evaluated {
        let of_same = |group: &&mut Vec<&T>| {
            let (a, b) = (group[0].result(), one.result());
            let several = !a.networks.is_empty() && !b.networks.is_empty();
            several && a.side() == b.side() && a.label_seed == b.label_seed
        };
        match groups.iter_mut().find(of_same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let average = |group: &Vec<&T>| match group[..] {
        [one] => one.clone(),
        _ => T::average(group),
    };
    groups.iter().map(average).collect()
}

impl OfNetwork for Evaluated {
    fn result(&self) -> &ProbeResult {
        &self.result
    }

    /// Without test scores.
    fn average(networks: &[&Self]) -> Self {
        let replicated: Vec<&Replicated> = networks.iter().map(|one| &one.replicated).collect();
        let replicated = Replicated::over_networks(&replicated);
        let result = ProbeResult {
            value: replicated.value,
            ci95: replicated.interval(),
            ..ProbeResult::of_networks(networks.iter().map(|one| &one.result))
        };
        let truth = networks[0].truth.clone();
        Self { result, replicated, scores: Default::default(), truth }
    }
}

impl ProbeResult {
    /// What results of several networks have in common whatever they measure; headline and interval
    /// are those of the first.
    pub(crate) fn of_networks<'a>(of: impl Iterator<Item = &'a Self>) -> Self {
        let of: Vec<&Self> = of.collect();
        let targets = (0..of[0].per_target.len())
            .map(|at| target(&of.iter().map(|one| &one.per_target[at]).collect::<Vec<_>>()));
        Self {
            converged: of.iter().all(|one| one.converged),
            networks: of.iter().flat_map(|one| &one.networks).copied().collect(),
            per_target: targets.collect(),
            ..of[0].clone()
        }
    }
}

/// Means over networks of what one target measures; of what no network defines, `None`.
fn target(networks: &[&TargetResult]) -> TargetResult {
    let mean = |of: fn(&TargetResult) -> Option<f64>| {
        let defined: Vec<f64> = networks.iter().filter_map(|one| of(one)).collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    };
    let converged = networks.iter().filter_map(|one| one.converged);
    TargetResult {
        target: networks[0].target.clone(),
        auroc: mean(|one| one.auroc),
        average_precision: mean(|one| one.average_precision),
        balanced_accuracy: mean(|one| one.balanced_accuracy),
        recall: mean(|one| one.recall),
        accuracy: mean(|one| one.accuracy),
        base_rate: mean(|one| one.base_rate),
        r2: mean(|one| one.r2),
        pearson: mean(|one| one.pearson),
        spearman: mean(|one| one.spearman),
        converged: converged.reduce(|a, b| a && b),
        ..TargetResult::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::planted;
    use crate::{Bootstrap, Origin, RidgeProbe, Source, compare, evaluate};

    fn evaluated(source: Source, network_seed: Option<u64>, data: u64) -> Evaluated {
        let probe = RidgeProbe { strengths: vec![1.0, 10.0] };
        let [train, valid] = [data, data + 1].map(|seed| planted(60, seed));
        // The test rows are the same for all.
        let one = evaluate(&probe, &train, &valid, &planted(200, 99), Bootstrap::default());
        let origin = Origin {
            source,
            layers: None,
            resolution: None,
            columns: 3,
            matched_columns: None,
            train_fraction: 1.0,
            label_seed: None,
            network_seed,
        };
        one.unwrap().with_origin(origin)
    }

    #[test]
    fn networks_of_several_seeds_are_one_result() {
        let latents = evaluated(Source::Latents, None, 1);
        let networks = [3, 4, 5].map(|seed| evaluated(Source::RandomInit, Some(seed), 10 * seed));
        let all = [vec![latents.clone()], networks.to_vec()].concat();
        let averaged = average_networks(&all);
        assert_eq!(averaged.len(), 2);
        assert_eq!(averaged[0].result, latents.result);
        let control = &averaged[1].result;
        let seeds: Vec<u64> = control.networks.iter().map(|network| network.seed).collect();
        assert_eq!(seeds, [3, 4, 5]);
        let values = networks.each_ref().map(|one| one.result.value.unwrap());
        let mean = values.iter().sum::<f64>() / 3.0;
        assert!((control.value.unwrap() - mean).abs() < 1e-12);
        let noisy = networks.each_ref().map(|one| one.result.per_target[1].auroc.unwrap());
        let found = control.per_target[1].auroc.unwrap();
        assert!((found - noisy.iter().sum::<f64>() / 3.0).abs() < 1e-12);
        assert_eq!(control.per_target[1].strength, None);
        assert!(averaged[1].scores.is_empty());
        // Wider than that of any network alone, by how far they lie apart.
        let width = |one: &ProbeResult| one.ci95.map(|[low, high]| high - low).unwrap();
        assert!(networks.iter().all(|one| width(&one.result) < width(control)), "{control:?}");

        let [difference] = &compare(&averaged)[..] else { panic!("one pair") };
        let expected = latents.result.value.unwrap() - mean;
        assert!((difference.difference - expected).abs() < 1e-12);
        assert_eq!(average_networks(&averaged)[1].result, *control, "a mean of one is itself");
    }
}
