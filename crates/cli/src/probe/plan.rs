//! Everything that was asked for, checked before any work.

use anyhow::Result;
use vdvae_datasets::{Dataset, Labels, OnBadImage, Split};
use vdvae_features::{FeatureCache, FeatureSpec, LayerSelection, Statistic};
use vdvae_model::{Vdvae, VdvaeConfig, Weights};
use vdvae_probes::{LinearProbe, Solver, Source};

use super::Args;
use crate::common::{LoadedModel, usage};

/// A checked run.
pub(super) struct Plan {
    pub(super) task: String,
    pub(super) loaded: LoadedModel,
    pub(super) random: Option<Vdvae>,
    pub(super) dataset: Box<dyn Dataset>,
    pub(super) spec: FeatureSpec,
    pub(super) cache: Option<FeatureCache>,
    /// Selections to score, in the order of the table.
    pub(super) selections: Vec<LayerSelection>,
    pub(super) controls: Vec<Source>,
    pub(super) probe: LinearProbe,
    pub(super) on_bad_image: OnBadImage,
}

/// Tasks and the data sets behind them.
const TASKS: [(&str, &str); 6] = [
    ("toy-faces", "toy-faces"),
    ("toy-faces-attrs", "toy-faces"),
    ("celeba-attrs", "celeba"),
    ("celeba", "celeba"),
    ("cifar10", "cifar10"),
    ("mnist", "mnist"),
];

/// The data set of a task.
fn dataset_of(task: &str) -> Result<String> {
    if let Some((_, dataset)) = TASKS.iter().find(|(name, _)| *name == task) {
        return Ok((*dataset).to_string());
    }
    let with_path = |name: &str| task.strip_prefix(name).is_some_and(|path| !path.is_empty());
    if with_path("folder:") || with_path("csv:") {
        return Ok(task.to_string());
    }
    Err(usage(format!(
        "--task: expected toy-faces, celeba-attrs, cifar10, mnist, folder:PATH or csv:FILE, found \
         `{task}`"
    )))
}

fn controls(names: &[String]) -> Result<Vec<Source>> {
    let known = [Source::Pixels, Source::RandomInit, Source::ShuffledLabels];
    let mut controls = Vec::new();
    for name in names.iter().filter(|name| *name != "none") {
        let found = known.iter().find(|source| source.name() == name);
        let Some(&source) = found else {
            return Err(usage(format!(
                "--controls: expected pixels, random-init, shuffled-labels or none, found `{name}`"
            )));
        };
        if !controls.contains(&source) {
            controls.push(source);
        }
    }
    Ok(controls)
}

/// The selections asked for, or every resolution and all layers together.
fn selections(args: &Args, config: &VdvaeConfig) -> Result<Vec<LayerSelection>> {
    let mut selections = Vec::new();
    for text in &args.layer {
        let selection: LayerSelection = text.parse().map_err(usage)?;
        selection.layers(config).map_err(usage)?;
        selections.push(selection);
    }
    let layers = config.latent_layers();
    if args.per_layer {
        selections.extend(layers.iter().map(|layer| LayerSelection::Layer(layer.index)));
    }
    if args.layer.is_empty() {
        let mut resolutions: Vec<usize> = layers.iter().map(|layer| layer.resolution).collect();
        resolutions.sort_unstable();
        resolutions.dedup();
        selections.extend(resolutions.into_iter().map(LayerSelection::Resolution));
        selections.push(LayerSelection::All);
    }
    let mut seen = Vec::new();
    selections.retain(|selection| {
        let new = !seen.contains(selection);
        seen.push(*selection);
        new
    });
    Ok(selections)
}

fn probe(args: &Args) -> Result<LinearProbe> {
    let valid = |s: &f64| s.is_finite() && *s > 0.0;
    if args.strengths.is_empty() || !args.strengths.iter().all(valid) {
        return Err(usage("--strengths: expected positive numbers"));
    }
    Ok(LinearProbe {
        solver: args.solver.parse().map_err(usage)?,
        strengths: args.strengths.clone(),
        replicates: args.replicates as usize,
        seed: args.common.seed,
        ..LinearProbe::default()
    })
}

/// Fails where there is nothing to predict, or the solver cannot.
fn check_labels(dataset: &dyn Dataset, probe: &LinearProbe) -> Result<()> {
    let name = dataset.name();
    match dataset.labels(Split::Train) {
        Labels::None => Err(usage(format!(
            "{name}: expected labels to predict, found none; put the pictures of each class into a \
             folder of its name"
        ))),
        Labels::Classes { names, .. } if names.len() < 2 => {
            Err(usage(format!("{name}: expected at least 2 classes, found {}", names.join(", "))))
        }
        Labels::Classes { .. } if probe.solver == Solver::Linfa => Err(usage(format!(
            "--solver linfa: cannot fit the classes of {name}, only binary targets; use batched"
        ))),
        _ => Ok(()),
    }
}

impl Plan {
    pub(super) fn new(args: &Args) -> Result<Self> {
        let dataset = dataset_of(&args.task)?;
        let controls = controls(&args.controls)?;
        let statistic: Statistic = args.statistic.parse().map_err(usage)?;
        if statistic == Statistic::Activation && args.per_layer {
            return Err(usage("--per-layer: activations belong to resolutions, not to layers"));
        }
        let spec = FeatureSpec {
            statistic,
            pooling: args.pool.parse().map_err(usage)?,
            seed: args.common.seed,
            samples: args.samples.samples as usize,
        };
        spec.validate().map_err(usage)?;
        let probe = probe(args)?;
        let on_bad_image = args.data.on_bad_image()?;
        let loaded = args.model.load(&args.common.device()?)?;
        let config = loaded.model.config().clone();
        let selections = selections(args, &config)?;
        let dataset = args.data.open(&dataset)?;
        dataset.require(&Split::ALL)?;
        check_labels(dataset.as_ref(), &probe)?;
        let random = controls.contains(&Source::RandomInit).then(|| {
            let weights = Weights::initialise(&config, args.common.seed);
            Vdvae::new(&config, &weights, loaded.model.device())
        });
        Ok(Self {
            task: args.task.clone(),
            random: random.transpose()?,
            loaded,
            dataset,
            spec,
            cache: args.cache.open()?,
            selections,
            controls,
            probe,
            on_bad_image,
        })
    }
}
