//! Face verification: do two pictures show one person?

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, bail};
use vdvae_datasets::{Dataset, Lfw, Split};
use vdvae_features::{FeatureTable, Targets};
use vdvae_probes::{
    Origin, Pair, ProbeResult, Projection, Scorer, Training, VerificationScore, sample_pairs,
    verify, verify_each,
};

use super::tables::Splits;
use super::{EpisodeArgs, ProbingArgs};
use crate::common::usage;

/// Folds, and pairs of a fold, where none are asked for: those of LFW's view 2.
const FOLDS: u32 = 10;
const PAIRS: u32 = 600;

/// A checked verification task.
pub(super) struct VerificationPlan {
    task: String,
    scores: Vec<VerificationScore>,
    projection: Projection,
    pairs: Pairs,
}

/// Where pairs come from.
enum Pairs {
    /// Published, as pictures of the test split. There is no training split: what is fitted for a
    /// fold is fitted on the people that are not in it.
    Published(Vec<Vec<Pair>>),
    /// Drawn from the test split; what is fitted is fitted on the training split.
    Sampled { folds: usize, pairs: usize, seed: u64 },
}

impl VerificationPlan {
    pub(super) fn sampled(
        task: &str,
        args: (&EpisodeArgs, &ProbingArgs),
        seed: u64,
    ) -> Result<Self> {
        let (sizes, probing) = args;
        let folds = sizes.folds.unwrap_or(FOLDS) as usize;
        let pairs = sizes.pairs.unwrap_or(PAIRS) as usize;
        Self::new(task, Pairs::Sampled { folds, pairs, seed }, probing, seed)
    }

    pub(super) fn published(
        task: &str,
        lfw: &Lfw,
        probing: &ProbingArgs,
        seed: u64,
    ) -> Result<Self> {
        let pair = |pair: &vdvae_datasets::Pair| Pair { a: pair.a, b: pair.b, same: pair.same };
        let folds = lfw.pairs()?.folds;
        let folds = folds.iter().map(|fold| fold.iter().map(pair).collect()).collect();
        Self::new(task, Pairs::Published(folds), probing, seed)
    }

    fn new(task: &str, pairs: Pairs, probing: &ProbingArgs, seed: u64) -> Result<Self> {
        if !probing.strengths.is_empty() {
            return Err(usage("--strengths: verification has no penalty to choose"));
        }
        let mut scores: Vec<VerificationScore> = Vec::new();
        for name in &probing.probe {
            let score = name.parse().map_err(|error| usage(format!("--probe: {error}")))?;
            if !scores.contains(&score) {
                scores.push(score);
            }
        }
        if scores.is_empty() {
            scores = vec![VerificationScore::Cosine, VerificationScore::Lda];
        }
        let projection = Projection { seed, ..Projection::default() };
        Ok(Self { task: task.into(), scores, projection, pairs })
    }

    /// Whether something is fitted on a training split.
    pub(super) fn trains(&self) -> bool {
        matches!(self.pairs, Pairs::Sampled { .. })
    }

    /// Fails where the test split has too few people or pictures, before any work.
    pub(super) fn check(&self, dataset: &dyn Dataset) -> Result<()> {
        let Pairs::Sampled { folds, pairs, seed } = self.pairs else { return Ok(()) };
        let identities = match (dataset.groups(Split::Test), dataset.labels(Split::Test)) {
            (Some(groups), _) => groups,
            (_, vdvae_datasets::Labels::Classes { labels, .. }) => widen(&labels),
            _ => {
                let expected = "expected people to tell apart, found none (CelebA has them in \
                                identity_CelebA.txt)";
                return Err(usage(format!("{}: {expected}", self.task)));
            }
        };
        sample_pairs(&identities, folds, pairs, seed).map_err(|error| {
            usage(format!("{}: {error}; --pairs and --folds ask for fewer", self.task))
        })?;
        Ok(())
    }

    /// Every score on the same pairs.
    pub(super) fn score(
        &self,
        dataset: &dyn Dataset,
        origin: Origin,
        tables: &Splits,
    ) -> Result<Vec<ProbeResult>> {
        let [train, _, test] = tables;
        let identities = people(test, &self.task)?;
        let pairs = match &self.pairs {
            Pairs::Published(folds) => rows_of(dataset, test, folds)?,
            &Pairs::Sampled { folds, pairs, seed } => {
                sample_pairs(&identities, folds, pairs, seed)?
            }
        };
        let one = |&score: &VerificationScore| -> Result<ProbeResult> {
            let result = match self.pairs {
                Pairs::Sampled { .. } => {
                    let own = people(train, &self.task)?;
                    let training = Training { features: train.features.view(), identities: &own };
                    let scorer = Scorer::fit(score, training, &identities, self.projection)?;
                    let scores = scorer.score(test.features.view(), &pairs)?;
                    verify(&scores, &pairs)?.result(score, &scorer, &pairs)
                }
                Pairs::Published(_) => self.fold_by_fold(score, test, &identities, &pairs)?,
            };
            Ok(result.with_origin(origin))
        };
        self.scores.iter().map(one).collect()
    }

    /// A scorer for each fold, fitted on the pictures of everyone who is not in it.
    fn fold_by_fold(
        &self,
        score: VerificationScore,
        test: &FeatureTable,
        identities: &[u64],
        pairs: &[Vec<Pair>],
    ) -> Result<ProbeResult> {
        let mut scores = Vec::new();
        let mut last = None;
        for fold in pairs {
            let inside: BTreeSet<u64> =
                fold.iter().flat_map(|pair| [identities[pair.a], identities[pair.b]]).collect();
            let rows: Vec<usize> =
                (0..test.rows()).filter(|&row| !inside.contains(&identities[row])).collect();
            let others = test.select_rows(&rows);
            let own: Vec<u64> = rows.iter().map(|&row| identities[row]).collect();
            let training = Training { features: others.features.view(), identities: &own };
            let inside: Vec<u64> = inside.into_iter().collect();
            let scorer = Scorer::fit(score, training, &inside, self.projection)?;
            scores.push(scorer.score(test.features.view(), pairs)?);
            last = Some(scorer);
        }
        let verification = verify_each(&scores, pairs)?;
        let scorer = last.with_context(|| format!("{}: there is no fold", self.task))?;
        Ok(verification.result(score, &scorer, pairs))
    }

    /// What the intervals are over.
    pub(super) fn intervals(&self) -> String {
        let folds = match &self.pairs {
            Pairs::Published(folds) => folds.len(),
            Pairs::Sampled { folds, .. } => *folds,
        };
        format!("95%, Student's, over {folds} folds")
    }
}

fn widen(labels: &[u32]) -> Vec<u64> {
    labels.iter().map(|&label| label.into()).collect()
}

/// Who is in the picture of every row.
fn people(table: &FeatureTable, task: &str) -> Result<Vec<u64>> {
    match (&table.groups, &table.targets) {
        (Some(groups), _) => Ok(groups.clone()),
        (_, Targets::Classes { labels, .. }) => Ok(widen(labels)),
        _ => bail!("{task}: expected people to tell apart, found none"),
    }
}

/// Pairs of pictures as pairs of rows: pictures that could not be read have none.
fn rows_of(
    dataset: &dyn Dataset,
    table: &FeatureTable,
    folds: &[Vec<Pair>],
) -> Result<Vec<Vec<Pair>>> {
    let rows: HashMap<&str, usize> =
        table.keys.iter().enumerate().map(|(row, key)| (key.as_str(), row)).collect();
    let row = |picture: usize| {
        let key = dataset.key(Split::Test, picture);
        rows.get(key.as_str()).copied().with_context(|| format!("{key}: a pair needs this picture"))
    };
    let pair = |pair: &Pair| Ok(Pair { a: row(pair.a)?, b: row(pair.b)?, same: pair.same });
    folds.iter().map(|fold| fold.iter().map(pair).collect()).collect()
}
