//! Several networks with random weights as one control.

use crate::bootstrap::Replicated;
use crate::evaluate::Evaluated;
use crate::result::{ProbeResult, TargetResult};

/// Replaces results that differ in the seed of their random weights alone
/// ([`Origin::network_seed`](crate::Origin::network_seed)) by one in the place of the first: means of
/// all numbers, with the interval of [`Replicated::over_networks`]. It has neither test scores nor a
/// strength, which each network has for itself.
pub fn average_networks(evaluated: &[Evaluated]) -> Vec<Evaluated> {
    let mut groups: Vec<Vec<&Evaluated>> = Vec::new();
    for one in evaluated {
        let of_same = |group: &&mut Vec<&Evaluated>| {
            let (a, b) = (&group[0].result, &one.result);
            let several = !a.networks.is_empty() && !b.networks.is_empty();
            several && a.side() == b.side() && a.label_seed == b.label_seed
        };
        match groups.iter_mut().find(of_same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.iter().map(|group| average(group)).collect()
}

fn average(networks: &[&Evaluated]) -> Evaluated {
    let [first, _, ..] = networks else { return networks[0].clone() };
    let replicated: Vec<&Replicated> = networks.iter().map(|one| &one.replicated).collect();
    let replicated = Replicated::over_networks(&replicated);
    let results: Vec<&ProbeResult> = networks.iter().map(|one| &one.result).collect();
    let targets = (0..first.result.per_target.len())
        .map(|at| target(&results.iter().map(|result| &result.per_target[at]).collect::<Vec<_>>()));
    let result = ProbeResult {
        value: replicated.value,
        ci95: replicated.interval(),
        converged: results.iter().all(|result| result.converged),
        networks: results.iter().flat_map(|result| &result.networks).copied().collect(),
        per_target: targets.collect(),
        ..first.result.clone()
    };
    Evaluated { result, replicated, scores: Default::default(), truth: first.truth.clone() }
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
