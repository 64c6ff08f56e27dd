use ndarray::Array2;
use vdvae_features::{FeatureColumn, Targets};

use super::*;
use crate::fixture::{noise, reals, table, waves};

/// Twelve rows to fit, six to choose, three to predict, of waves.
fn splits(columns: usize) -> [FeatureTable; 3] {
    let split = |rows, phase| {
        let values = waves(rows, 1, [5.0, 0.0, phase]).mapv(f64::from);
        let targets = Targets::Real { names: vec!["wave".into()], values };
        table(waves(rows, columns, [7.0, 3.0, phase]), targets)
    };
    [split(12, 1.0), split(6, 2.0), split(3, 3.0)]
}

#[test]
fn agrees_with_scikit_learn_by_columns_and_by_rows() {
    // scikit-learn 1.9.1, of the same waves: s = StandardScaler().fit(train);
    // Ridge(alpha=2.0).fit(s.transform(vstack(train, valid)), y).predict(s.transform(test))
    let golden = [
        (4, [-0.017_773_335_079_649_746, -0.109_472_023_318_569_33, -0.105_648_786_053_348_83]),
        (30, [-0.035_739_899_573_448_56, -0.132_747_838_818_747_3, -0.121_638_068_104_285_32]),
    ];
    for (columns, expected) in golden {
        let [train, valid, test] = splits(columns);
        let fitted = RidgeProbe { strengths: vec![2.0] }.fit(&train, &valid).unwrap();
        for (found, expected) in fitted.predict(test.view()).unwrap().iter().zip(expected) {
            // sin differs in the last bit between the two; the condition number is below 1e3.
            assert!((found - expected).abs() < 1e-6, "{columns}: {found} {expected}");
        }
        assert_eq!(fitted.choices[0].unwrap().strength, Some(2.0));
    }
}

#[test]
fn weights_of_a_fit_by_rows_predict_the_same() {
    let [train, valid, test] = splits(30);
    let fitted = RidgeProbe::default().fit(&train, &valid).unwrap();
    let scores = fitted.predict(test.view()).unwrap();
    let linear = fitted.model.linear().unwrap().into_owned();
    assert_eq!(linear.weights.dim(), (1, 30));
    let by_weights = linear.predict(test.view()).unwrap();
    // The least penalty leaves large coefficients that cancel.
    assert!((&scores - &by_weights).iter().all(|e| e.abs() < 1e-9), "{scores} {by_weights}");
    let narrow = test.features.slice(ndarray::s![.., ..29]).to_owned();
    assert!(fitted.predict(narrow.view()).is_err());
}

#[test]
fn a_choice_at_an_end_of_the_strengths_is_told() {
    // Without noise the least penalty is the best.
    let exact = |seed| {
        let features = noise(100, 1, seed);
        let values = features.mapv(f64::from);
        table(features, Targets::Real { names: vec!["same".into()], values })
    };
    let chosen = |strengths: &[f64]| {
        let probe = RidgeProbe { strengths: strengths.to_vec() };
        let choice = probe.fit(&exact(1), &exact(2)).unwrap().choices[0].unwrap();
        (choice.strength.unwrap(), choice.edge)
    };
    assert_eq!(chosen(&[1.0, 0.01, 100.0]), (0.01, Some(StrengthEdge::Smallest)));
    assert_eq!(chosen(&[1.0]), (1.0, None));
}

#[test]
fn missing_rows_count_for_nobody() {
    // Two copies of a target, one of which misses a fifth of its rows, and the rows without them.
    for columns in [4, 700] {
        let with = |seed, missing: bool| {
            let mut table = reals(100, seed);
            let extra = crate::fixture::noise(100, columns, seed + 7);
            table.features = ndarray::concatenate![Axis(1), table.features, extra];
            let column = FeatureColumn { layer: None, resolution: None, channel: 0, cell: 0 };
            table.columns = vec![column; columns + 4];
            if let Targets::Real { values, .. } = &mut table.targets {
                let told = values.column(0).to_owned();
                values.column_mut(1).assign(&told);
                let every_fifth = |(row, value): (usize, &mut f64)| {
                    if missing && row % 5 == 1 {
                        *value = f64::NAN;
                    }
                };
                values.column_mut(0).iter_mut().enumerate().for_each(every_fifth);
            }
            table
        };
        let probe = RidgeProbe { strengths: vec![10.0] };
        let scores = |train: &FeatureTable, valid: &FeatureTable| {
            let fitted = probe.fit(train, valid).unwrap();
            fitted.predict(with(3, false).view()).unwrap()
        };
        let alone = scores(&with(1, false), &with(2, false));
        let both = scores(&with(1, true), &with(2, true));
        assert!((&alone.column(1) - &both.column(1)).iter().all(|e| e.abs() < 1e-9));
        let gap = (&both.column(0) - &both.column(1)).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
        assert!(gap > 1e-4, "{columns}: {gap}");
    }
}

#[test]
fn a_constant_column_changes_nothing() {
    let [train, valid, test] = splits(4);
    let with = |table: &FeatureTable| {
        let mut table = table.clone();
        table.features.column_mut(2).fill(3.0);
        table
    };
    let without = |table: &FeatureTable| {
        let mut table = table.clone();
        table.features = table.features.select(Axis(1), &[0, 1, 3]);
        table.columns.truncate(3);
        table
    };
    let probe = RidgeProbe::default();
    let a = probe.fit(&with(&train), &with(&valid)).unwrap().predict(with(&test).view()).unwrap();
    let b = probe.fit(&without(&train), &without(&valid)).unwrap();
    let b: Array2<f64> = b.predict(without(&test).view()).unwrap();
    assert!((&a - &b).iter().all(|e| e.abs() < 1e-12));
}

#[test]
fn no_strength_is_an_error() {
    let [train, valid, _] = splits(4);
    let error = RidgeProbe { strengths: vec![] }.fit(&train, &valid).unwrap_err();
    assert_eq!(error.to_string(), "strengths: expected at least one, found none");
    // The other sign makes the matrix indefinite.
    let [train, valid, _] = splits(30);
    let error = RidgeProbe { strengths: vec![-1e9] }.fit(&train, &valid).unwrap_err();
    assert!(error.to_string().starts_with("ridge: expected a well-conditioned"), "{error}");
}
