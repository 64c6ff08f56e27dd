//! Every line of the table, probed and written as it ends.

use std::time::{Duration, Instant};

use anyhow::Result;
use vdvae_datasets::Split;
use vdvae_features::Targets;
use vdvae_probes::{
    Comparison, DataInfo, Evaluated, EvaluatedEpisodes, FeatureInfo, Fitted, ModelInfo, Probe,
    ProbeReport, ProbeResult, SavedProbe, Source, compare, compare_episodes, compare_verification,
    set_selectivity,
};
use vdvae_report::{write_csv, write_json};

use super::Args;
use super::lines::{Candidate, lines};
use super::page::Illustrations;
use super::plan::{Plan, Question};
use super::tables::{Splits, extract};
use super::targets::TargetsPlan;
use crate::common::progress;

/// Results are written anew only after this many times as long as writing took.
const MOST_OFTEN: u32 = 20;

/// What a run leaves behind.
pub(super) struct Outcome {
    pub(super) report: ProbeReport,
    pub(super) scored: Scored,
    pub(super) illustrations: Illustrations,
}

/// Results, of the kind that the task has, in the order of the report.
#[derive(Default)]
pub(super) struct Scored {
    /// With their test scores; scores of subsets of the training rows are not kept.
    pub(super) targets: Vec<Evaluated>,
    episodes: Vec<EvaluatedEpisodes>,
    pairs: Vec<ProbeResult>,
}

impl Scored {
    fn results(&self) -> Vec<ProbeResult> {
        let targets = self.targets.iter().map(|one| one.result.clone());
        let episodes = self.episodes.iter().map(|one| one.result.clone());
        targets.chain(episodes).chain(self.pairs.iter().cloned()).collect()
    }

    fn comparisons(&self) -> Vec<Comparison> {
        let mut comparisons = compare(&self.targets);
        comparisons.extend(compare_episodes(&self.episodes));
        comparisons.extend(compare_verification(&self.pairs));
        comparisons
    }

    fn add(&mut self, plan: &Plan, args: &Args, candidate: &Candidate) -> Result<()> {
        let Candidate { origin, tables } = candidate;
        match &plan.question {
            Question::Targets(targets) => self.add_targets(plan, args, targets, candidate)?,
            Question::FewShot(few_shot) => self.episodes.extend(few_shot.score(*origin, tables)?),
            Question::Verification(verification) => {
                let dataset = plan.dataset(Split::Test);
                self.pairs.extend(verification.score(dataset, *origin, tables)?);
            }
        }
        Ok(())
    }

    fn add_targets(
        &mut self,
        plan: &Plan,
        args: &Args,
        targets: &TargetsPlan,
        candidate: &Candidate,
    ) -> Result<()> {
        let real = matches!(candidate.tables[0].targets, Targets::Real { .. });
        for &subset in &targets.subsets {
            let part = candidate.subset(subset);
            for probe in targets.probes(real) {
                self.targets.push(score(plan, args, &*probe, &part)?);
            }
        }
        Ok(())
    }
}

pub(super) fn run(plan: &Plan, args: &Args) -> Result<Outcome> {
    let tables = extract(plan, args.batch_size as usize)?;
    let mut report = empty_report(plan, &tables[0].1)?;
    let lines = lines(plan, &tables);
    let bar = progress(lines.len() as u64, "probing");
    let mut scored = Scored::default();
    let (mut written, mut cost) = (Instant::now(), Duration::ZERO);
    for line in &lines {
        for candidate in line.candidates(plan)? {
            scored.add(plan, args, &candidate)?;
        }
        // A run that is stopped keeps what it has. Thousands of results take a while to write, and
        // are not all written after every line.
        if written.elapsed() >= MOST_OFTEN * cost {
            written = Instant::now();
            write(args, &mut report, &scored)?;
            cost = written.elapsed();
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.comparisons = scored.comparisons();
    write(args, &mut report, &scored)?;
    let illustrations = Illustrations::new(plan, &tables[0].1, &scored)?;
    Ok(Outcome { report, scored, illustrations })
}

/// Writes what there is.
fn write(args: &Args, report: &mut ProbeReport, scored: &Scored) -> Result<()> {
    report.results = scored.results();
    set_selectivity(&mut report.results);
    write_json(&args.out.join("results.json"), report)?;
    write_csv(&args.out.join("results.csv"), report)?;
    Ok(())
}

fn score(plan: &Plan, args: &Args, probe: &dyn Probe, part: &Candidate) -> Result<Evaluated> {
    let [train, valid, test] = &part.tables;
    let fitted = probe.fit(train, valid)?;
    let mut evaluated = fitted.evaluate(test, plan.bootstrap)?.with_origin(part.origin);
    if part.origin.train_fraction < 1.0 {
        evaluated.scores = Default::default();
    }
    if let Some(path) = &args.save_probe
        && part.origin.source == Source::Latents
    {
        saved(plan, args, &fitted)?.save(path)?;
    }
    Ok(evaluated)
}

/// The probe of the one selection asked for, with all that `predict` needs.
fn saved(plan: &Plan, args: &Args, fitted: &Fitted) -> Result<SavedProbe> {
    let features = FeatureInfo {
        network: plan.loaded.name.clone(),
        sha256: plan.loaded.sha256.clone(),
        layers: plan.selections[0],
        statistic: plan.spec.statistic,
        pooling: plan.spec.pooling,
        seed: plan.spec.seed,
        samples: plan.spec.samples,
    };
    Ok(SavedProbe::new(fitted, args.task.clone(), features)?)
}

/// The one result on latents, where there is only one: its targets are worth a table of their own.
pub(super) fn only_latents(evaluated: &[Evaluated]) -> Option<&ProbeResult> {
    let mut latents = evaluated.iter().filter(|one| one.result.source == Source::Latents);
    let only = latents.next()?;
    latents.next().is_none().then_some(&only.result)
}

fn empty_report(plan: &Plan, tables: &Splits) -> Result<ProbeReport> {
    let [train, valid, test] = tables;
    Ok(ProbeReport {
        task: plan.task.name.clone(),
        model: ModelInfo {
            name: plan.loaded.name.clone(),
            sha256: Some(plan.loaded.sha256.clone()),
            config: serde_json::to_value(plan.loaded.model.config())?,
        },
        data: DataInfo {
            name: plan.dataset(Split::Test).name().to_owned(),
            n_train: train.rows(),
            n_valid: valid.rows(),
            n_test: test.rows(),
        },
        seed: plan.bootstrap.seed,
        results: Vec::new(),
        comparisons: Vec::new(),
    })
}
