//! Everything that was asked for, checked before any work.

use anyhow::Result;
use vdvae_datasets::{Dataset, Labels, OnBadImage, Split};
use vdvae_features::{FeatureCache, FeatureSpec, LayerSelection, Statistic};
use vdvae_model::{Vdvae, VdvaeConfig, Weights};
use vdvae_probes::{
    Bootstrap, CentroidProbe, KnnProbe, LinearProbe, Probe, ReductionKind, RidgeProbe, Solver,
    Source,
};

use super::{Args, ProbingArgs, SelectionArgs};
use crate::common::{Common, LoadedModel, check_writable, usage};

/// Most columns that selections may be matched to.
const MOST_COLUMNS: usize = 1 << 16;

/// A checked run.
pub(super) struct Plan {
    pub(super) task: String,
    pub(super) loaded: LoadedModel,
    pub(super) random: Option<Vdvae>,
    pub(super) dataset: Box<dyn Dataset>,
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
    /// Parts of the training rows, smallest first.
    pub(super) subsets: Vec<Subset>,
    pub(super) bootstrap: Bootstrap,
    pub(super) on_bad_image: OnBadImage,
    /// Empty for the default of the task.
    probes: Vec<ProbeKind>,
    solver: Solver,
    strengths: Vec<f64>,
}

/// A share of the training and validation rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Subset {
    pub(super) fraction: f64,
    /// What draws them; none for all rows.
    pub(super) seed: Option<u64>,
}

/// A probe by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeKind {
    Logistic,
    Ridge,
    Knn,
    Centroid,
}

impl ProbeKind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Logistic, "logistic"),
        (Self::Ridge, "ridge"),
        (Self::Knn, "knn"),
        (Self::Centroid, "centroid"),
    ];
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
    if with_path("folder:") || with_path("csv:") || with_path("hf:") {
        return Ok(task.to_string());
    }
    Err(usage(format!(
        "--task: expected toy-faces, celeba-attrs, cifar10, mnist, folder:PATH, csv:FILE or \
         hf:OWNER/REPO, found `{task}`"
    )))
}

/// The values named in a list, each once.
fn named<T: Copy + PartialEq>(
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

/// Every fraction with every seed; all rows only once.
fn subsets(args: &ProbingArgs, seed: u64) -> Result<Vec<Subset>> {
    let mut fractions = args.train_fraction.clone();
    if let Some(wrong) = fractions.iter().find(|f| !(**f > 0.0 && **f <= 1.0)) {
        return Err(usage(format!(
            "--train-fraction: expected above 0 and up to 1, found {wrong}"
        )));
    }
    fractions.sort_unstable_by(f64::total_cmp);
    fractions.dedup();
    let seeds = |fraction: f64| match fraction < 1.0 {
        true => (0..args.label_seeds).map(|i| Some(seed.wrapping_add(u64::from(i)))).collect(),
        false => vec![None],
    };
    let with_seeds = |&fraction: &f64| {
        seeds(fraction).into_iter().map(move |seed| Subset { fraction, seed }).collect::<Vec<_>>()
    };
    Ok(fractions.iter().flat_map(with_seeds).collect())
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

fn strengths(args: &ProbingArgs) -> Result<Vec<f64>> {
    let valid = |s: &f64| s.is_finite() && *s > 0.0;
    if args.strengths.is_empty() || !args.strengths.iter().all(valid) {
        return Err(usage("--strengths: expected positive numbers"));
    }
    Ok(args.strengths.clone())
}

/// Fails where there is nothing to predict, or the solver cannot.
fn check_labels(dataset: &dyn Dataset, probes: &[ProbeKind], solver: Solver) -> Result<()> {
    let name = dataset.name();
    let fits_logistic = probes.is_empty() || probes.contains(&ProbeKind::Logistic);
    match dataset.labels(Split::Train) {
        Labels::None => Err(usage(format!(
            "{name}: expected labels to predict, found none; put the pictures of each class into a \
             folder of its name"
        ))),
        Labels::Classes { names, .. } if names.len() < 2 => {
            Err(usage(format!("{name}: expected at least 2 classes, found {}", names.join(", "))))
        }
        Labels::Classes { .. } if solver == Solver::Linfa && fits_logistic => Err(usage(format!(
            "--solver linfa: cannot fit the classes of {name}, only binary targets; use batched"
        ))),
        _ => Ok(()),
    }
}

/// Fails where there would be more than one probe to save, or one that cannot be.
fn check_save(args: &Args, plan: &Plan) -> Result<()> {
    let Some(path) = &args.save_probe else { return Ok(()) };
    let linear = match plan.probes[..] {
        [] => true,
        [only] => matches!(only, ProbeKind::Logistic | ProbeKind::Ridge),
        _ => false,
    };
    let whole = plan.subsets[..] == [Subset { fraction: 1.0, seed: None }];
    if plan.selections.len() != 1 || !linear || !whole || plan.matching.is_some() {
        return Err(usage(
            "--save-probe: expected one --layer and --probe logistic or ridge, without \
             --match-columns or --train-fraction",
        ));
    }
    check_writable(path)
}

impl Plan {
    pub(super) fn new(args: &Args, common: &Common) -> Result<Self> {
        let Args { selection, probing, .. } = args;
        let dataset = dataset_of(&args.task)?;
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
        let probes = named("--probe", &probing.probe, &ProbeKind::ALL)?;
        let solver = probing.solver.parse().map_err(usage)?;
        let strengths = strengths(probing)?;
        let subsets = subsets(probing, common.seed)?;
        let on_bad_image = args.data.on_bad_image()?;
        let loaded = args.model.load(&common.device()?)?;
        let config = loaded.model.config().clone();
        let selections = selections(selection, &config)?;
        let dataset = args.data.open(&dataset)?;
        dataset.require(&Split::ALL)?;
        check_labels(dataset.as_ref(), &probes, solver)?;
        let random = controls.contains(&Source::RandomInit).then(|| {
            let weights = Weights::initialise(&config, common.seed);
            Vdvae::new(&config, &weights, loaded.model.device())
        });
        let mut plan = Self {
            task: args.task.clone(),
            random: random.transpose()?,
            loaded,
            dataset,
            spec,
            cache: None,
            exact: common.exact,
            selections,
            controls,
            pca_columns: selection.pca_columns as usize,
            matching,
            subsets,
            bootstrap: Bootstrap { replicates: probing.replicates as usize, seed: common.seed },
            on_bad_image,
            probes,
            solver,
            strengths,
        };
        check_save(args, &plan)?;
        // Last: a run that is refused leaves no folder behind.
        plan.cache = args.cache.open()?;
        Ok(plan)
    }

    /// The probes asked for; without any, the one for the kind of targets.
    pub(super) fn probes(&self, real: bool) -> Vec<Box<dyn Probe>> {
        let default = [if real { ProbeKind::Ridge } else { ProbeKind::Logistic }];
        let kinds = if self.probes.is_empty() { &default[..] } else { &self.probes[..] };
        let probe = |kind: &ProbeKind| -> Box<dyn Probe> {
            let (solver, strengths) = (self.solver, self.strengths.clone());
            match kind {
                ProbeKind::Logistic => {
                    Box::new(LinearProbe { solver, strengths, ..LinearProbe::default() })
                }
                ProbeKind::Ridge => Box::new(RidgeProbe { strengths }),
                ProbeKind::Knn => Box::new(KnnProbe::default()),
                ProbeKind::Centroid => Box::new(CentroidProbe),
            }
        };
        kinds.iter().map(probe).collect()
    }
}
