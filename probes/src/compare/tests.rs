use super::*;
use crate::fixture::{coins, noise, planted, table};
use crate::{Bootstrap, LinearProbe, Origin, RidgeProbe, evaluate};

fn origin(source: Source, layers: Option<&str>, columns: usize) -> Origin {
    Origin {
        source,
        layers: layers.map(|layers| layers.parse().unwrap()),
        resolution: None,
        columns,
        matched_columns: None,
        train_fraction: 1.0,
        label_seed: None,
        network_seed: None,
    }
}

/// Latents of a coin and features that know nothing of it, in two resolutions; the interval of
/// the first and the p-value of their difference.
fn blind(seed: u64, group_size: usize) -> ([f64; 2], f64) {
    let rows = [180, 90, 90];
    let evaluated = ["4x4", "8x8"].map(|layers| {
        let tables = [0, 1, 2].map(|split| {
            let at = 1000 * seed + split as u64;
            let features =
                noise(rows[split], 3, at + 10 * layers.len() as u64 + u64::from(layers == "8x8"));
            let mut table = table(features, coins(rows[split], at + 500));
            // Whole groups share their label and their features.
            let copies: Vec<usize> = (0..rows[split]).map(|row| row - row % group_size).collect();
            table = table.select_rows(&copies);
            table.groups = Some(copies.iter().map(|&row| row as u64).collect());
            table
        });
        let [train, valid, test] = tables;
        let probe = RidgeProbe { strengths: vec![10.0] };
        let bootstrap = Bootstrap { replicates: 400, seed };
        let evaluated = evaluate(&probe, &train, &valid, &test, bootstrap).unwrap();
        evaluated.with_origin(origin(Source::Latents, Some(layers), 3))
    });
    let comparisons = compare(&evaluated);
    assert_eq!(comparisons.len(), 1, "{comparisons:?}");
    (evaluated[0].result.ci95.unwrap(), comparisons[0].p_value.unwrap())
}

/// Of 200 tries at the 5% level 10 are significant by chance; 18 leave 2.6 standard deviations.
fn at_most_eighteen(group_size: usize) {
    let tries: Vec<([f64; 2], f64)> = (0..200).map(|seed| blind(seed, group_size)).collect();
    let significant = tries.iter().filter(|(_, p)| *p < 0.05).count();
    let beside_chance = tries.iter().filter(|([low, high], _)| *low > 0.5 || *high < 0.5).count();
    assert!((1..=18).contains(&significant), "{significant} of 200 differences");
    assert!((1..=18).contains(&beside_chance), "{beside_chance} of 200 intervals");
}

#[test]
fn what_knows_nothing_is_seldom_significant() {
    at_most_eighteen(1);
}

#[test]
fn nor_where_rows_come_in_groups() {
    // Fifteen groups of six on test: by rows, a third of the tries would be significant.
    at_most_eighteen(6);
}

#[test]
fn what_knows_more_is_significant() {
    let tables = [1, 2, 3].map(|seed| planted(400, seed));
    let select = |keep: &dyn Fn(usize) -> bool| {
        tables.each_ref().map(|table| table.select_columns(|column| keep(column.channel)))
    };
    let run = |tables: &[vdvae_features::FeatureTable; 3], origin: Origin| {
        let [train, valid, test] = tables;
        let probe = LinearProbe::default();
        evaluate(&probe, train, valid, test, Bootstrap::default()).unwrap().with_origin(origin)
    };
    let evaluated = [
        run(&tables, origin(Source::Latents, Some("all"), 6)),
        run(&select(&|c| c != 2), origin(Source::Latents, Some("8x8"), 5)),
        run(&select(&|c| c == 1), origin(Source::Latents, Some("4x4"), 1)),
        run(&select(&|c| c > 3), origin(Source::Pixels, None, 2)),
        run(&select(&|c| c > 2), origin(Source::RandomInit, Some("8x8"), 3)),
    ];
    let comparisons = compare(&evaluated);
    let pairs: Vec<_> = comparisons
        .iter()
        .map(|c| {
            let name = |side: &Compared| {
                let layers = side.layers.map_or("-".to_owned(), |layers| layers.to_string());
                format!("{} {layers}", side.source)
            };
            format!("{} / {}", name(&c.a), name(&c.b))
        })
        .collect();
    assert_eq!(
        pairs,
        [
            "latents all / pixels -",
            "latents 8x8 / pixels -",
            "latents 8x8 / random-init 8x8",
            "latents 8x8 / latents 4x4",
            "latents 8x8 / latents all",
            "latents 4x4 / pixels -",
            "latents 4x4 / latents all",
        ]
    );
    let blind = &comparisons[4];
    let values = [0, 1].map(|index| evaluated[index].result.value.unwrap());
    assert!((blind.difference - (values[1] - values[0])).abs() < 1e-12);
    assert!(blind.ci95.unwrap()[1] < -0.05 && blind.p_value.unwrap() < 0.01, "{blind:?}");
}

#[test]
fn label_seeds_are_averaged_and_matched_columns_kept_apart() {
    let tables = [1, 2, 3].map(|seed| planted(100, seed));
    let [train, valid, test] = &tables;
    let run = |origin: Origin, rows: usize| {
        let train = train.select_rows(&(0..rows).collect::<Vec<_>>());
        let probe = LinearProbe::default();
        evaluate(&probe, &train, valid, test, Bootstrap::default()).unwrap().with_origin(origin)
    };
    let latents = origin(Source::Latents, Some("8x8"), 6);
    let seeded = |seed| Origin { train_fraction: 0.5, label_seed: Some(seed), ..latents };
    let wide = Origin { columns: 600, ..latents };
    let matched = Origin { matched_columns: Some(64), ..wide };
    let control = origin(Source::Pca, None, 64);
    let of_half = Origin { train_fraction: 0.5, ..control };
    let evaluated = [
        run(seeded(0), 40),
        run(seeded(1), 60),
        run(of_half, 50),
        run(matched, 80),
        run(wide, 80),
        run(control, 90),
    ];
    let comparisons = compare(&evaluated);
    let value = |index: usize| evaluated[index].result.value.unwrap();
    let expected = [
        0.5 * (value(0) + value(1)) - value(2),
        // The control has as many columns as were matched, and stands for itself in both.
        value(3) - value(5),
        value(4) - value(5),
    ];
    assert_eq!(comparisons.len(), expected.len(), "{comparisons:?}");
    for (found, expected) in comparisons.iter().zip(expected) {
        assert!((found.difference - expected).abs() < 1e-12, "{found:?}");
    }
}

#[test]
fn selectivity_is_the_gain_over_shuffled_labels() {
    let result = |source, layers: &str, value| ProbeResult {
        source,
        layers: Some(layers.parse().unwrap()),
        value: Some(value),
        ..ProbeResult::default()
    };
    let mut results = vec![
        result(Source::Latents, "8x8", 0.9),
        result(Source::Latents, "4x4", 0.8),
        result(Source::ShuffledLabels, "8x8", 0.5),
    ];
    set_selectivity(&mut results);
    let found: Vec<_> = results.iter().map(|result| result.selectivity).collect();
    assert_eq!(found, [Some(0.4), None, None]);
}
