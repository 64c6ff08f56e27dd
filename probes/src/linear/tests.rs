use vdvae_features::{FeatureTable, Targets};

use super::*;
use crate::fixture::{noise, planted, table};
use crate::{Bootstrap, Evaluated, evaluate};

fn run(probe: &LinearProbe, make: impl Fn(u64) -> FeatureTable) -> Evaluated {
    evaluate(probe, &make(1), &make(2), &make(3), Bootstrap::default()).unwrap()
}

#[test]
fn planted_truth_is_found_by_both_solvers() {
    for solver in [Solver::Batched, Solver::Linfa] {
        let probe = LinearProbe { solver, ..LinearProbe::default() };
        let result = run(&probe, |seed| planted(400, seed)).result;
        let [easy, noisy] = &result.per_target[..] else { panic!("{result:?}") };
        assert_eq!((easy.auroc, easy.accuracy), (Some(1.0), Some(1.0)), "{easy:?}");
        assert!((0.75..0.95).contains(&noisy.auroc.unwrap()), "{noisy:?}");
        assert!(noisy.accuracy > noisy.base_rate && noisy.converged == Some(true));
        assert!(result.converged && result.solver == solver.name());
        let mean = 0.5 * (easy.auroc.unwrap() + noisy.auroc.unwrap());
        assert!((result.value.unwrap() - mean).abs() < 1e-12);
        let [low, high] = result.ci95.unwrap();
        assert!(low < mean && mean < high && high - low < 0.06, "{low} {high}");
    }
}

#[test]
fn fits_that_did_not_converge_are_reported() {
    let settings = Settings { max_iterations: 1, ..Settings::default() };
    let probe = LinearProbe { settings, ..LinearProbe::default() };
    assert!(!run(&probe, |seed| planted(400, seed)).result.converged);
}

#[test]
fn strength_is_chosen_on_validation_the_stronger_of_equals() {
    // One column only: its weight's size changes no ranking; these weights are too small to move
    // any row across the boundary.
    let one = |seed| {
        let features = noise(200, 1, seed);
        let values = features.mapv(|value| i8::from(value > 0.1));
        table(features, Targets::Binary { names: vec!["only".into()], values })
    };
    let probe = LinearProbe { strengths: vec![1e7, 1e9, 1e8], ..LinearProbe::default() };
    let chosen = &run(&probe, one).result.per_target[0];
    assert_eq!((chosen.strength, chosen.strength_edge), (Some(1e9), Some(StrengthEdge::Largest)));
    // At ordinary strengths the AUROCs are still equal, but the strongest calls no row positive.
    let only = &run(&LinearProbe::default(), one).result.per_target[0];
    assert!(only.strength.unwrap() < 1e6 && only.balanced_accuracy.unwrap() > 0.9, "{only:?}");
    assert_eq!(only.strength_edge, None);
}

#[test]
fn what_a_solver_cannot_fit_is_an_error() {
    let classes = |seed| crate::fixture::classes(60, seed);
    let linfa = LinearProbe { solver: Solver::Linfa, ..LinearProbe::default() };
    let refused = linfa.fit(&classes(1), &classes(2)).unwrap_err();
    assert!(refused.to_string().contains("use batched"), "{refused}");
    let idle = LinearProbe { strengths: vec![], ..LinearProbe::default() };
    let error = idle.fit(&planted(50, 1), &planted(50, 2)).unwrap_err().to_string();
    assert_eq!(error, "strengths: expected at least one, found none");
}
