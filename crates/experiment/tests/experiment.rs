//! Experiments from pictures to files, with tasks of the library and one of a user's own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::fs;
use std::path::Path;

use vdvae_datasets::{Dataset, Split, ToyFaces};
use vdvae_experiment::{
    Candidate, Error, Event, Experiment, FewShotTask, Pairs, Report, Result, Scores, TargetsTask,
    Task, VerificationTask, each_layer,
};
use vdvae_features::{LayerSelection, Pooling};
use vdvae_model::Vdvae;
use vdvae_probes::{
    Bootstrap, Comparison, LinearProbe, Probe, ProbeReport, ProbeResult, RidgeProbe, Source,
};

fn builtin() -> Vdvae {
    Vdvae::builtin(&candle_core::Device::Cpu).unwrap()
}

/// Forty pictures to train on, twenty to choose by, forty to test on.
fn faces() -> ToyFaces {
    ToyFaces::with_people(0, [2, 1, 2])
}

fn targets() -> TargetsTask {
    TargetsTask {
        probes: vec![Box::new(RidgeProbe { strengths: vec![100.0] })],
        bootstrap: Bootstrap { replicates: 20, seed: 0 },
        ..TargetsTask::default()
    }
}

fn small<'a>(model: &'a Vdvae, data: &'a dyn Dataset, task: &'a dyn Task) -> Experiment<'a> {
    let selections = vec![LayerSelection::Resolution(4), LayerSelection::Resolution(8)];
    Experiment { selections, ..Experiment::new(model, data, task) }
}

fn run(experiment: &Experiment<'_>) -> Result<Report> {
    experiment.run(&mut |_| ())
}

fn results_json(folder: &Path) -> ProbeReport {
    serde_json::from_str(&fs::read_to_string(folder.join("results.json")).unwrap()).unwrap()
}

#[test]
fn a_run_becomes_three_files() {
    let (model, faces, task) = (builtin(), faces(), targets());
    let mut seen = Vec::new();
    let report = small(&model, &faces, &task).run(&mut |event| {
        seen.push(match event {
            Event::Read { .. } => return,
            Event::Reading { pictures } => format!("reading {pictures}"),
            Event::AllRead { tables, .. } => format!("{tables} tables"),
            Event::Scoring { lines } => format!("{lines} lines"),
            Event::Scored => "a line".to_owned(),
            other => format!("{other:?}"),
        });
    });
    let report = report.unwrap();
    // Latents and random weights at two resolutions each, and the pixels; three splits of each.
    let expected = ["reading 100", "9 tables", "5 lines", "a line", "a line", "a line"];
    assert_eq!(seen[..6], expected, "{seen:?}");
    assert_eq!(seen.last().unwrap(), "AllScored");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/out");
    report.write(&out).unwrap();
    assert_eq!(results_json(&out), report.results);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("20 bootstrap replicates") && out.join("results.csv").is_file());
    assert_eq!(report.layers.len(), model.config().latent_layers().len());
    assert_eq!(report.pictures.len(), 12);
}

#[test]
fn few_labels_and_faces_use_the_same_lines() {
    let (model, faces) = (builtin(), ToyFaces::with_people(0, [4, 1, 6]));
    let few_shot = FewShotTask { base: Split::Valid, ..FewShotTask::new(5, 1) };
    let pairs = Pairs::Sampled { folds: 2, pairs: 20, seed: 0 };
    let verification = VerificationTask { pairs, ..VerificationTask::default() };
    for (task, size) in [(&few_shot as &dyn Task, 5), (&verification, 10)] {
        let report = run(&small(&model, &faces, task)).unwrap();
        assert_eq!(report.results.results.len(), size, "{}", task.name());
        assert!(!report.results.comparisons.is_empty());
    }
}

/// Asks how many columns there are, and fails at the third line.
struct Columns {
    lines: Cell<usize>,
}

struct Counted<'a> {
    lines: &'a Cell<usize>,
    results: Vec<ProbeResult>,
}

impl Task for Columns {
    fn name(&self) -> &str {
        "columns"
    }

    fn splits(&self) -> &[Split] {
        &[Split::Test]
    }

    fn check(&self, _data: &dyn Dataset) -> Result<()> {
        Ok(())
    }

    fn intervals(&self) -> String {
        "none".to_owned()
    }

    fn scores<'a>(&'a self, _data: &'a dyn Dataset) -> Box<dyn Scores + 'a> {
        Box::new(Counted { lines: &self.lines, results: Vec::new() })
    }
}

impl Scores for Counted<'_> {
    fn add(&mut self, candidate: &Candidate) -> Result<()> {
        self.lines.set(self.lines.get() + 1);
        if self.lines.get() == 3 {
            let problem = "three lines are enough".to_owned();
            return Err(Error::Unfit { what: "columns".to_owned(), problem });
        }
        let [train, valid, test] = &candidate.tables;
        assert_eq!([train.rows(), valid.rows(), test.rows()], [0, 0, 40]);
        assert_eq!(candidate.features.is_some(), candidate.origin.source == Source::Latents);
        let value = Some(test.features.ncols() as f64);
        let result = ProbeResult { value, ..ProbeResult::default() };
        self.results.push(result.with_origin(candidate.origin));
        Ok(())
    }

    fn results(&self) -> Vec<ProbeResult> {
        self.results.clone()
    }

    fn comparisons(&self) -> Vec<Comparison> {
        Vec::new()
    }
}

#[test]
fn a_task_of_ones_own_that_fails_keeps_what_it_has() {
    let (model, faces) = (builtin(), faces());
    let task = Columns { lines: Cell::new(0) };
    let folder = tempfile::tempdir().unwrap();
    let experiment = Experiment {
        model_sha256: Some("0".repeat(64)),
        keep: Some(folder.path().to_owned()),
        ..small(&model, &faces, &task)
    };
    let message = run(&experiment).unwrap_err().to_string();
    assert_eq!(message, "columns: three lines are enough");
    let kept = results_json(folder.path());
    assert_eq!(kept.task, "columns");
    // The first line always; the second only where it took long beside writing the first.
    assert!((1..=2).contains(&kept.results.len()), "{kept:?}");
    for result in &kept.results {
        assert_eq!(result.value, Some(result.columns as f64));
    }
}

#[test]
fn what_does_not_fit_is_refused_before_any_work() {
    let (model, faces, task) = (builtin(), faces(), targets());
    let refused = |experiment: Experiment<'_>| {
        let mut events = 0;
        let error = experiment.run(&mut |_| events += 1).unwrap_err();
        assert_eq!(events, 0, "{error}");
        error
    };
    let base = || small(&model, &faces, &task);
    let layers = Experiment { selections: vec![LayerSelection::Resolution(7)], ..base() };
    assert!(matches!(refused(layers), Error::Layers(_)));
    let none = Experiment { selections: Vec::new(), ..base() };
    assert!(matches!(refused(none), Error::Setting { setting: "layer", .. }));
    let undrawn = Experiment { random_networks: 0, ..base() };
    assert!(matches!(refused(undrawn), Error::Setting { setting: "random networks", .. }));
    let mut activations = Experiment { selections: each_layer(model.config()), ..base() };
    activations.spec.statistic = "activation".parse().unwrap();
    assert!(matches!(refused(activations), Error::Setting { setting: "layer", .. }));

    let fractions = TargetsTask { train_fractions: vec![0.5, 1.5], ..targets() };
    let error = refused(small(&model, &faces, &fractions)).to_string();
    assert_eq!(error, "train fraction: expected above 0 and up to 1, found 1.5");
    let many = FewShotTask::new(50, 1);
    assert!(matches!(refused(small(&model, &faces, &many)), Error::Episodes(_)));
    let pairs = VerificationTask::default();
    assert!(matches!(refused(small(&model, &faces, &pairs)), Error::Pairs { .. }));
}

#[test]
fn only_what_can_be_read_again_is_saved() {
    let (model, faces) = (builtin(), faces());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.safetensors");
    let saving = |probes: Vec<Box<dyn Probe>>| TargetsTask {
        probes,
        save_probe: Some(path.clone()),
        ..targets()
    };
    let ridge = || Box::new(RidgeProbe { strengths: vec![100.0] });
    let of = |task: &TargetsTask, selections: Vec<LayerSelection>, sha256: Option<String>| {
        let mut experiment = Experiment {
            selections,
            model_sha256: sha256,
            controls: Vec::new(),
            ..Experiment::new(&model, &faces, task)
        };
        experiment.spec.pooling = Pooling::MEAN;
        run(&experiment).map(drop)
    };
    let (all, hash) = (vec![LayerSelection::All], || Some("0".repeat(64)));
    let two = vec![LayerSelection::All, LayerSelection::First(1)];
    assert!(matches!(of(&saving(vec![ridge()]), two, hash()), Err(Error::NotSavable)));
    assert!(matches!(of(&saving(vec![ridge()]), all.clone(), None), Err(Error::NotSavable)));
    let both: Vec<Box<dyn Probe>> = vec![ridge(), Box::new(LinearProbe::default())];
    assert!(matches!(of(&saving(both), all.clone(), hash()), Err(Error::NotSavable)));
    assert!(!path.exists());
    of(&saving(vec![ridge()]), all, hash()).unwrap();
    assert!(path.is_file());
}
