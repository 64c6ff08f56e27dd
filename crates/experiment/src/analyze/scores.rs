//! Where what a task asks for is born: at which layer it can be read off what the picture adds, and
//! not yet off what the layers above foretell.

use serde::Serialize;
use vdvae_datasets::{Dataset, Split};
use vdvae_features::{FeatureSource, FeatureSpec, FeatureTable, LayerSelection, Statistic};
use vdvae_model::LayerShape;
use vdvae_probes::{Bootstrap, Evaluated, Metric, PairedDifference, Probe, evaluate};

use super::Analysis;
use crate::error::{Error, Result};
use crate::tables::random_network;

/// What a probe reads off one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerScores {
    /// Number of the layer, from 0 at the top.
    pub index: usize,
    /// What scores are.
    pub metric: Metric,
    /// Of posterior means.
    pub posterior: Score,
    /// Of prior means, given the posterior means above.
    pub prior: Score,
    /// Of posterior means of the same network with random weights.
    pub random: Score,
    /// Posterior less prior on the same test pictures: what the picture adds at this layer.
    pub born: Score,
}

/// A score with its interval over test pictures, or over their groups.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Score {
    /// None where nothing could be scored.
    pub value: Option<f64>,
    /// 95% interval.
    pub ci95: Option<[f64; 2]>,
}

impl From<&Evaluated> for Score {
    fn from(evaluated: &Evaluated) -> Self {
        Self { value: evaluated.result.value, ci95: evaluated.result.ci95 }
    }
}

impl From<PairedDifference> for Score {
    fn from(difference: PairedDifference) -> Self {
        Self { value: Some(difference.value), ci95: difference.ci95 }
    }
}

/// Scores every layer alone, by a probe of its pooled posterior means, of its prior means, and of
/// posterior means of random weights. The data set of `analysis` needs labels of one kind, and all
/// splits; its number of pictures has no say here.
///
/// # Errors
/// [`Error::Unfit`] where there are no labels, or several kinds; those of the data set, the network and
/// the probe.
pub fn layer_scores(
    analysis: &Analysis<'_>,
    probe: &dyn Probe,
    bootstrap: Bootstrap,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<LayerScores>> {
    let Analysis { model, data, .. } = analysis;
    check_labels(*data)?;
    data.require(&Split::ALL)?;
    let random = random_network(model, analysis.seed)?;
    let of = |model, statistic| FeatureSource::Latents {
        model,
        spec: FeatureSpec { statistic, ..FeatureSpec::default() },
        layers: LayerSelection::All,
    };
    let sources = [
        of(*model, Statistic::Mean),
        of(*model, Statistic::PriorMean),
        of(&random, Statistic::Mean),
    ];
    let mut splits = Vec::new();
    for split in Split::ALL {
        let extraction = vdvae_features::Extraction {
            dataset: *data,
            split,
            preparation: analysis.preparation,
            on_bad_image: analysis.on_bad_image,
            batch_size: analysis.batch_size,
        };
        splits.push(extraction.run(&sources, &progress)?.tables);
    }
    let score = |layer: &LayerShape| {
        let of_layer = |source: usize| {
            let tables = splits.iter().map(|tables: &Vec<FeatureTable>| {
                tables[source].select_columns(|column| column.layer == Some(layer.index))
            });
            let tables: Vec<FeatureTable> = tables.collect();
            evaluate(probe, &tables[0], &tables[1], &tables[2], bootstrap)
        };
        let [posterior, prior, random] = [of_layer(0)?, of_layer(1)?, of_layer(2)?];
        let born = posterior.replicated.minus(&prior.replicated);
        Ok(LayerScores {
            index: layer.index,
            metric: posterior.result.metric,
            posterior: (&posterior).into(),
            prior: (&prior).into(),
            random: (&random).into(),
            born: born.map(Score::from).unwrap_or_default(),
        })
    };
    model.config().latent_layers().iter().map(score).collect()
}

fn check_labels(data: &dyn Dataset) -> Result<()> {
    let problem = match data.labels(Split::Train) {
        vdvae_datasets::Labels::None => "expected labels, found none",
        vdvae_datasets::Labels::Several(_) => "expected labels of one kind, found several",
        _ => return Ok(()),
    };
    Err(Error::Unfit { what: data.name().to_owned(), problem: problem.to_owned() })
}
