use super::*;
use crate::fixture::{classes, noise, planted, reals, table};
use crate::{CentroidProbe, Error, KnnProbe, LinearProbe, RidgeProbe, shuffle_targets};

fn probes() -> [Box<dyn Probe>; 4] {
    [
        Box::new(LinearProbe::default()),
        Box::new(RidgeProbe::default()),
        Box::new(KnnProbe::default()),
        Box::new(CentroidProbe),
    ]
}

fn run(probe: &dyn Probe, tables: &[FeatureTable; 3]) -> Result<Evaluated> {
    let [train, valid, test] = tables;
    evaluate(probe, train, valid, test, Bootstrap { replicates: 400, seed: 0 })
}

fn three(make: impl Fn(u64) -> FeatureTable) -> [FeatureTable; 3] {
    [1, 2, 3].map(make)
}

#[test]
fn features_that_carry_the_label_score_one() {
    // The label itself, once as a column among noise, once as the only column.
    for columns in [1, 4] {
        let tables = three(|seed| {
            let mut features = noise(150, columns, seed) * 0.01;
            let values = noise(150, 1, seed + 50).mapv(|value| i8::from(value > 0.2));
            features.column_mut(0).assign(&values.column(0).mapv(f32::from));
            table(features, Targets::Binary { names: vec!["label".into()], values })
        });
        for probe in probes() {
            let result = run(&*probe, &tables).unwrap().result;
            assert_eq!((result.value, result.ci95), (Some(1.0), Some([1.0; 2])), "{result:?}");
            assert_eq!(result.per_target[0].balanced_accuracy, Some(1.0), "{}", probe.name());
        }
    }
    let tables = three(|seed| classes(300, seed));
    for probe in probes() {
        let result = run(&*probe, &tables).unwrap().result;
        assert_eq!((result.metric, result.value), (Metric::Accuracy, Some(1.0)), "{result:?}");
        let never = &result.per_target[3];
        assert_eq!((never.auroc, never.accuracy, never.base_rate), (None, Some(1.0), Some(1.0)));
        assert!(result.per_target[..3].iter().all(|class| class.auroc == Some(1.0)));
    }
}

#[test]
fn real_values_are_scored_by_r2() {
    let tables = three(|seed| reals(300, seed));
    let ridge = run(&RidgeProbe::default(), &tables).unwrap();
    assert_eq!(ridge.result.metric, Metric::R2);
    let [told, hidden] = &ridge.result.per_target[..] else { panic!() };
    // Exactly linear; the weakest penalty of 1 on 600 rows leaves 1e-5.
    assert!(told.r2.unwrap() > 0.999 && told.spearman.unwrap() > 0.999, "{told:?}");
    assert!(hidden.r2.unwrap() < 0.05 && hidden.auroc.is_none(), "{hidden:?}");
    let mean = 0.5 * (told.r2.unwrap() + hidden.r2.unwrap());
    assert!((ridge.result.value.unwrap() - mean).abs() < 1e-12);
    let knn = run(&KnnProbe::default(), &tables).unwrap().result;
    let r2 = knn.per_target[0].r2.unwrap();
    assert!((0.5..0.99).contains(&r2) && knn.per_target[0].neighbours.is_some(), "{knn:?}");
    for probe in [&LinearProbe::default() as &dyn Probe, &CentroidProbe] {
        let error = run(probe, &tables).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        assert!(error.to_string().ends_with("real-valued targets; use ridge or knn"));
    }
}

/// Scores of five classes, given for every row whatever its features.
#[derive(Debug)]
struct Given(Array2<f64>);

impl crate::probe::Model for Given {
    fn predict(&self, _features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        Ok(self.0.clone())
    }
}

/// scikit-learn 1.9.1, numpy:
///
/// ```python
/// y = np.repeat(range(5), [16, 10, 7, 5, 2]); i = np.arange(40)[:, None]; k = np.arange(5)
/// s = np.exp(np.sin(0.7 * i + 1.3 * k**2) + (k == y[:, None])); s /= s.sum(1, keepdims=True)
/// p = s.argmax(1)
/// accuracy_score(y, p), balanced_accuracy_score(y, p)
/// average_precision_score(y, s), roc_auc_score(y, s, multi_class="ovr")
/// recall_score(y, p, average=None)
/// ```
#[test]
fn classes_of_unequal_size_are_scored_as_by_scikit_learn() {
    let labels: Vec<u32> =
        (0..).zip([16, 10, 7, 5, 2]).flat_map(|(class, n)| vec![class; n]).collect();
    let mut scores = Array2::from_shape_fn((40, 5), |(i, k)| {
        let own = f64::from(u8::from(labels[i] as usize == k));
        ((0.7 * i as f64 + 1.3 * (k * k) as f64).sin() + own).exp()
    });
    for mut row in scores.rows_mut() {
        row /= row.sum();
    }
    let names = (0..5).map(|class| class.to_string()).collect();
    let table = table(Array2::zeros((40, 1)), Targets::Classes { names, labels });
    let choices = vec![Some(Choice::default()); 5];
    let fitted = Fitted::new(&CentroidProbe, &table, choices, Given(scores));
    let result = fitted.evaluate(&table, Bootstrap { replicates: 10, seed: 0 }).unwrap().result;
    let found = [
        result.accuracy(),
        result.balanced_accuracy(),
        result.mean(|class| class.average_precision),
        result.mean(|class| class.auroc),
    ];
    let expected =
        [0.625, 0.484_285_714_285_714_26, 0.591_748_767_187_554_4, 0.788_566_629_642_287_4];
    for (found, expected) in found.into_iter().zip(expected) {
        // Means of a few dozen terms in another order.
        assert!((found.unwrap() - expected).abs() < 1e-14, "{found:?} {expected}");
    }
    let recalls: Vec<Option<f64>> = result.per_target.iter().map(|class| class.recall).collect();
    assert_eq!(recalls, [0.75, 0.7, 4.0 / 7.0, 0.4, 0.0].map(Some));
}

#[test]
fn shuffled_labels_score_at_chance() {
    let tables = three(|seed| shuffle_targets(&planted(800, seed), seed));
    for probe in probes() {
        let result = run(&*probe, &tables).unwrap().result;
        let [low, high] = result.ci95.unwrap();
        assert!(low < 0.5 && 0.5 < high, "{result:?}");
    }
}

#[test]
fn groups_of_test_rows_widen_the_interval() {
    let copies: Vec<usize> = (0..600).map(|row| row / 10).collect();
    let mut tables = [planted(400, 1), planted(200, 2), planted(60, 3).select_rows(&copies)];
    for probe in probes() {
        tables[2].groups = None;
        let by_row = run(&*probe, &tables).unwrap().result;
        tables[2].groups = Some(copies.iter().map(|&row| row as u64).collect());
        let by_group = run(&*probe, &tables).unwrap().result;
        assert_eq!(by_row.value, by_group.value);
        let width = |result: &ProbeResult| result.ci95.map(|[low, high]| high - low).unwrap();
        assert!(width(&by_group) > 2.0 * width(&by_row), "{}", probe.name());
    }
}

#[test]
fn the_test_rows_choose_nothing() {
    let tables = [planted(300, 1), planted(100, 2), planted(100, 3)];
    let mut other = tables.clone();
    if let Targets::Binary { values, .. } = &mut other[2].targets {
        values.mapv_inplace(|label| if label < 0 { label } else { 1 - label });
    }
    let half: Vec<usize> = (0..50).collect();
    let part = [tables[0].clone(), tables[1].clone(), tables[2].select_rows(&half)];
    for probe in probes() {
        let [full, moved, part] = [&tables, &other, &part].map(|t| run(&*probe, t).unwrap());
        assert_eq!(full.scores, moved.scores);
        // Each row is scored by itself.
        let rows = full.scores.slice(ndarray::s![..50, ..]);
        let error = (&rows - &part.scores).iter().fold(0.0, |most: f32, e| most.max(e.abs()));
        assert!(error < 1e-5, "{}: {error}", probe.name());
        for (a, b) in full.result.per_target.iter().zip(&moved.result.per_target) {
            assert_eq!((a.strength, a.neighbours), (b.strength, b.neighbours));
        }
    }
}

#[test]
fn undefined_targets_are_reported_and_left_out_of_the_mean() {
    let with = |seed, missing: bool| {
        let mut table = planted(200, seed);
        if let (true, Targets::Binary { values, .. }) = (missing, &mut table.targets) {
            values.column_mut(0).fill(1);
        }
        table
    };
    for probe in probes() {
        // One class in train: nothing to fit.
        let result = run(&*probe, &[with(1, true), with(2, false), with(3, false)]).unwrap().result;
        let (broken, whole) = (&result.per_target[0], &result.per_target[1]);
        assert_eq!((broken.auroc, broken.strength, broken.converged), (None, None, None));
        assert!(broken.accuracy.is_none() && broken.base_rate.is_some());
        assert_eq!(result.value, whole.auroc);
        assert_eq!(result.undefined().map(|t| &t.target[..]).collect::<Vec<_>>(), ["easy"]);
        // One class in validation: the choice that suits the others. In test: no AUROC.
        let result = run(&*probe, &[with(1, false), with(2, true), with(3, false)]).unwrap().result;
        let [a, b] = [0, 1].map(|target| &result.per_target[target]);
        assert_eq!((a.strength, a.neighbours), (b.strength, b.neighbours));
        let result = run(&*probe, &[with(1, false), with(2, false), with(3, true)]).unwrap().result;
        assert_eq!(result.per_target[0].auroc, None);
        assert!(result.per_target[0].accuracy.is_some());
        assert_eq!(result.value, result.per_target[1].auroc);
    }
}

#[test]
fn mistakes_in_tables_are_one_line_each() {
    let (train, valid, test) = (planted(50, 1), planted(50, 2), planted(50, 3));
    let broken = |split: usize, break_it: &dyn Fn(&mut FeatureTable)| {
        let mut tables = [train.clone(), valid.clone(), test.clone()];
        break_it(&mut tables[split]);
        let lines = probes().map(|probe| run(&*probe, &tables).unwrap_err().to_string());
        assert!(lines.iter().all(|line| *line == lines[0] && !line.contains('\n')), "{lines:?}");
        lines[0].clone()
    };
    assert_eq!(
        broken(2, &|table| *table = table.select_columns(|column| column.channel < 3)),
        "test table: expected 6 columns, found 3"
    );
    assert_eq!(
        broken(1, &|table| *table = table.select_rows(&[])),
        "valid table: expected at least one row, found none"
    );
    assert_eq!(
        broken(0, &|table| table.features[[3, 2]] = f32::NAN),
        "train table: features of 3: column 2: expected a finite number, found NaN"
    );
    let line = broken(2, &|table| table.features[[3, 2]] = f32::INFINITY);
    assert!(line.starts_with("test table: features of 3: column 2:"), "{line}");
    assert!(broken(2, &|table| table.targets = Targets::None).contains("kind of targets"));
    assert_eq!(
        broken(0, &|table| table.targets = Targets::None),
        "train table: expected labels, found none"
    );
    let fill = |table: &mut FeatureTable| {
        if let Targets::Binary { values, .. } = &mut table.targets {
            values.fill(1);
        }
    };
    assert_eq!(
        broken(0, &fill),
        "train table: expected two values of at least one target, \
         found one value of each of 2 (`easy`, …)"
    );
    let mut same = classes(20, 1);
    if let Targets::Classes { labels, .. } = &mut same.targets {
        labels.fill(1);
    }
    let error = run(&KnnProbe::default(), &[same.clone(), same.clone(), same]).unwrap_err();
    let expected = "train table: expected rows of at least two classes, found only `b`";
    assert_eq!(error.to_string(), expected);
}
