//! The task that flags ask for, and the data set that it is about.

use anyhow::Result;
use vdvae_datasets::{Dataset, Lfw, OneShotRuns, Split};
use vdvae_experiment::{
    Episodes, FewShotTask, Pairs, TargetsTask, Task, TaskKind, TaskName, VerificationTask,
};
use vdvae_probes::{
    Bootstrap, CentroidProbe, Classifier, EpisodeConfig, KnnProbe, LinearProbe, Probe, Projection,
    RidgeProbe, STRENGTHS, VerificationScore,
};

use super::args::{Args, ProbingArgs};
use crate::exit::usage;

/// The task, and the data set that it is about.
pub(super) fn task(args: &Args, seed: u64) -> Result<(Box<dyn Task>, Box<dyn Dataset>)> {
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
            let classifiers = classifiers(probing)?;
            let centre_only = sizes.centre_only;
            Box::new(FewShotTask { name, classifiers, centre_only, ..task })
        }
        TaskKind::PublishedRuns => {
            let runs = OneShotRuns::open(&args.data.locate(dataset)?)?;
            let classifiers = classifiers(probing)?;
            let centre_only = sizes.centre_only;
            Box::new(FewShotTask { name, classifiers, centre_only, ..FewShotTask::published(runs) })
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
    let probes = probes(probing)?;
    let data = args.data.open(dataset, &Split::ALL)?;
    let strengths = strengths(probing)?;
    let seeds = (0..u64::from(probing.label_seeds)).map(|i| seed.wrapping_add(i));
    let bootstrap = Bootstrap::default();
    let task = TargetsTask {
        name: text.clone(),
        probes,
        usual: (logistic(probing, strengths.clone()), RidgeProbe { strengths }),
        train_fractions: probing.train_fraction.clone(),
        label_seeds: seeds.collect(),
        within: probing.within.clone(),
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
            "logistic" => Box::new(logistic(args, strengths.clone())),
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

fn logistic(args: &ProbingArgs, strengths: Vec<f64>) -> LinearProbe {
    LinearProbe { solver: args.solver, strengths, ..LinearProbe::default() }
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

/// Values in their order, each only once.
pub(super) fn each_once<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}
