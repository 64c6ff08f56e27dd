//! Everything that an experiment is asked for.

use std::path::PathBuf;
use std::str::FromStr;

use vdvae_datasets::{Dataset, OnBadImage, Preparation, Split};
use vdvae_features::{
    FeatureCache, FeatureSource, FeatureSpec, LayerSelection, Statistic, source_columns,
};
use vdvae_model::Vdvae;
use vdvae_probes::{ReductionKind, Source};

use crate::error::{Error, Result};
use crate::selections::each_resolution;
use crate::task::Task;

/// Most columns that selections may be matched to.
const MOST_COLUMNS: usize = 1 << 16;

/// A network, pictures, and what is asked of them.
///
/// [`Experiment::new`] has a default for everything but the first three; others are set with
/// struct update syntax.
pub struct Experiment<'a> {
    /// The network whose latents are read.
    pub model: &'a Vdvae,
    /// The pictures and their labels.
    pub data: &'a dyn Dataset,
    /// What is asked of the features.
    pub task: &'a dyn Task,
    /// What reports call the network.
    pub model_name: String,
    /// SHA-256 of its weights file in hexadecimal, for the report, where it comes from one.
    pub model_sha256: Option<String>,
    /// Layers to read; each selection is a line of the table.
    pub selections: Vec<LayerSelection>,
    /// Controls to run beside the latents.
    pub controls: Vec<Source>,
    /// What is read from each layer.
    pub spec: FeatureSpec,
    /// How pictures are cut and resized to the network's size.
    pub preparation: Preparation,
    /// What happens to a picture that cannot be read.
    pub on_bad_image: OnBadImage,
    /// Whether splits may share groups or pictures; results say so in any case, and the table and
    /// the page only where they may not.
    pub allow_leaks: bool,
    /// Pictures that pass through the network at once, on each thread.
    pub batch_size: usize,
    /// Networks that the control [`Source::RandomInit`] draws, from [`Self::seed`] up, at least one;
    /// results are means over them.
    pub random_networks: u32,
    /// Components of the control [`Source::Pca`].
    pub pca_columns: usize,
    /// Selections with more columns than this are scored once more with as many.
    pub matching: Option<Matching>,
    /// Seed of the random weights, the shuffled labels, and what reduces columns. Tasks have
    /// seeds of their own.
    pub seed: u64,
    /// Where features are kept for other experiments.
    pub cache: Option<FeatureCache>,
    /// Folder that gets `results.json` and `results.csv` anew as lines are scored, so that a run
    /// that is stopped keeps what it has.
    pub keep: Option<PathBuf>,
    /// The command that repeats the experiment, for the report.
    pub command: String,
}

/// A number of columns for all selections that have more, and how they are reduced to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matching {
    /// Columns, 1 to 65536.
    pub columns: usize,
    /// Principal components or a random projection.
    pub kind: ReductionKind,
}

impl FromStr for Matching {
    type Err = Error;

    /// `N`, `N,pca` or `N,projection`.
    fn from_str(text: &str) -> Result<Self> {
        let (columns, kind) = text.split_once(',').unwrap_or((text, "pca"));
        let parsed = columns.parse().ok().filter(|n| (1..=MOST_COLUMNS).contains(n));
        match (parsed, kind.parse()) {
            (Some(columns), Ok(kind)) => Ok(Self { columns, kind }),
            _ => Err(Error::Setting {
                setting: "match columns",
                problem: format!(
                    "expected 1 to {MOST_COLUMNS}, and `,pca` or `,projection` after it, found \
                     `{text}`"
                ),
            }),
        }
    }
}

impl<'a> Experiment<'a> {
    /// Posterior means on 4×4 cells of every resolution and of all layers together, beside the
    /// pixels and the same network with random weights.
    pub fn new(model: &'a Vdvae, data: &'a dyn Dataset, task: &'a dyn Task) -> Self {
        let mut selections = each_resolution(model.config());
        selections.push(LayerSelection::All);
        Self {
            model,
            data,
            task,
            model_name: "network".to_owned(),
            model_sha256: None,
            selections,
            controls: vec![Source::Pixels, Source::RandomInit],
            spec: FeatureSpec::default(),
            preparation: Preparation::new(model.config().image_size),
            on_bad_image: OnBadImage::Fail,
            allow_leaks: false,
            batch_size: 32,
            random_networks: 1,
            pca_columns: 256,
            matching: None,
            seed: 0,
            cache: None,
            keep: None,
            command: String::new(),
        }
    }

    /// Fails where settings and data do not fit together, before any work.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::Layers`] for settings that cannot be,
    /// [`Error::Data`] where a split that the task needs is empty, [`Error::NotSavable`] where the
    /// task saves a probe that could not read the same features of other pictures, and those of
    /// [`Task::check`].
    pub fn check(&self) -> Result<()> {
        self.spec.validate().map_err(|error| Error::Layers(Box::new(error)))?;
        if self.selections.is_empty() {
            let problem = "expected at least one, found none".to_owned();
            return Err(Error::Setting { setting: "layer", problem });
        }
        if self.random_networks == 0 {
            let problem = "expected at least 1, found 0".to_owned();
            return Err(Error::Setting { setting: "random networks", problem });
        }
        for selection in &self.selections {
            let layers = self.spec.layers(self.model.config(), *selection);
            layers.map_err(|error| Error::Layers(Box::new(error)))?;
            if self.spec.statistic == Statistic::Activation
                && matches!(selection, LayerSelection::Layer(_))
            {
                let problem = "activations belong to resolutions, not to layers".to_owned();
                return Err(Error::Setting { setting: "layer", problem });
            }
        }
        if self.controls.contains(&Source::Hog) {
            source_columns(&FeatureSource::Hog, self.preparation.size)?;
        }
        for split in self.splits() {
            self.data_of(split).require(&[split])?;
        }
        self.task.check(self.data)?;
        let plain = Preparation::new(self.preparation.size) == self.preparation;
        let one = self.selections.len() == 1 && self.matching.is_none();
        match self.task.saves_probe() && !(plain && one && self.model_sha256.is_some()) {
            true => Err(Error::NotSavable),
            false => Ok(()),
        }
    }

    /// Splits that the task needs, in the order train, valid, test.
    pub(crate) fn splits(&self) -> impl Iterator<Item = Split> {
        let needed = self.task.splits();
        Split::ALL.into_iter().filter(move |split| needed.contains(split))
    }

    /// Seeds of the networks with random weights.
    pub(crate) fn random_seeds(&self) -> impl Iterator<Item = u64> {
        let (first, networks) = (self.seed, self.random_networks);
        (0..networks).map(move |network| first.wrapping_add(network.into()))
    }

    /// Where the pictures of a split are.
    pub(crate) fn data_of(&self, split: Split) -> &dyn Dataset {
        let own = self.task.test_set().filter(|_| split == Split::Test);
        own.unwrap_or(self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matched_columns_are_parsed() {
        let parsed = |text: &str| text.parse::<Matching>().map(|m| (m.columns, m.kind)).ok();
        assert_eq!(parsed("256"), Some((256, ReductionKind::Pca)));
        assert_eq!(parsed("16,projection"), Some((16, ReductionKind::Projection)));
        for wrong in ["", "0", "65537", "16,", "16,tsne", "pca"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
