//! Few labels: episodes of a few labelled pictures of each class, the same for every line.

use vdvae_datasets::{Dataset, OneShotRun, OneShotRuns, Split};
use vdvae_features::{FeatureTable, Targets};
use vdvae_probes::{
    Classifier, Comparison, Episode, EpisodeConfig, EpisodeSampler, EvaluatedEpisodes, ProbeResult,
    Standardiser, Units, average_networks, class_of_rows, compare_episodes, few_shot,
    score_episodes,
};

use super::{Scores, Task};
use crate::candidate::Candidate;
use crate::error::{Error, Result};

/// Tell new classes, or people, apart from a few pictures of each.
pub struct FewShotTask {
    /// What reports call the task.
    pub name: String,
    /// Split whose statistics the features are standardised by: pictures of other classes. The page
    /// shows neighbours, and columns are matched, where it is the training split.
    pub base: Split,
    /// Whether columns are centred and keep their units, as CL2N was published.
    pub centre_only: bool,
    /// What learns from an episode's labelled pictures; each is scored on the same episodes.
    pub classifiers: Vec<Classifier>,
    /// Where episodes come from.
    pub episodes: Episodes,
}

/// Where episodes come from.
pub enum Episodes {
    /// Drawn from the classes of the test split.
    Sampled {
        /// Classes, and pictures of each.
        config: EpisodeConfig,
        /// How many episodes.
        count: u64,
    },
    /// The published one-shot runs of Omniglot, which bring their own pictures.
    Published(Box<OneShotRuns>),
}

impl FewShotTask {
    /// Nearest centroids on 600 sampled episodes of `ways` classes, with `shots` labelled pictures
    /// and 15 more to classify of each.
    pub fn new(ways: usize, shots: usize) -> Self {
        let config = EpisodeConfig { ways, shots, queries: 15, seed: 0 };
        Self {
            name: format!("{ways}way-{shots}shot"),
            base: Split::Train,
            centre_only: false,
            classifiers: vec![Classifier::default()],
            episodes: Episodes::Sampled { config, count: 600 },
        }
    }

    /// Nearest centroids on the published runs of Omniglot.
    pub fn published(runs: OneShotRuns) -> Self {
        Self {
            name: "omniglot-runs".to_owned(),
            base: Split::Train,
            centre_only: false,
            classifiers: vec![Classifier::default()],
            episodes: Episodes::Published(Box::new(runs)),
        }
    }
}

impl Task for FewShotTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn splits(&self) -> &[Split] {
        match self.base {
            Split::Train => &[Split::Train, Split::Test],
            Split::Valid => &[Split::Valid, Split::Test],
            Split::Test => &[Split::Test],
        }
    }

    fn test_set(&self) -> Option<&dyn Dataset> {
        match &self.episodes {
            Episodes::Published(runs) => Some(&**runs),
            Episodes::Sampled { .. } => None,
        }
    }

    fn check(&self, data: &dyn Dataset) -> Result<()> {
        let Episodes::Sampled { config, .. } = self.episodes else { return Ok(()) };
        let targets = Targets::from(&data.labels(Split::Test));
        let groups = data.groups(Split::Test);
        let classes = class_of_rows(&targets, groups.as_deref()).ok_or_else(|| Error::Unfit {
            what: self.name.clone(),
            problem:
                "expected one class or identity for each picture; choose the column by `targets`"
                    .to_owned(),
        })?;
        EpisodeSampler::new(&classes, config).map(drop).map_err(Error::Episodes)
    }

    fn intervals(&self) -> String {
        match &self.episodes {
            Episodes::Sampled { config, count } => {
                let EpisodeConfig { ways, shots, queries, .. } = config;
                format!(
                    "95%, 1.96 standard errors over {count} episodes of {ways} classes with \
                     {shots} labelled pictures and {queries} queries each"
                )
            }
            Episodes::Published(runs) => {
                format!("95%, 1.96 standard errors over {} published runs", runs.runs().len())
            }
        }
    }

    fn drawn(&self) -> String {
        match &self.episodes {
            Episodes::Sampled { config, count } => format!("{count} episodes, {config:?}"),
            Episodes::Published(_) => "published runs".to_owned(),
        }
    }

    fn scores<'a>(&'a self, _data: &'a dyn Dataset) -> Box<dyn Scores + 'a> {
        Box::new(FewShotScores { task: self, evaluated: Vec::new() })
    }
}

struct FewShotScores<'a> {
    task: &'a FewShotTask,
    evaluated: Vec<EvaluatedEpisodes>,
}

impl Scores for FewShotScores<'_> {
    fn add(&mut self, candidate: &Candidate) -> Result<()> {
        let Candidate { origin, tables: [train, valid, test], .. } = candidate;
        let base = match self.task.base {
            Split::Train => train,
            Split::Valid => valid,
            Split::Test => test,
        };
        let statistics =
            if self.task.centre_only { Standardiser::centring } else { Standardiser::of };
        let base = &statistics(base.view())?;
        for &classifier in &self.task.classifiers {
            let evaluated = match &self.task.episodes {
                &Episodes::Sampled { config, count } => {
                    few_shot(base, test, config, count, classifier)?
                }
                Episodes::Published(runs) => {
                    published(&self.task.name, runs, base, test, classifier)?
                }
            };
            let mut evaluated = evaluated.with_origin(*origin);
            if self.task.centre_only {
                // Another number: no table or file may show it under the same name.
                evaluated.result.probe += "-centred";
            }
            self.evaluated.push(evaluated);
        }
        Ok(())
    }

    fn results(&self) -> Vec<ProbeResult> {
        average_networks(&self.evaluated).into_iter().map(|one| one.result).collect()
    }

    fn units(&self) -> Vec<Units> {
        let averaged = average_networks(&self.evaluated);
        averaged.into_iter().map(|one| Units::Episodes(one.scores.accuracies)).collect()
    }

    fn comparisons(&self) -> Vec<Comparison> {
        compare_episodes(&average_networks(&self.evaluated))
    }
}

/// The published runs on the rows of a table, which has to have every picture of theirs.
fn published(
    task: &str,
    runs: &OneShotRuns,
    base: &Standardiser,
    test: &FeatureTable,
    classifier: Classifier,
) -> Result<EvaluatedEpisodes> {
    let (expected, found) = (runs.len(Split::Test), test.rows());
    if expected != found {
        return Err(Error::MissingPictures { task: task.to_owned(), expected, found });
    }
    let episode = |run: &OneShotRun| {
        Episode::one_shot(run.support.clone(), run.queries.clone(), &run.answers)
            .map_err(|source| Error::Episode { episode: run.name.clone(), source: source.into() })
    };
    let episodes = runs.runs().iter().map(episode).collect::<Result<Vec<_>>>()?;
    let scores = score_episodes(test.features.view(), base, &episodes, classifier)?;
    let ways = episodes[0].support.len();
    let queries = episodes[0].query.len() / ways;
    Ok(EvaluatedEpisodes::published([ways, queries], classifier, scores))
}
