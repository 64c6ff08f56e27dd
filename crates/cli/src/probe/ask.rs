//! Flags in, an experiment out.

use anyhow::Result;
use vdvae_datasets::{Dataset, Labels, Lfw, OneShotRuns, Preparation, Split};
use vdvae_experiment::{
    Episodes, Error, Experiment, FewShotTask, Pairs, TargetsTask, Task, TaskKind, TaskName,
    VerificationTask, cumulative, each_layer, each_resolution,
};
use vdvae_features::{FeatureSpec, LayerSelection, Statistic};
use vdvae_model::VdvaeConfig;
use vdvae_probes::{
    Bootstrap, CentroidProbe, Classifier, EpisodeConfig, KnnProbe, LinearProbe, Probe, Projection,
    RidgeProbe, STRENGTHS, Solver, Source, VerificationScore,
};

use super::args::{Args, EpisodeArgs, ProbingArgs, SelectionArgs};
use crate::common::Common;
use crate::exit::usage;
use crate::model::LoadedModel;
use crate::output::check_writable;

/// What an experiment borrows: the network, the pictures and the task.
pub(super) struct Asked {
    loaded: LoadedModel,
    data: Box<dyn Dataset>,
    task: Box<dyn Task>,
}

impl Asked {
    pub(super) fn new(args: &Args, common: &Common) -> Result<Self> {
        check_flags(args)?;
        let loaded = args.model.load(common)?;
        let (task, data) = task(args, common.seed)?;
        Ok(Self { loaded, data, task })
    }

    /// The experiment, still without its cache.
    pub(super) fn experiment(&self, args: &Args, common: &Common) -> Result<Experiment<'_>> {
        let Args { selection, .. } = args;
        let model = &self.loaded.model;
        if let Some(path) = &args.save_probe {
            check_writable(path)?;
        }
        Ok(Experiment {
            model_name: self.loaded.name.clone(),
            model_sha256: Some(self.loaded.sha256.clone()),
            selections: selections(selection, model.config()),
            controls: each_once(selection.controls.iter().flatten().copied()),
            spec: FeatureSpec {
                statistic: selection.statistic,
                pooling: selection.pool,
                seed: common.seed,
                samples: selection.samples.samples as usize,
            },
            preparation: Preparation {
                crop: selection.crop.unwrap_or_default(),
                resize: selection.resize.unwrap_or_default(),
                ..Preparation::new(model.config().image_size)
            },
            on_bad_image: args.data.on_bad_image,
            batch_size: args.batch_size as usize,
            pca_columns: selection.pca_columns as usize,
            matching: selection.match_columns,
            seed: common.seed,
            keep: Some(args.out.clone()),
            command: command(),
            ..Experiment::new(model, &*self.data, &*self.task)
        })
    }
}

/// What is wrong with an experiment, in the words of the command line. What was asked for wrongly
/// is exit code 2.
pub(super) fn refused(error: Error) -> anyhow::Error {
    match error {
        Error::Setting { setting, problem } => {
            usage(format!("--{}: {problem}", setting.replace(' ', "-")))
        }
        Error::Solver { .. } => usage(format!("--{error}")),
        Error::Pairs { .. } => usage(format!("{error}; --pairs and --folds ask for fewer")),
        Error::NotSavable => usage(
            "--save-probe: expected one --layer and --probe logistic or ridge, without \
             --match-columns, --train-fraction, --crop or --resize",
        ),
        Error::Unfit { .. } | Error::Layers(_) | Error::Episodes(_) => usage(error),
        other => other.into(),
    }
}

/// Fails for flags that the task has no use for.
fn check_flags(args: &Args) -> Result<()> {
    let Args { task: TaskName { kind, dataset, .. }, selection, probing, .. } = args;
    let EpisodeArgs { episodes, queries, folds, pairs } = args.episodes;
    let wants = |source| selection.controls.contains(&Some(source));
    let targets = [
        ("--solver", probing.solver != Solver::Batched),
        ("--train-fraction", probing.train_fraction[..] != [1.0]),
        ("--label-seeds", probing.label_seeds != 1),
        ("--replicates", probing.replicates.is_some()),
        ("--save-probe", args.save_probe.is_some()),
        ("--controls shuffled-labels", wants(Source::ShuffledLabels)),
    ];
    let fitted = [
        ("--controls pca", wants(Source::Pca)),
        ("--match-columns", selection.match_columns.is_some()),
    ];
    let few_shot = [("--episodes", episodes.is_some()), ("--queries", queries.is_some())];
    let verification = [("--folds", folds.is_some()), ("--pairs", pairs.is_some())];
    let allowed = |flags: &[(&str, bool)], kinds: &str, fits: bool| {
        let wrong = flags.iter().find(|(_, given)| *given && !fits);
        wrong.map_or(Ok(()), |(flag, _)| {
            Err(usage(format!("{flag}: expected a task {kinds}, found --task {}", args.task)))
        })
    };
    allowed(&targets, "that predicts labels", *kind == TaskKind::Targets)?;
    allowed(&fitted, "with a training split", *kind != TaskKind::PublishedPairs)?;
    let sampled = matches!(kind, TaskKind::FewShot { .. });
    allowed(&few_shot, "of sampled episodes, such as omniglot-5way-1shot", sampled)?;
    let pairs = *kind == TaskKind::Verification;
    allowed(&verification, "of sampled pairs, such as celeba-verification", pairs)?;
    if dataset == "toy-faces" && (selection.crop.is_some() || selection.resize.is_some()) {
        return Err(usage("--crop, --resize: toy faces are drawn at the network's size"));
    }
    if selection.statistic == Statistic::Activation && selection.per_layer {
        return Err(usage("--per-layer: activations belong to resolutions, not to layers"));
    }
    Ok(())
}

/// The selections asked for, or every resolution and all layers together.
fn selections(args: &SelectionArgs, config: &VdvaeConfig) -> Vec<LayerSelection> {
    let mut selections = args.layer.clone();
    if args.per_layer {
        selections.extend(each_layer(config));
    }
    if args.layer.is_empty() {
        selections.extend(each_resolution(config));
        selections.push(LayerSelection::All);
    }
    if args.cumulative {
        selections.extend(cumulative(config));
    }
    each_once(selections)
}

fn each_once<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

/// The task, and the data set that it is about.
fn task(args: &Args, seed: u64) -> Result<(Box<dyn Task>, Box<dyn Dataset>)> {
    let Args { task: TaskName { text, dataset, kind }, probing, episodes: sizes, .. } = args;
    let name = text.clone();
    let task: Box<dyn Task> = match *kind {
        TaskKind::Targets => return targets(args, seed),
        TaskKind::FewShot { ways, shots } => {
            let mut task = FewShotTask::new(ways, shots);
            if let Episodes::Sampled { config, count } = &mut task.episodes {
                let queries = sizes.queries.map_or(config.queries, |queries| queries as usize);
                *config = EpisodeConfig { queries, seed, ..*config };
                *count = sizes.episodes.map_or(*count, u64::from);
            }
            Box::new(FewShotTask { name, classifiers: classifiers(probing)?, ..task })
        }
        TaskKind::PublishedRuns => {
            let runs = OneShotRuns::open(&args.data.locate(dataset)?)?;
            let classifiers = classifiers(probing)?;
            Box::new(FewShotTask { name, classifiers, ..FewShotTask::published(runs) })
        }
        TaskKind::Verification => {
            let mut task = verification(VerificationTask::default(), probing, seed)?;
            if let Pairs::Sampled { folds, pairs, seed: of_pairs } = &mut task.pairs {
                *folds = sizes.folds.map_or(*folds, |folds| folds as usize);
                *pairs = sizes.pairs.map_or(*pairs, |pairs| pairs as usize);
                *of_pairs = seed;
            }
            Box::new(VerificationTask { name, ..task })
        }
        TaskKind::PublishedPairs => {
            let lfw = Lfw::open(&args.data.locate(dataset)?)?;
            let task = verification(VerificationTask::published(&lfw)?, probing, seed)?;
            Box::new(VerificationTask { name, ..task })
        }
    };
    let data = args.data.open(dataset, task.splits())?;
    Ok((task, data))
}

fn targets(args: &Args, seed: u64) -> Result<(Box<dyn Task>, Box<dyn Dataset>)> {
    let Args { task: TaskName { text, dataset, .. }, probing, .. } = args;
    let mut probes = probes(probing)?;
    let data = args.data.open(dataset, &Split::ALL)?;
    let strengths = strengths(probing)?;
    if probes.is_empty() {
        probes.push(match data.labels(Split::Train) {
            Labels::Real { .. } => Box::new(RidgeProbe { strengths }),
            _ => logistic(probing, strengths),
        });
    }
    let seeds = (0..u64::from(probing.label_seeds)).map(|i| seed.wrapping_add(i));
    let bootstrap = Bootstrap::default();
    let task = TargetsTask {
        name: text.clone(),
        probes,
        train_fractions: probing.train_fraction.clone(),
        label_seeds: seeds.collect(),
        bootstrap: Bootstrap {
            replicates: probing.replicates.map_or(bootstrap.replicates, |n| n as usize),
            seed,
        },
        save_probe: args.save_probe.clone(),
    };
    Ok((Box::new(task), data))
}

/// The probes asked for; none for the default of the labels.
fn probes(args: &ProbingArgs) -> Result<Vec<Box<dyn Probe>>> {
    let strengths = strengths(args)?;
    let probe = |name: &String| -> Result<Box<dyn Probe>> {
        Ok(match &name[..] {
            "logistic" => logistic(args, strengths.clone()),
            "ridge" => Box::new(RidgeProbe { strengths: strengths.clone() }),
            "knn" => Box::new(KnnProbe::default()),
            "centroid" => Box::new(CentroidProbe),
            _ => {
                let expected = "logistic, ridge, knn, centroid";
                return Err(usage(format!("--probe: expected {expected}, found `{name}`")));
            }
        })
    };
    each_once(&args.probe).into_iter().map(probe).collect()
}

fn logistic(args: &ProbingArgs, strengths: Vec<f64>) -> Box<dyn Probe> {
    Box::new(LinearProbe { solver: args.solver, strengths, ..LinearProbe::default() })
}

fn strengths(args: &ProbingArgs) -> Result<Vec<f64>> {
    let valid = |s: &f64| s.is_finite() && *s > 0.0;
    match &args.strengths[..] {
        [] => Ok(STRENGTHS.to_vec()),
        given if given.iter().all(valid) => Ok(given.to_vec()),
        _ => Err(usage("--strengths: expected positive numbers")),
    }
}

/// The classifiers asked for; nearest centroids without any.
fn classifiers(args: &ProbingArgs) -> Result<Vec<Classifier>> {
    let parse = |name: &String| name.parse().map_err(|error| usage(format!("--probe: {error}")));
    let parsed = args.probe.iter().map(parse).collect::<Result<Vec<Classifier>>>()?;
    let mut classifiers = each_once(parsed);
    if classifiers.is_empty() {
        classifiers.push(Classifier::default());
    }
    let mut logistic = false;
    for classifier in &mut classifiers {
        if let Classifier::Logistic { strength } = classifier {
            logistic = true;
            *strength = args.strengths.first().copied().unwrap_or(*strength);
        }
    }
    if args.strengths.len() > usize::from(logistic) {
        return Err(usage(
            "--strengths: an episode has nothing to choose by: expected one strength, of --probe \
             logistic",
        ));
    }
    Ok(classifiers)
}

/// A verification with the scores asked for.
fn verification(task: VerificationTask, args: &ProbingArgs, seed: u64) -> Result<VerificationTask> {
    if !args.strengths.is_empty() {
        return Err(usage("--strengths: verification has no penalty to choose"));
    }
    let parse = |name: &String| name.parse().map_err(|error| usage(format!("--probe: {error}")));
    let scores = args.probe.iter().map(parse).collect::<Result<Vec<VerificationScore>>>()?;
    let scores = if scores.is_empty() { task.scores } else { each_once(scores) };
    Ok(VerificationTask { scores, projection: Projection { seed, ..task.projection }, ..task })
}

/// The command line, quoted where a shell needs it.
fn command() -> String {
    let words = std::env::args().enumerate().map(|(index, word)| {
        let word = match index {
            0 => "vdvae-probe".to_owned(),
            _ => word,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word,
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
