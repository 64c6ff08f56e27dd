//! Tasks that predict the labels of pictures: which probes, and on how many of them.

use anyhow::Result;
use vdvae_datasets::{Dataset, Labels, Split};
use vdvae_probes::{CentroidProbe, KnnProbe, LinearProbe, Probe, RidgeProbe, Solver};

use super::ProbingArgs;
use super::plan::named;
use crate::common::usage;

/// Penalties where none are asked for.
const STRENGTHS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// A share of the training and validation rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Subset {
    pub(super) fraction: f64,
    /// What draws them; none for all rows.
    pub(super) seed: Option<u64>,
}

/// A probe by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
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

/// How labels are predicted.
pub(super) struct TargetsPlan {
    /// Parts of the training rows, smallest first.
    pub(super) subsets: Vec<Subset>,
    /// Empty for the default of the targets.
    kinds: Vec<ProbeKind>,
    solver: Solver,
    strengths: Vec<f64>,
}

impl TargetsPlan {
    pub(super) fn new(args: &ProbingArgs, seed: u64) -> Result<Self> {
        Ok(Self {
            subsets: subsets(args, seed)?,
            kinds: named("--probe", &args.probe, &ProbeKind::ALL)?,
            solver: args.solver.parse().map_err(usage)?,
            strengths: strengths(args)?,
        })
    }

    /// The probes asked for; without any, the one for the kind of targets.
    pub(super) fn probes(&self, real: bool) -> Vec<Box<dyn Probe>> {
        let default = [if real { ProbeKind::Ridge } else { ProbeKind::Logistic }];
        let kinds = if self.kinds.is_empty() { &default[..] } else { &self.kinds[..] };
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

    /// Whether there is one probe, linear, on all rows: what a file of a probe can hold.
    pub(super) fn can_be_saved(&self) -> bool {
        let linear = match self.kinds[..] {
            [] => true,
            [only] => matches!(only, ProbeKind::Logistic | ProbeKind::Ridge),
            _ => false,
        };
        linear && self.subsets[..] == [Subset { fraction: 1.0, seed: None }]
    }

    /// Fails where there is nothing to predict, or the solver cannot.
    pub(super) fn check(&self, dataset: &dyn Dataset) -> Result<()> {
        let (probes, solver) = (&self.kinds, self.solver);
        let name = dataset.name();
        let fits_logistic = probes.is_empty() || probes.contains(&ProbeKind::Logistic);
        match dataset.labels(Split::Train) {
            Labels::None => Err(usage(format!(
                "{name}: expected labels to predict, found none; put the pictures of each class into a \
                 folder of its name"
            ))),
            Labels::Classes { names, .. } if names.len() < 2 => Err(usage(format!(
                "{name}: expected at least 2 classes, found {}",
                names.join(", ")
            ))),
            Labels::Classes { .. } if solver == Solver::Linfa && fits_logistic => {
                Err(usage(format!(
                    "--solver linfa: cannot fit the classes of {name}, only binary targets; use batched"
                )))
            }
            _ => Ok(()),
        }
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

fn strengths(args: &ProbingArgs) -> Result<Vec<f64>> {
    let valid = |s: &f64| s.is_finite() && *s > 0.0;
    match &args.strengths[..] {
        [] => Ok(STRENGTHS.to_vec()),
        given if given.iter().all(valid) => Ok(given.to_vec()),
        _ => Err(usage("--strengths: expected positive numbers")),
    }
}
