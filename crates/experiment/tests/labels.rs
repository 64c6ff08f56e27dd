//! Labels of several kinds, and splits that share what should keep them apart.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use image::{Rgb, RgbImage};
use vdvae_datasets::{Dataset, Labels, Split};
use vdvae_experiment::{Error, Experiment, Report, Result, TargetsTask};
use vdvae_features::LayerSelection;
use vdvae_model::Vdvae;
use vdvae_probes::{Bootstrap, LinearProbe, Metric, Shared, Source};
use vdvae_report::{report_table, results_csv};

/// Pictures of one grey each, which tells whether they are bright, of what kind, and how bright.
struct Greys {
    /// The first test picture is one of train, and of its group.
    leaks: bool,
    /// Kinds of train, of the three there are; the third is then called like the first.
    kinds: u32,
}

const SIZES: [usize; 3] = [60, 20, 20];

impl Greys {
    fn shade(&self, split: Split, index: usize) -> u8 {
        let first = [0, SIZES[0], SIZES[0] + SIZES[1]][split as usize];
        let shared = self.leaks && split == Split::Test && index == 0;
        // 37 and 256 have no common divisor: no shade comes twice.
        ((if shared { 0 } else { first + index }) * 37 % 256) as u8
    }

    fn shades(&self, split: Split) -> Vec<u8> {
        (0..self.len(split)).map(|index| self.shade(split, index)).collect()
    }
}

impl Dataset for Greys {
    fn name(&self) -> &str {
        "greys"
    }

    fn len(&self, split: Split) -> usize {
        SIZES[split as usize]
    }

    fn key(&self, split: Split, index: usize) -> String {
        format!("{split}/{index}")
    }

    fn labels(&self, split: Split) -> Labels {
        let shades = self.shades(split);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let most = if split == Split::Test { 3 } else { self.kinds };
        let kind = |(index, shade): (usize, &u8)| match index % 5 {
            3 => Labels::UNKNOWN_CLASS,
            _ => (u32::from(*shade) / 86).min(most - 1),
        };
        let bright = shades.iter().map(|shade| i8::from(*shade > 127)).collect();
        let kinds = shades.iter().enumerate().map(kind).collect();
        let numbers = shades.iter().map(|shade| f64::from(*shade)).collect();
        let binary = Labels::Binary { names: names(&["bright"]), values: bright };
        let last = if self.kinds == 2 { "Dark" } else { "light" };
        let class = Labels::Classes { names: names(&["dark", "grey", last]), labels: kinds };
        let real = Labels::Real { names: names(&["shade"]), values: numbers };
        let named = [("binary", binary), ("kind:class", class), ("real", real)];
        Labels::Several(named.map(|(name, part)| (name.to_owned(), part)).into())
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        Some(self.shades(split).into_iter().map(u64::from).collect())
    }

    fn image(&self, split: Split, index: usize) -> vdvae_datasets::Result<RgbImage> {
        Ok(RgbImage::from_pixel(32, 32, Rgb([self.shade(split, index); 3])))
    }

    fn fingerprint(&self) -> String {
        String::new()
    }
}

fn task() -> TargetsTask {
    let bootstrap = Bootstrap { replicates: 20, seed: 0 };
    TargetsTask { bootstrap, ..TargetsTask::default() }
}

fn run(greys: &Greys, task: &TargetsTask, allow_leaks: bool) -> Result<Report> {
    let model = Vdvae::builtin(&candle_core::Device::Cpu).unwrap();
    let experiment = Experiment {
        selections: vec![LayerSelection::Resolution(4), LayerSelection::Resolution(8)],
        controls: vec![Source::Pixels],
        model_sha256: Some("0".repeat(64)),
        allow_leaks,
        ..Experiment::new(&model, greys, task)
    };
    experiment.run(&mut |_| ())
}

#[test]
fn labels_of_several_kinds_are_scored_each_by_its_kind() {
    let report = run(&Greys { leaks: false, kinds: 3 }, &task(), false).unwrap();
    assert!(report.results.leaks.is_empty());
    let pixels = report.results.results.iter().filter(|result| result.source == Source::Pixels);
    let found: Vec<_> =
        pixels.map(|r| (r.labels.as_deref().unwrap(), r.metric, &r.probe[..], r.n_train)).collect();
    // Every fifth picture has no kind.
    let expected = [
        ("binary", Metric::Auroc, "logistic", 60),
        ("kind:class", Metric::Accuracy, "logistic", 48),
        ("real", Metric::R2, "ridge", 60),
    ];
    assert_eq!(found, expected);
    for result in &report.results.results {
        assert!(result.value.unwrap() > 0.7, "{result:?}");
    }
    let sides = |c: &vdvae_probes::Comparison| (c.a.labels.clone(), c.b.labels.clone());
    assert!(report.results.comparisons.iter().map(sides).all(|(a, b)| a.is_some() && a == b));
    assert_eq!(report.results.comparisons.len(), 9);
    assert!(report.roc.iter().all(|curve| curve.name == "bright") && !report.roc.is_empty());
    // The page's pictures are rows 0, 1, 3, …; row 3 has no kind.
    let answers = |key: &str| {
        let picture = report.pictures.iter().find(|picture| picture.key == key).unwrap();
        picture.answers.iter().map(|a| (&a.target[..], a.truth)).collect::<Vec<_>>()
    };
    assert_eq!(answers("test/3"), [("bright", Some(true))]);
    let shade = |index| Greys { leaks: false, kinds: 3 }.shade(Split::Test, index);
    let kind = |index| u32::from(shade(index)) / 86;
    let of = |index| {
        let is = |class| Some(kind(index) == class);
        [("bright", Some(shade(index) > 127)), ("dark", is(0)), ("grey", is(1)), ("light", is(2))]
    };
    assert_eq!(answers("test/5"), of(5));
    // Of three greys the right one is the likeliest by far, and the probabilities add up to one.
    let picture = report.pictures.iter().find(|picture| picture.key == "test/5").unwrap();
    let classes: Vec<f64> = picture.answers[1..].iter().map(|a| a.probability.unwrap()).collect();
    assert!((classes.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{classes:?}");
    assert!(classes[kind(5) as usize] > 0.5, "{classes:?}");
    let text = report_table(&report.results);
    for line in
        ["\ntargets binary\nsource", "\ntargets kind:class\nsource", "\ntargets real\nsource"]
    {
        assert!(text.contains(line), "{text}");
    }
    let csv = results_csv(&report.results).unwrap();
    assert!(csv.lines().next().unwrap().ends_with(",recall,labels,statistic,pooling"), "{csv}");
}

#[test]
fn targets_are_scored_inside_the_values_of_others() {
    let within = vec!["kind".to_owned(), "bright".to_owned()];
    let greys = Greys { leaks: false, kinds: 3 };
    let report = run(&greys, &TargetsTask { within, ..task() }, false).unwrap();
    let pixels = report.results.results.iter().filter(|result| result.source == Source::Pixels);
    let found: Vec<_> = pixels.map(|r| (r.labels.as_deref().unwrap(), r.value.is_some())).collect();
    // No dark picture is bright, and every light one: there is nothing to tell apart.
    let expected = [
        ("binary", true),
        ("binary where kind is dark", false),
        ("binary where kind is grey", true),
        ("binary where kind is light", false),
        ("binary where bright is 0", false),
        ("binary where bright is 1", false),
        ("kind:class", true),
        ("kind:class where kind is dark", true),
        ("kind:class where kind is grey", true),
        ("kind:class where kind is light", true),
        ("kind:class where bright is 0", true),
        ("kind:class where bright is 1", true),
        ("real", true),
        ("real where kind is dark", true),
        ("real where kind is grey", true),
        ("real where kind is light", true),
        ("real where bright is 0", true),
        ("real where bright is 1", true),
    ];
    assert_eq!(found, expected);
    // Of the pictures of both values as many are right as of all; each has its share.
    let right = |labels: &str| {
        let of = |r: &&vdvae_probes::ProbeResult| r.labels.as_deref() == Some(labels);
        let mut all = report.results.results.iter().filter(of);
        all.find(|r| r.source == Source::Pixels).unwrap().value.unwrap()
    };
    let kept: Vec<u8> =
        (0..20).filter(|i| i % 5 != 3).map(|i| greys.shade(Split::Test, i)).collect();
    let bright = kept.iter().filter(|shade| **shade > 127).count() as f64;
    let count = kept.len() as f64;
    let parts = bright * right("kind:class where bright is 1")
        + (count - bright) * right("kind:class where bright is 0");
    assert!((parts - count * right("kind:class")).abs() < 1e-9, "{parts}");
    let sides = |c: &vdvae_probes::Comparison| (c.a.labels.clone(), c.b.labels.clone());
    assert!(report.results.comparisons.iter().map(sides).all(|(a, b)| a == b));
    // Curves are those of all pictures, once.
    let whole = run(&greys, &task(), false).unwrap();
    assert_eq!(report.roc.len(), whole.roc.len());
    assert!(report_table(&report.results).contains("\ntargets binary where kind is grey\nsource"));
}

#[test]
fn what_splits_share_is_said_unless_it_is_allowed() {
    let greys = Greys { leaks: true, kinds: 3 };
    let report = run(&greys, &task(), false).unwrap();
    let found: Vec<_> = report
        .results
        .leaks
        .iter()
        .map(|l| (l.what, l.splits.each_ref().map(|s| &s[..]), l.count, l.pictures, l.allowed))
        .collect();
    let splits = ["train", "test"];
    let expected = [(Shared::Groups, splits, 1, 1, false), (Shared::Pictures, splits, 1, 1, false)];
    assert_eq!(found, expected);
    let line = "\nLEAK: 1 picture is in train and in test: 1 test picture, test/0, the same \
                as train/0 in train\n";
    assert!(report_table(&report.results).contains(line));
    let page = vdvae_report::render_page(&report.page());
    assert!(page.contains("1 group is in train and in test"));
    let report = run(&greys, &task(), true).unwrap();
    assert!(report.results.leaks.iter().all(|leak| leak.allowed));
    assert_eq!(report.results.leaks.len(), 2);
    assert!(!report_table(&report.results).contains("LEAK"));
    assert!(!vdvae_report::render_page(&report.page()).contains("in train and in test"));
}

#[test]
fn what_cannot_be_scored_is_refused_before_any_work() {
    let refused =
        |kinds, task: &TargetsTask| run(&Greys { leaks: false, kinds }, task, false).unwrap_err();
    let error = refused(2, &task());
    let expected = "greys: expected pictures of every class that is tested in train or valid, found \
                    none of `Dark` (is it `dark`?)";
    assert_eq!(error.to_string(), expected);
    let folder = tempfile::tempdir().unwrap();
    let saving = TargetsTask { save_probe: Some(folder.path().join("probe")), ..task() };
    let error = refused(3, &saving);
    assert!(matches!(error, Error::Setting { setting: "save probe", .. }), "{error}");
    assert!(error.to_string().ends_with("of one kind, found binary, kind:class, real"), "{error}");
    let within = TargetsTask { within: vec!["bright".into(), "shade".into()], ..task() };
    let error = refused(3, &within);
    assert_eq!(error.to_string(), "within: expected bright, kind; found shade");
    let logistic = TargetsTask { probes: vec![Box::new(LinearProbe::default())], ..task() };
    let error = refused(3, &logistic);
    assert!(matches!(error, Error::Setting { setting: "probe", .. }), "{error}");
    assert!(error.to_string().ends_with("for the numbers shade, found logistic"), "{error}");
}
