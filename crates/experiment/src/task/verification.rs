//! Face verification: do two pictures show one person?

use std::collections::HashMap;

use vdvae_datasets::{Dataset, Lfw, Split};
use vdvae_features::{FeatureTable, Targets};
use vdvae_probes::{
    Comparison, Pair, ProbeResult, Projection, Source, Units, VerificationScore, average_networks,
    compare_verification, identity_of_rows, sample_pairs, verify_table,
};
use vdvae_report::RocCurve;

use super::{Scores, Task};
use crate::candidate::Candidate;
use crate::error::{Error, Result};

/// Tell whether two pictures show one person.
pub struct VerificationTask {
    /// What reports call the task.
    pub name: String,
    /// What the likeness of two pictures is; each is measured on the same pairs.
    pub scores: Vec<VerificationScore>,
    /// How scores reduce the columns, where they do.
    pub projection: Projection,
    /// Where pairs come from.
    pub pairs: Pairs,
}

/// Where pairs come from.
pub enum Pairs {
    /// Published, as pictures of the test split. There is no training split: what is fitted for a
    /// fold is fitted on the people that are not in it.
    Published(Vec<Vec<Pair>>),
    /// Drawn from the test split; what is fitted is fitted on the training split.
    Sampled {
        /// Folds, no two of which have a person in common.
        folds: usize,
        /// Pairs of each fold, half of them of one person.
        pairs: usize,
        /// What draws them.
        seed: u64,
    },
}

impl Default for VerificationTask {
    /// Cosine, as it is and after linear discriminants, on sampled pairs: ten folds of 600, as many
    /// as view 2 of LFW has.
    fn default() -> Self {
        Self {
            name: "verification".to_owned(),
            scores: vec![VerificationScore::Cosine, VerificationScore::Lda],
            projection: Projection::default(),
            pairs: Pairs::Sampled { folds: 10, pairs: 600, seed: 0 },
        }
    }
}

impl VerificationTask {
    /// The same scores on the pairs of LFW's view 2.
    ///
    /// # Errors
    /// Where `pairs.txt` is absent or names a picture that is not there.
    pub fn published(lfw: &Lfw) -> Result<Self> {
        let pair =
            |pair: &vdvae_datasets::PicturePair| Pair { a: pair.a, b: pair.b, same: pair.same };
        let folds = lfw.pairs()?.folds;
        let folds = folds.iter().map(|fold| fold.iter().map(pair).collect()).collect();
        let name = "lfw-verification".to_owned();
        Ok(Self { name, pairs: Pairs::Published(folds), ..Self::default() })
    }

    /// Who is in each picture, where that is known.
    fn people(&self, targets: &Targets, groups: Option<&[u64]>) -> Result<Vec<u64>> {
        identity_of_rows(targets, groups).ok_or_else(|| Error::Unfit {
            what: self.name.clone(),
            problem: "expected people to tell apart, found none (CelebA has them in \
                      identity_CelebA.txt)"
                .to_owned(),
        })
    }
}

impl Task for VerificationTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn splits(&self) -> &[Split] {
        match self.pairs {
            Pairs::Published(_) => &[Split::Test],
            Pairs::Sampled { .. } => &[Split::Train, Split::Test],
        }
    }

    fn check(&self, data: &dyn Dataset) -> Result<()> {
        let Pairs::Sampled { folds, pairs, seed } = self.pairs else { return Ok(()) };
        let targets = Targets::from(&data.labels(Split::Test));
        let people = self.people(&targets, data.groups(Split::Test).as_deref())?;
        let pairs = sample_pairs(&people, folds, pairs, seed);
        let pairs = pairs.map_err(Box::new);
        pairs.map(drop).map_err(|source| Error::Pairs { task: self.name.clone(), source })
    }

    fn intervals(&self) -> String {
        let folds = match &self.pairs {
            Pairs::Published(folds) => folds.len(),
            Pairs::Sampled { folds, .. } => *folds,
        };
        format!("95%, Student's, over {folds} folds")
    }

    fn drawn(&self) -> String {
        match &self.pairs {
            Pairs::Sampled { folds, pairs, seed } => {
                format!("{folds} folds of {pairs} pairs, seed {seed}")
            }
            Pairs::Published(_) => "published pairs".to_owned(),
        }
    }

    fn scores<'a>(&'a self, data: &'a dyn Dataset) -> Box<dyn Scores + 'a> {
        Box::new(VerificationScores { task: self, data, results: Vec::new() })
    }
}

struct VerificationScores<'a> {
    task: &'a VerificationTask,
    data: &'a dyn Dataset,
    results: Vec<ProbeResult>,
}

impl Scores for VerificationScores<'_> {
    fn add(&mut self, candidate: &Candidate) -> Result<()> {
        let Candidate { origin, tables: [train, _, test], .. } = candidate;
        let (pairs, train) = match &self.task.pairs {
            Pairs::Published(folds) => (rows_of(self.data, test, folds)?, None),
            &Pairs::Sampled { folds, pairs, seed } => {
                let people = self.task.people(&test.targets, test.groups.as_deref())?;
                (sample_pairs(&people, folds, pairs, seed)?, Some(train))
            }
        };
        for &score in &self.task.scores {
            let result = verify_table(score, self.task.projection, train, test, &pairs)?;
            self.results.push(result.with_origin(*origin));
        }
        Ok(())
    }

    fn results(&self) -> Vec<ProbeResult> {
        average_networks(&self.results)
    }

    fn units(&self) -> Vec<Units> {
        let folds = |result: ProbeResult| {
            Units::Folds(result.verification.map_or_else(Vec::new, |info| info.fold_accuracies))
        };
        self.results().into_iter().map(folds).collect()
    }

    fn comparisons(&self) -> Vec<Comparison> {
        compare_verification(&self.results())
    }

    /// Those of the best score of latents, and of its controls; a mean of several networks has none.
    fn roc(&self) -> Vec<RocCurve> {
        let results = self.results();
        let has_curve =
            |r: &ProbeResult| r.verification.as_ref().is_some_and(|v| !v.roc.is_empty());
        let raw = || results.iter().filter(|r| r.matched_columns.is_none() && has_curve(r));
        let latents = raw().filter(|r| r.source == Source::Latents);
        let value = |r: &&ProbeResult| r.value.unwrap_or(f64::NEG_INFINITY);
        let Some(best) = latents.max_by(|a, b| value(a).total_cmp(&value(b))) else {
            return Vec::new();
        };
        let beside = raw()
            .filter(|r| r.probe == best.probe && (r.layers == best.layers || r.layers.is_none()));
        beside.map(curve).collect()
    }
}

fn curve(result: &ProbeResult) -> RocCurve {
    let points = result.verification.iter().flat_map(|info| &info.roc);
    RocCurve {
        name: format!("same person, {}", result.probe),
        source: result.source,
        points: points.copied().collect(),
        auroc: result.mean(|target| target.auroc),
    }
}

/// Pairs of pictures as pairs of rows: pictures that could not be read have none.
fn rows_of(
    data: &dyn Dataset,
    table: &FeatureTable,
    folds: &[Vec<Pair>],
) -> Result<Vec<Vec<Pair>>> {
    let rows: HashMap<&str, usize> =
        table.keys.iter().enumerate().map(|(row, key)| (key.as_str(), row)).collect();
    let row = |picture: usize| {
        let key = data.key(Split::Test, picture);
        rows.get(key.as_str()).copied().ok_or(Error::MissingPicture { key })
    };
    let pair = |pair: &Pair| Ok(Pair { a: row(pair.a)?, b: row(pair.b)?, same: pair.same });
    folds.iter().map(|fold| fold.iter().map(pair).collect()).collect()
}
