//! Everything that was asked for, checked before any work.

use anyhow::Result;
use vdvae_datasets::{Dataset, Lfw, OnBadImage, OneShotRuns, Preparation, Split};
use vdvae_features::{FeatureCache, FeatureSpec, LayerSelection, Statistic};
use vdvae_model::{Vdvae, VdvaeConfig, Weights};
use vdvae_probes::{Bootstrap, ReductionKind, Source};

use super::few_shot::FewShotPlan;
use super::targets::TargetsPlan;
use super::task::{Kind, Task};
use super::verification::VerificationPlan;
use super::{Args, EpisodeArgs, ProbingArgs, SelectionArgs};
use crate::common::{Common, LoadedModel, check_writable, usage};

/// Most columns that selections may be matched to.
const MOST_COLUMNS: usize = 1 << 16;

/// Bootstrap replicates where no number is asked for.
const REPLICATES: u32 = 1000;

/// A checked run.
pub(super) struct Plan {
    pub(super) task: Task,
    pub(super) question: Question,
    pub(super) loaded: LoadedModel,
    pub(super) random: Option<Vdvae>,
    dataset: Box<dyn Dataset>,
    pub(super) preparation: Preparation,
    pub(super) spec: FeatureSpec,
    pub(super) cache: Option<FeatureCache>,
    /// Direct convolutions only, which changes the last digits of features.
    pub(super) exact: bool,
    /// Selections to score, in the order of the table.
    pub(super) selections: Vec<LayerSelection>,
    pub(super) controls: Vec<Source>,
    pub(super) pca_columns: usize,
    /// Columns to match, and how.
    pub(super) matching: Option<(usize, ReductionKind)>,
    pub(super) bootstrap: Bootstrap,
    pub(super) on_bad_image: OnBadImage,
}

/// What is asked of the features.
pub(super) enum Question {
    Targets(TargetsPlan),
    FewShot(FewShotPlan),
    Verification(VerificationPlan),
}

/// The task whose pairs are published.
const LFW: &str = "lfw-verification";

/// The values named in a list, each once.
pub(super) fn named<T: Copy + PartialEq>(
    flag: &str,
    names: &[String],
    known: &[(T, &'static str)],
) -> Result<Vec<T>> {
    let mut values = Vec::new();
    for name in names {
        let Some((value, _)) = known.iter().find(|(_, known)| known == name) else {
            let list: Vec<&str> = known.iter().map(|(_, name)| *name).collect();
            let list = list.join(", ");
            return Err(usage(format!("{flag}: expected {list}, found `{name}`")));
        };
        if !values.contains(value) {
            values.push(*value);
        }
    }
    Ok(values)
}

fn controls(names: &[String]) -> Result<Vec<Source>> {
    let none = None;
    let known = [Source::Pixels, Source::Pca, Source::RandomInit, Source::ShuffledLabels]
        .map(|source| (Some(source), source.name()));
    let known: Vec<_> = known.into_iter().chain([(none, "none")]).collect();
    Ok(named("--controls", names, &known)?.into_iter().flatten().collect())
}

/// `N` or `N,pca` or `N,projection`.
fn matching(text: &str) -> Result<(usize, ReductionKind)> {
    let (columns, kind) = text.split_once(',').unwrap_or((text, "pca"));
    let parsed = columns.parse().ok().filter(|n| (1..=MOST_COLUMNS).contains(n));
    match (parsed, kind.parse()) {
        (Some(columns), Ok(kind)) => Ok((columns, kind)),
        _ => Err(usage(format!(
            "--match-columns: expected 1 to {MOST_COLUMNS}, and `,pca` or `,projection` after it, \
             found `{text}`"
        ))),
    }
}

/// The selections asked for, or every resolution and all layers together.
fn selections(args: &SelectionArgs, config: &VdvaeConfig) -> Result<Vec<LayerSelection>> {
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
    if args.cumulative {
        let ends = layers.windows(2).filter(|pair| pair[0].resolution != pair[1].resolution);
        let ends = ends.map(|pair| pair[1].index).chain([layers.len()]);
        selections.extend(ends.map(LayerSelection::First));
    }
    let mut seen = Vec::new();
    selections.retain(|selection| {
        let new = !seen.contains(selection);
        seen.push(*selection);
        new
    });
    Ok(selections)
}

impl Question {
    fn new(args: &Args, task: &Task, seed: u64) -> Result<Self> {
        let own = (&args.episodes, &args.probing);
        Ok(match task.kind {
            Kind::Targets => Self::Targets(TargetsPlan::new(&args.probing, seed)?),
            Kind::FewShot { ways, shots } => {
                Self::FewShot(FewShotPlan::sampled(&task.name, [ways, shots], own, seed)?)
            }
            Kind::OmniglotRuns => {
                let runs = OneShotRuns::open(&args.data.locate(&task.dataset)?)?;
                Self::FewShot(FewShotPlan::runs(&task.name, runs, &args.probing)?)
            }
            Kind::Verification if task.name == LFW => {
                let lfw = Lfw::open(&args.data.locate(&task.dataset)?)?;
                let plan = VerificationPlan::published(&task.name, &lfw, &args.probing, seed)?;
                Self::Verification(plan)
            }
            Kind::Verification => {
                Self::Verification(VerificationPlan::sampled(&task.name, own, seed)?)
            }
        })
    }

    /// Whether the pictures of a split are read.
    pub(super) fn needs(&self, split: Split) -> bool {
        match self {
            Self::Targets(_) => true,
            Self::FewShot(_) => split != Split::Valid,
            Self::Verification(plan) => {
                split == Split::Test || (split == Split::Train && plan.trains())
            }
        }
    }

    /// Fails where the data set does not have what is asked about.
    fn check(&self, dataset: &dyn Dataset) -> Result<()> {
        match self {
            Self::Targets(plan) => plan.check(dataset),
            Self::FewShot(plan) => plan.check(dataset),
            Self::Verification(plan) => plan.check(dataset),
        }
    }
}

/// Fails where there would be more than one probe to save, or one that cannot be.
fn check_save(args: &Args, plan: &Plan) -> Result<()> {
    let Some(path) = &args.save_probe else { return Ok(()) };
    let saves = matches!(&plan.question, Question::Targets(targets) if targets.can_be_saved());
    // A saved probe is for pictures as every other command prepares them.
    let plain = plan.preparation == Preparation::new(plan.preparation.size);
    if plan.selections.len() != 1 || !saves || plan.matching.is_some() || !plain {
        return Err(usage(
            "--save-probe: expected one --layer and --probe logistic or ridge, without \
             --match-columns, --train-fraction, --crop or --resize",
        ));
    }
    check_writable(path)
}

/// Fails for what only tasks that predict labels know, where another task is asked for.
fn check_flags(args: &Args, kind: Kind) -> Result<()> {
    let ProbingArgs { solver, train_fraction, label_seeds, replicates, .. } = &args.probing;
    let EpisodeArgs { episodes, queries, folds, pairs } = args.episodes;
    let controls = |source: Source| args.selection.controls.iter().any(|c| c == source.name());
    let targets = [
        ("--solver", solver != "batched"),
        ("--train-fraction", train_fraction[..] != [1.0]),
        ("--label-seeds", *label_seeds != 1),
        ("--replicates", replicates.is_some()),
        ("--save-probe", args.save_probe.is_some()),
        ("--controls shuffled-labels", controls(Source::ShuffledLabels)),
    ];
    let fitted = [
        ("--controls pca", controls(Source::Pca)),
        ("--match-columns", args.selection.match_columns.is_some()),
    ];
    let few_shot = [("--episodes", episodes.is_some()), ("--queries", queries.is_some())];
    let verification = [("--folds", folds.is_some()), ("--pairs", pairs.is_some())];
    let allowed = |flags: &[(&str, bool)], kinds: &str, fits: bool| {
        let wrong = flags.iter().find(|(_, given)| *given && !fits);
        wrong.map_or(Ok(()), |(flag, _)| {
            Err(usage(format!("{flag}: expected a task {kinds}, found --task {}", args.task)))
        })
    };
    allowed(&targets, "that predicts labels", kind == Kind::Targets)?;
    allowed(&fitted, "with a training split", args.task != LFW)?;
    let sampled = matches!(kind, Kind::FewShot { .. });
    allowed(&few_shot, "of sampled episodes, such as omniglot-5way-1shot", sampled)?;
    let pairs = kind == Kind::Verification && args.task != LFW;
    allowed(&verification, "of sampled pairs, such as celeba-verification", pairs)
}

impl Plan {
    pub(super) fn new(args: &Args, common: &Common) -> Result<Self> {
        let Args { selection, probing, .. } = args;
        let task = Task::parse(&args.task)?;
        check_flags(args, task.kind)?;
        let rendered = task.dataset == "toy-faces";
        if rendered && (selection.crop.is_some() || selection.resize.is_some()) {
            return Err(usage("--crop, --resize: toy faces are drawn at the network's size"));
        }
        let controls = controls(&selection.controls)?;
        let statistic: Statistic = selection.statistic.parse().map_err(usage)?;
        if statistic == Statistic::Activation && selection.per_layer {
            return Err(usage("--per-layer: activations belong to resolutions, not to layers"));
        }
        let spec = FeatureSpec {
            statistic,
            pooling: selection.pool.parse().map_err(usage)?,
            seed: common.seed,
            samples: selection.samples.samples as usize,
        };
        spec.validate().map_err(usage)?;
        let matching = selection.match_columns.as_deref().map(matching).transpose()?;
        let on_bad_image = args.data.on_bad_image()?;
        let loaded = args.model.load(common)?;
        let config = loaded.model.config().clone();
        let selections = selections(selection, &config)?;
        let question = Question::new(args, &task, common.seed)?;
        let mut splits = Split::ALL.to_vec();
        splits.retain(|&split| question.needs(split));
        let dataset = args.data.open(&task.dataset, &splits)?;
        let random = controls.contains(&Source::RandomInit).then(|| {
            let weights = Weights::initialise(&config, common.seed);
            Vdvae::new(&config, &weights, loaded.model.device())?
                .with_precision(loaded.model.precision())
        });
        let mut plan = Self {
            task,
            question,
            random: random.transpose()?,
            loaded,
            dataset,
            preparation: Preparation {
                size: config.image_size,
                crop: selection.crop.unwrap_or_default(),
                resize: selection.resize.unwrap_or_default(),
            },
            spec,
            cache: None,
            exact: common.exact,
            selections,
            controls,
            pca_columns: selection.pca_columns as usize,
            matching,
            bootstrap: Bootstrap {
                replicates: probing.replicates.unwrap_or(REPLICATES) as usize,
                seed: common.seed,
            },
            on_bad_image,
        };
        for split in splits {
            plan.dataset(split).require(&[split])?;
        }
        plan.question.check(plan.dataset.as_ref())?;
        check_save(args, &plan)?;
        // Last: a run that is refused leaves no folder behind.
        plan.cache = args.cache.open()?;
        Ok(plan)
    }

    /// Where the pictures of a split are.
    pub(super) fn dataset(&self, split: Split) -> &dyn Dataset {
        match &self.question {
            Question::FewShot(plan) if split == Split::Test => {
                plan.test_set().unwrap_or(self.dataset.as_ref())
            }
            _ => self.dataset.as_ref(),
        }
    }
}
