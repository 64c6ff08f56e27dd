//! Flags in, an experiment out.

use anyhow::Result;
use vdvae_datasets::{Dataset, Preparation};
use vdvae_experiment::{
    Error, Experiment, Task, TaskKind, TaskName, cumulative, each_layer, each_resolution,
};
use vdvae_features::{FeatureSpec, LayerSelection, Statistic};
use vdvae_model::VdvaeConfig;
use vdvae_probes::{Solver, Source};

use super::args::{Args, EpisodeArgs, SelectionArgs};
use super::tasks::{each_once, task};
use crate::common::Common;
use crate::data::not_found;
use crate::exit::usage;
use crate::model::LoadedModel;
use crate::output::check_writable;
use crate::process::command;

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
        let plain = Experiment::new(model, &*self.data, &*self.task);
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
                ..args.data.orientation.preparation(model.config().image_size)
            },
            on_bad_image: args.data.on_bad_image,
            allow_leaks: args.allow_leaks,
            batch_size: args.batch_size as usize,
            matching: selection.match_columns,
            seed: common.seed,
            keep: Some(args.out.clone()),
            command: command("vdvae-probe"),
            random_networks: selection.random_seeds.unwrap_or(plain.random_networks),
            pca_columns: selection.pca_columns.map_or(plain.pca_columns, |n| n as usize),
            ..plain
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
             --match-columns, --train-fraction, --crop, --resize or --exif ignore",
        ),
        Error::Data(error) => not_found(error),
        Error::Unfit { .. } | Error::Layers(_) | Error::Episodes(_) => usage(error),
        other => other.into(),
    }
}

/// Fails for flags that the task has no use for.
fn check_flags(args: &Args) -> Result<()> {
    let Args { task: TaskName { kind, dataset, .. }, selection, probing, .. } = args;
    let EpisodeArgs { episodes, centre_only, queries, folds, pairs } = args.episodes;
    let wants = |source| selection.controls.contains(&Some(source));
    let targets = [
        ("--solver", probing.solver != Solver::Batched),
        ("--train-fraction", probing.train_fraction[..] != [1.0]),
        ("--label-seeds", probing.label_seeds != 1),
        ("--within", !probing.within.is_empty()),
        ("--replicates", probing.replicates.is_some()),
        ("--save-probe", args.save_probe.is_some()),
        ("--controls shuffled-labels", wants(Source::ShuffledLabels)),
    ];
    let fitted = [
        ("--controls pca", wants(Source::Pca)),
        ("--match-columns", selection.match_columns.is_some()),
    ];
    let sampled_only = [("--episodes", episodes.is_some()), ("--queries", queries.is_some())];
    let few_labels = [("--centre-only", centre_only)];
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
    allowed(&sampled_only, "of sampled episodes, such as omniglot-5way-1shot", sampled)?;
    let episodes = sampled || *kind == TaskKind::PublishedRuns;
    allowed(&few_labels, "of few labels, such as omniglot-5way-1shot", episodes)?;
    let pairs = *kind == TaskKind::Verification;
    allowed(&verification, "of sampled pairs, such as celeba-verification", pairs)?;
    check_pairings(args)?;
    if dataset == "toy-faces" && (selection.crop.is_some() || selection.resize.is_some()) {
        return Err(usage("--crop, --resize: toy faces are drawn at the network's size"));
    }
    if selection.statistic == Statistic::Activation && selection.per_layer {
        return Err(usage("--per-layer: activations belong to resolutions, not to layers"));
    }
    Ok(())
}

/// Fails for flags without those that they are about.
fn check_pairings(args: &Args) -> Result<()> {
    let Args { task: TaskName { kind, .. }, selection, probing, .. } = args;
    let has = |names: &[&str]| {
        probing.probe.is_empty() || probing.probe.iter().any(|name| names.contains(&&name[..]))
    };
    let of_labels = *kind == TaskKind::Targets;
    let part = probing.train_fraction.iter().any(|fraction| *fraction < 1.0);
    let wants = |source| selection.controls.contains(&Some(source));
    let (pca, random) = (wants(Source::Pca), wants(Source::RandomInit));
    let pairings = [
        ("--label-seeds", probing.label_seeds != 1, part, "a --train-fraction below 1"),
        ("--pca-columns", selection.pca_columns.is_some(), pca, "--controls pca"),
        ("--random-seeds", selection.random_seeds.is_some(), random, "--controls random-init"),
        ("--solver", probing.solver != Solver::Batched, has(&["logistic"]), "--probe logistic"),
        (
            "--strengths",
            of_labels && !probing.strengths.is_empty(),
            has(&["logistic", "ridge"]),
            "--probe logistic or ridge",
        ),
    ];
    match pairings.into_iter().find(|(_, given, fits, _)| *given && !fits) {
        None => Ok(()),
        Some((flag, _, _, needs)) => Err(usage(format!("{flag}: expected {needs} with it"))),
    }
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
