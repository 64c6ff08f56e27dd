//! `report.html` of a run: curves, a few pictures, and where every number comes from.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;
use image::RgbImage;
use vdvae_datasets::{Batch, OnBadImage, Preparation, Split, load_batch};
use vdvae_features::{FeatureTable, Targets};
use vdvae_model::Noise;
use vdvae_probes::metrics::roc_points;
use vdvae_probes::{Evaluated, ProbeReport, ProbeResult, Source, nearest_rows};
use vdvae_report::{Answer, Example, LayerKl, Neighbour, ReportPage, RocCurve};

use super::plan::{Plan, Question};
use super::run::Scored;
use super::tables::Splits;

/// Test pictures shown.
const PICTURES: usize = 12;
/// Training pictures shown beside each.
const NEIGHBOURS: usize = 5;
/// Test pictures the KL of the layers is a mean over.
const KL_PICTURES: usize = 256;
/// Pictures that pass through the network at once for it.
const KL_BATCH: usize = 16;

/// What only a run can tell a page: computed while the tables are there.
pub(super) struct Illustrations {
    layers: Vec<LayerKl>,
    kl_pictures: usize,
    pictures: Vec<Example>,
}

impl Illustrations {
    /// Pictures, predictions and neighbours from the latents' tables, and the KL of every layer.
    pub(super) fn new(plan: &Plan, latents: &Splits, scored: &Scored) -> Result<Self> {
        let (layers, kl_pictures) = kl_of_layers(plan)?;
        Ok(Self { layers, kl_pictures, pictures: examples(plan, latents, &scored.targets)? })
    }
}

/// The page of a finished run.
pub(super) fn page<'a>(
    plan: &Plan,
    report: &'a ProbeReport,
    scored: &Scored,
    illustrations: Illustrations,
) -> ReportPage<'a> {
    let provenance = provenance(plan, report, illustrations.kl_pictures);
    ReportPage {
        layers: illustrations.layers,
        roc: roc(&scored.targets).into_iter().chain(verification_roc(report)).collect(),
        pictures: illustrations.pictures,
        provenance,
        command: command(),
        ..ReportPage::new(report)
    }
}

/// The result that stands for the latents: of those on all rows the best, of the first probe.
fn headline(evaluated: &[Evaluated]) -> Option<&Evaluated> {
    let probe = &evaluated.first()?.result.probe;
    let candidates = evaluated.iter().filter(|one| {
        let r = &one.result;
        r.source == Source::Latents
            && r.probe == *probe
            && r.train_fraction == 1.0
            && r.matched_columns.is_none()
    });
    candidates.max_by(|a, b| {
        let value = |one: &Evaluated| one.result.value.unwrap_or(f64::NEG_INFINITY);
        value(a).total_cmp(&value(b))
    })
}

/// ROC curves of binary targets: the headline's, and those of its controls.
fn roc(evaluated: &[Evaluated]) -> Vec<RocCurve> {
    let Some(best) = headline(evaluated) else { return Vec::new() };
    let beside = |one: &&Evaluated| {
        let (r, best) = (&one.result, &best.result);
        r.probe == best.probe
            && r.train_fraction == 1.0
            && r.matched_columns.is_none()
            && (r.layers == best.layers || r.layers.is_none())
    };
    let mut curves = Vec::new();
    for one in evaluated.iter().filter(beside) {
        let Targets::Binary { names, values } = &one.truth else { continue };
        if one.scores.dim() != values.dim() {
            continue;
        }
        for (column, name) in names.iter().enumerate() {
            let labels = values.column(column).to_vec();
            let scores: Vec<f64> = one.scores.column(column).iter().map(|&s| s.into()).collect();
            curves.push(RocCurve {
                name: name.clone(),
                source: one.result.source,
                points: roc_points(&labels, &scores),
                auroc: one.result.per_target.get(column).and_then(|target| target.auroc),
            });
        }
    }
    curves
}

/// ROC curves of the pairs of faces: of the best score of latents, and those of its controls.
fn verification_roc(report: &ProbeReport) -> Vec<RocCurve> {
    let pairs = || report.results.iter().filter(|result| result.verification.is_some());
    let latents = pairs().filter(|r| r.source == Source::Latents && r.matched_columns.is_none());
    let value = |r: &&ProbeResult| r.value.unwrap_or(f64::NEG_INFINITY);
    let Some(best) = latents.max_by(|a, b| value(a).total_cmp(&value(b))) else {
        return Vec::new();
    };
    let beside = pairs().filter(|r| {
        r.probe == best.probe
            && r.matched_columns.is_none()
            && (r.layers == best.layers || r.layers.is_none())
    });
    let curve = |result: &ProbeResult| {
        let points = result.verification.iter().flat_map(|info| &info.roc);
        RocCurve {
            name: format!("same person, {}", result.probe),
            source: result.source,
            points: points.copied().collect(),
            auroc: result.mean_auroc(),
        }
    };
    beside.map(curve).collect()
}

/// `count` evenly spaced numbers below `len`: neighbours are often alike (one person, one class).
fn spread(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| i * len / count).collect()
}

fn examples(plan: &Plan, latents: &Splits, evaluated: &[Evaluated]) -> Result<Vec<Example>> {
    let [train, _, test] = latents;
    if train.rows() == 0 {
        return Ok(Vec::new());
    }
    let rows = spread(test.rows(), PICTURES);
    let queries = test.select_rows(&rows);
    let near = nearest_rows(train.view(), queries.view(), NEIGHBOURS)?;
    let pictures = Pictures::new(plan);
    let shown = pictures.of(Split::Test, &queries)?;
    let wanted: Vec<usize> = near.iter().flatten().map(|&(row, _)| row as usize).collect();
    let neighbours = pictures.of(Split::Train, &train.select_rows(&wanted))?;
    let best = headline(evaluated);
    let mut examples = Vec::new();
    for ((&row, key), near) in rows.iter().zip(&queries.keys).zip(&near) {
        let Some(image) = shown.get(key) else { continue };
        let neighbours = near.iter().filter_map(|&(row, similarity)| {
            let key = &train.keys[row as usize];
            let (image, key) = (neighbours.get(key)?.clone(), key.clone());
            Some(Neighbour { image, key, similarity: similarity.into() })
        });
        examples.push(Example {
            image: image.clone(),
            key: key.clone(),
            answers: best.map_or_else(Vec::new, |best| answers(best, row)),
            neighbours: neighbours.collect(),
        });
    }
    Ok(examples)
}

/// What the headline probe says of one test row, where its scores are logits.
fn answers(best: &Evaluated, row: usize) -> Vec<Answer> {
    if best.result.probe != "logistic" || best.scores.nrows() <= row {
        return Vec::new();
    }
    let scores: Vec<f64> = best.scores.row(row).iter().map(|&score| score.into()).collect();
    let known = |p: f64| p.is_finite().then_some(p);
    match &best.truth {
        Targets::Binary { names, values } => (names.iter().zip(scores).zip(values.row(row)))
            .map(|((target, score), &truth)| Answer {
                target: target.clone(),
                probability: known(1.0 / (1.0 + (-score).exp())),
                truth: (truth >= 0).then_some(truth == 1),
            })
            .collect(),
        Targets::Classes { names, labels } => {
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            let class = |(class, (target, score)): (usize, (&String, f64))| Answer {
                target: target.clone(),
                probability: known((score - most).exp() / total),
                truth: Some(labels[row] as usize == class),
            };
            names.iter().zip(scores).enumerate().map(class).collect()
        }
        _ => Vec::new(),
    }
}

/// Pictures of the data set as the network sees them.
struct Pictures<'a> {
    plan: &'a Plan,
    preparation: Preparation,
}

impl<'a> Pictures<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self { plan, preparation: plan.preparation }
    }

    fn batch(&self, split: Split, indices: &[usize]) -> Result<Batch> {
        let dataset = self.plan.dataset(split);
        Ok(load_batch(dataset, split, indices, &self.preparation, OnBadImage::Skip)?)
    }

    /// The pictures of a table's rows, by key.
    fn of(&self, split: Split, rows: &FeatureTable) -> Result<BTreeMap<String, RgbImage>> {
        let dataset = self.plan.dataset(split);
        let wanted: std::collections::HashSet<&String> = rows.keys.iter().collect();
        let indices: Vec<usize> =
            (0..dataset.len(split)).filter(|&i| wanted.contains(&dataset.key(split, i))).collect();
        let batch = self.batch(split, &indices)?;
        let size = self.preparation.size;
        let pictures = batch.indices.iter().zip(batch.pixels.chunks_exact(3 * size * size));
        let image = |pixels: &[u8]| RgbImage::from_raw(size as u32, size as u32, pixels.to_vec());
        Ok(pictures
            .filter_map(|(&i, pixels)| Some((dataset.key(split, i), image(pixels)?)))
            .collect())
    }
}

/// KL of every layer with seeded samples, and the number of test pictures it is a mean over.
fn kl_of_layers(plan: &Plan) -> Result<(Vec<LayerKl>, usize)> {
    let model = &plan.loaded.model;
    let shapes = model.config().latent_layers();
    let (mut nats, mut count) = (vec![0.0; shapes.len()], 0);
    let pictures = Pictures::new(plan);
    let size = pictures.preparation.size;
    for indices in spread(plan.dataset(Split::Test).len(Split::Test), KL_PICTURES).chunks(KL_BATCH)
    {
        let batch = pictures.batch(Split::Test, indices)?;
        if batch.is_empty() {
            continue;
        }
        let shape = (batch.len(), size, size, 3);
        let pixels = Tensor::from_slice(&batch.pixels, shape, model.device())?;
        let noise = Noise::Seeded { seed: plan.bootstrap.seed, first: count as u64 };
        model.loss_with(&pixels, noise, |layer, kl| {
            nats[layer] += kl.to_vec1::<f32>()?.iter().map(|&kl| f64::from(kl)).sum::<f64>();
            Ok(())
        })?;
        count += batch.len();
    }
    let layer = |(shape, nats): (&vdvae_model::LayerShape, f64)| LayerKl {
        index: shape.index,
        resolution: shape.resolution,
        kl_nats: nats / count.max(1) as f64,
    };
    Ok((shapes.iter().zip(nats).map(layer).collect(), count))
}

fn provenance(plan: &Plan, report: &ProbeReport, kl_pictures: usize) -> Vec<(String, String)> {
    let data = &report.data;
    let config = model_line(plan);
    [
        ("Task", report.task.clone()),
        ("Model", report.model.name.clone()),
        ("Weights, SHA-256", report.model.sha256.clone().unwrap_or_default()),
        ("Network", config),
        ("Data", data.name.clone()),
        (
            "Pictures",
            format!("{} train, {} valid, {} test", data.n_train, data.n_valid, data.n_test),
        ),
        (
            "Pictures are",
            format!("cut: {}, resized: {}", plan.preparation.crop, plan.preparation.resize),
        ),
        ("Features", format!("statistic {}, pooling {}", plan.spec.statistic, plan.spec.pooling)),
        ("KL per layer", format!("seeded samples, mean over {kl_pictures} test pictures")),
        ("Intervals", intervals(plan)),
        ("Seed", report.seed.to_string()),
        ("Version", format!("vdvae-probe {}", env!("CARGO_PKG_VERSION"))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What the intervals are over.
fn intervals(plan: &Plan) -> String {
    match &plan.question {
        Question::Targets(_) => format!("95%, {} bootstrap replicates", plan.bootstrap.replicates),
        Question::FewShot(question) => question.intervals(),
        Question::Verification(question) => question.intervals(),
    }
}

fn model_line(plan: &Plan) -> String {
    let config = plan.loaded.model.config();
    let (size, layers) = (config.image_size, config.latent_layers().len());
    format!("{size}×{size}, {} parameters, {layers} layers", config.num_parameters())
}

/// The command line, quoted where a shell needs it.
fn command() -> String {
    let words = std::env::args().enumerate().map(|(index, word)| {
        let word = match index {
            0 => "vdvae-probe".to_owned(),
            _ => word,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word,
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn pictures_are_spread_over_the_split() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(2, 12), [0, 1]);
        assert_eq!(spread(0, 12), [0; 0]);
    }
}
