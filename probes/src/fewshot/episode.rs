//! Which rows an episode holds.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{check_count, check_range};
use crate::who::places_by;
use crate::{Error, Result};

/// The shape of sampled episodes, and their seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeConfig {
    /// Classes to tell apart, at least 2.
    pub ways: usize,
    /// Labelled rows of each class.
    pub shots: usize,
    /// Rows of each class to be classified.
    pub queries: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for EpisodeConfig {
    /// 5 ways, 1 shot, 15 queries, seed 0.
    fn default() -> Self {
        Self { ways: 5, shots: 1, queries: 15, seed: 0 }
    }
}

/// One few-shot problem, as row indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Label of every way.
    pub classes: Vec<u32>,
    /// Labelled rows; way by way in sampled episodes.
    pub support: Vec<usize>,
    /// Way of each labelled row, an index into `classes`.
    pub support_ways: Vec<u32>,
    /// Rows to be classified; way by way in sampled episodes.
    pub query: Vec<usize>,
    /// Way of each row to be classified: the truth.
    pub query_ways: Vec<u32>,
}

impl Episode {
    /// A published one-shot run: every support row is a class of its own, and `truth` says for each
    /// query which of them, as a position in `support`, it belongs to.
    ///
    /// # Errors
    /// Those of [`Episode::validate`].
    pub fn one_shot(support: Vec<usize>, query: Vec<usize>, truth: &[usize]) -> Result<Self> {
        let few_enough = u32::try_from(support.len()).is_ok();
        check_range(few_enough, "ways", "fewer than 2^32", support.len())?;
        let query_ways = truth.iter().map(|&way| u32::try_from(way).unwrap_or(u32::MAX)).collect();
        let classes: Vec<u32> = (0..support.len() as u32).collect();
        let episode = Self { support_ways: classes.clone(), classes, support, query, query_ways };
        episode.validate()?;
        Ok(episode)
    }

    /// Checks an episode that was put together by hand.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless there is one way a row; [`Error::OutOfRange`] for a way that is
    /// not among the classes, fewer than two classes, or no queries; [`Error::Episodes`] where a
    /// class has no labelled row, or a row is both labelled and to be classified.
    pub fn validate(&self) -> Result<()> {
        for (what, rows, ways) in [
            ("ways of the support", &self.support, &self.support_ways),
            ("ways of the queries", &self.query, &self.query_ways),
        ] {
            check_count(what, rows.len(), ways.len())?;
            for &way in ways {
                let known = (way as usize) < self.classes.len();
                check_range(known, what, "indices below the number of classes", way)?;
            }
        }
        check_range(self.classes.len() >= 2, "ways", "at least 2", self.classes.len())?;
        check_range(!self.query.is_empty(), "queries", "at least 1", 0)?;
        let shown: BTreeSet<u32> = self.support_ways.iter().copied().collect();
        if let Some(way) = (0..self.classes.len()).find(|&way| !shown.contains(&(way as u32))) {
            let expected = "a labelled row of every class".to_owned();
            let found = format!("none of class {}", self.classes[way]);
            return Err(Error::Episodes { expected, found });
        }
        let labelled: BTreeSet<usize> = self.support.iter().copied().collect();
        match self.query.iter().find(|row| labelled.contains(row)) {
            None => Ok(()),
            Some(row) => Err(Error::Episodes {
                expected: "queries that are not labelled".to_owned(),
                found: format!("row {row} in both"),
            }),
        }
    }
}

/// Draws episodes from labelled rows: classes without replacement, and rows of each without
/// replacement. Classes with too few rows for an episode are never drawn.
#[derive(Debug, Clone)]
pub struct EpisodeSampler {
    config: EpisodeConfig,
    /// Rows there are, drawn or not.
    rows: usize,
    /// Label, and rows, of every class with enough of them.
    classes: Vec<(u32, Vec<usize>)>,
}

impl EpisodeSampler {
    /// A sampler of rows with these labels, one a row.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for fewer than 2 ways, no shots or no queries; [`Error::Episodes`]
    /// where fewer classes than `ways` have `shots + queries` rows.
    pub fn new(labels: &[u32], config: EpisodeConfig) -> Result<Self> {
        check_range(config.ways >= 2, "ways", "at least 2", config.ways)?;
        check_range(config.shots > 0, "shots", "at least 1", config.shots)?;
        check_range(config.queries > 0, "queries", "at least 1", config.queries)?;
        let by_class = places_by(labels);
        let (all, needed) = (by_class.len(), config.shots.saturating_add(config.queries));
        let classes: Vec<_> =
            by_class.into_iter().filter(|(_, rows)| rows.len() >= needed).collect();
        if classes.len() < config.ways {
            return Err(Error::Episodes {
                expected: format!(
                    "at least {} classes of {needed} pictures or more ({} labelled, {} queries)",
                    config.ways, config.shots, config.queries
                ),
                found: format!("{} of {all} classes", classes.len()),
            });
        }
        Ok(Self { config, rows: labels.len(), classes })
    }

    /// The shape and the seed.
    pub fn config(&self) -> EpisodeConfig {
        self.config
    }

    /// How many rows the labels describe, whether or not an episode can draw them.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Classes with enough rows to be drawn.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// One episode: a pure function of the labels, the configuration and `index`.
    pub fn episode(&self, index: u64) -> Episode {
        let EpisodeConfig { ways, shots, queries, seed } = self.config;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        let (drawn, _) = order.partial_shuffle(&mut rng, ways);
        let mut episode = Episode {
            classes: Vec::with_capacity(ways),
            support: Vec::with_capacity(ways * shots),
            support_ways: Vec::with_capacity(ways * shots),
            query: Vec::with_capacity(ways * queries),
            query_ways: Vec::with_capacity(ways * queries),
        };
        let mut shuffled = Vec::new();
        for (way, &class) in (0u32..).zip(drawn.iter()) {
            let (label, rows) = &self.classes[class];
            shuffled.clone_from(rows);
            let (drawn, _) = shuffled.partial_shuffle(&mut rng, shots + queries);
            episode.classes.push(*label);
            episode.support.extend_from_slice(&drawn[..shots]);
            episode.query.extend_from_slice(&drawn[shots..]);
            episode.support_ways.extend(std::iter::repeat_n(way, shots));
            episode.query_ways.extend(std::iter::repeat_n(way, queries));
        }
        episode
    }
}
