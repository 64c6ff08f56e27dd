//! Few-shot tasks: episodes of a few labelled pictures a class, the same for every line.

use anyhow::{Result, bail};
use vdvae_datasets::{Dataset, OneShotRuns, Split};
use vdvae_features::{FeatureTable, Targets};
use vdvae_probes::{
    Classifier, Episode, EpisodeConfig, EpisodeSampler, EvaluatedEpisodes, FewShot, Origin,
    column_mean, score_episodes,
};

use super::tables::Splits;
use super::{EpisodeArgs, ProbingArgs};
use crate::common::usage;

/// Episodes and queries of a class where none are asked for.
const EPISODES: u32 = 600;
const QUERIES: u32 = 15;

/// A checked few-shot task.
pub(super) struct FewShotPlan {
    task: String,
    classifiers: Vec<Classifier>,
    episodes: Episodes,
}

/// Where episodes come from.
enum Episodes {
    /// Drawn from the classes of the test split.
    Sampled { config: EpisodeConfig, count: u64 },
    /// The published runs of Omniglot.
    Runs(OneShotRuns),
}

impl FewShotPlan {
    pub(super) fn sampled(
        task: &str,
        [ways, shots]: [usize; 2],
        args: (&EpisodeArgs, &ProbingArgs),
        seed: u64,
    ) -> Result<Self> {
        let (episodes, probing) = args;
        let queries = episodes.queries.unwrap_or(QUERIES) as usize;
        let config = EpisodeConfig { ways, shots, queries, seed };
        let count = u64::from(episodes.episodes.unwrap_or(EPISODES));
        let classifiers = classifiers(probing)?;
        Ok(Self { task: task.into(), classifiers, episodes: Episodes::Sampled { config, count } })
    }

    pub(super) fn runs(task: &str, runs: OneShotRuns, probing: &ProbingArgs) -> Result<Self> {
        let classifiers = classifiers(probing)?;
        Ok(Self { task: task.into(), classifiers, episodes: Episodes::Runs(runs) })
    }

    /// The published runs' pictures, which take the place of the test split.
    pub(super) fn test_set(&self) -> Option<&dyn Dataset> {
        match &self.episodes {
            Episodes::Runs(runs) => Some(runs),
            Episodes::Sampled { .. } => None,
        }
    }

    /// Fails where the test split has too few classes or pictures, before any work.
    pub(super) fn check(&self, dataset: &dyn Dataset) -> Result<()> {
        let Episodes::Sampled { config, .. } = self.episodes else { return Ok(()) };
        let labels = match (dataset.labels(Split::Test), dataset.groups(Split::Test)) {
            (vdvae_datasets::Labels::Classes { labels, .. }, _) => labels,
            (_, Some(groups)) => dense(&groups),
            _ => return Err(usage(format!("{}: expected classes or identities", self.task))),
        };
        EpisodeSampler::new(&labels, config).map_err(usage)?;
        Ok(())
    }

    /// Every classifier on the same episodes.
    pub(super) fn score(&self, origin: Origin, tables: &Splits) -> Result<Vec<EvaluatedEpisodes>> {
        let [train, _, test] = tables;
        let base_mean = column_mean(train.features.view())?;
        let (features, task) = (test.features.view(), &self.task[..]);
        let one = |&classifier: &Classifier| -> Result<EvaluatedEpisodes> {
            let evaluated = match &self.episodes {
                &Episodes::Sampled { config, count } => {
                    let few_shot = FewShot::new(&classes(test, task)?, config, count)?;
                    let scores = few_shot.evaluate(features, &base_mean, classifier)?;
                    EvaluatedEpisodes::sampled(&few_shot, classifier, scores)
                }
                Episodes::Runs(runs) => {
                    let episodes = episodes_of(runs, test)?;
                    let scores = score_episodes(features, &base_mean, &episodes, classifier)?;
                    let ways = episodes[0].support.len();
                    let queries = episodes[0].query.len() / ways;
                    EvaluatedEpisodes::published([ways, queries], classifier, scores)
                }
            };
            Ok(evaluated.with_origin(origin))
        };
        self.classifiers.iter().map(one).collect()
    }

    /// What the intervals are over.
    pub(super) fn intervals(&self) -> String {
        match &self.episodes {
            Episodes::Sampled { config, count } => {
                let EpisodeConfig { ways, shots, queries, .. } = config;
                format!(
                    "95%, 1.96 standard errors over {count} episodes of {ways} classes with \
                     {shots} labelled pictures and {queries} queries each"
                )
            }
            Episodes::Runs(runs) => {
                format!("95%, 1.96 standard errors over {} published runs", runs.runs().len())
            }
        }
    }
}

/// The classifiers asked for; nearest centroids without any.
fn classifiers(args: &ProbingArgs) -> Result<Vec<Classifier>> {
    let mut classifiers: Vec<Classifier> = Vec::new();
    for name in &args.probe {
        let classifier = name.parse().map_err(|error| usage(format!("--probe: {error}")))?;
        if !classifiers.contains(&classifier) {
            classifiers.push(classifier);
        }
    }
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

/// The class of every row: of classes the label, of people the person.
fn classes(table: &FeatureTable, task: &str) -> Result<Vec<u32>> {
    match (&table.targets, &table.groups) {
        (Targets::Classes { labels, .. }, _) => Ok(labels.clone()),
        (_, Some(groups)) => Ok(dense(groups)),
        _ => bail!("{task}: expected classes or identities"),
    }
}

/// Numbers from 0 in the order of the groups.
fn dense(groups: &[u64]) -> Vec<u32> {
    let mut known = groups.to_vec();
    known.sort_unstable();
    known.dedup();
    let place = |group: &u64| known.binary_search(group).expect("every group is known") as u32;
    groups.iter().map(place).collect()
}

/// The published runs on the rows of a table, which has every picture of theirs.
fn episodes_of(runs: &OneShotRuns, table: &FeatureTable) -> Result<Vec<Episode>> {
    if table.rows() != runs.len(Split::Test) {
        bail!(
            "omniglot-runs: expected all {} pictures, found {} that can be read",
            runs.len(Split::Test),
            table.rows()
        );
    }
    let episode = |run: &vdvae_datasets::OneShotRun| {
        Episode::one_shot(run.support.clone(), run.queries.clone(), &run.answers)
            .map_err(|error| anyhow::anyhow!("{}: {error}", run.name))
    };
    runs.runs().iter().map(episode).collect()
}

#[cfg(test)]
mod tests {
    use super::dense;

    #[test]
    fn people_are_numbered_from_zero() {
        assert_eq!(dense(&[70, 5, 70, 900]), [1, 0, 1, 2]);
    }
}
