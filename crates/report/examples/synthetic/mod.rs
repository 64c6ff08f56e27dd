//! Made-up results of the size of real ones.
//!
//! Only sums, products and quotients, so that every machine makes the same.

use image::{Rgb, RgbImage};
use serde_json::json;
use vdvae_features::{FeatureSpec, LayerSelection};
use vdvae_probes::metrics::{auroc, roc_points};
use vdvae_probes::{
    Comparison, DataInfo, Metric, ModelInfo, ProbeReport, ProbeResult, Source, TargetResult,
};
use vdvae_report::{Answer, Example, LayerKl, Neighbour, ReportPage, RocCurve};

/// How much to make up.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Targets of the task.
    pub(crate) targets: usize,
    /// Layers of the network, at least one.
    pub(crate) layers: usize,
    /// Test pictures.
    pub(crate) pictures: usize,
}

/// Results, and what the page needs beside them.
pub(crate) struct Synthetic {
    size: Size,
    report: ProbeReport,
}

const NAMES: [&str; 24] = [
    "Dark background",
    "Hat",
    "Beard",
    "Eyeglasses",
    "Smiling",
    "Long hair",
    "Blond hair",
    "Round face",
    "Warm light",
    "Open mouth",
    "Bangs",
    "Big eyes",
    "Thick brows",
    "Turned left",
    "Young",
    "Pale skin",
    "Collar",
    "Scarf",
    "Earrings",
    "Striped shirt",
    "Freckles",
    "Mole",
    "Thin stripe",
    "Bow <tie> & pin",
];

/// A number in [0, 1) that only its two arguments decide.
fn noise(a: usize, b: usize) -> f64 {
    let mut state = (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64 + 1);
    for _ in 0..3 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^= state >> 29;
    }
    (state >> 40) as f64 / (1u64 << 24) as f64
}

fn name(target: usize) -> String {
    match NAMES.get(target) {
        Some(name) => (*name).to_owned(),
        None => format!("Attribute {target}"),
    }
}

/// Resolution of each layer: most layers are at the finer ones, as in published networks.
fn resolutions(layers: usize) -> Vec<usize> {
    let shares = [(1, 5), (4, 14), (8, 30), (16, 58), (32, 100)];
    let at = |layer: usize| 100 * (layer + 1) / layers.max(1);
    (0..layers)
        .map(|layer| shares.iter().find(|(_, share)| at(layer) <= *share).map_or(32, |(r, _)| *r))
        .collect()
}

/// A score that peaks around 16×16, by source.
fn level(source: Source, resolution: usize, fraction: f64) -> f64 {
    let (latents, random) = match resolution {
        1 => (0.671, 0.583),
        4 => (0.842, 0.751),
        8 => (0.903, 0.846),
        16 => (0.921, 0.899),
        32 => (0.887, 0.881),
        _ => (0.934, 0.909),
    };
    let full = match source {
        Source::Latents => latents,
        Source::RandomInit => random,
        Source::ShuffledLabels => return 0.5 + (noise(resolution, 3) - 0.5) * 0.02,
        Source::Pixels => 0.871,
        Source::Pca => 0.838,
        Source::Hog => 0.902,
    };
    0.5 + (full - 0.5) * (1.0 - 0.04 / (0.05 + fraction) + 0.04 / 1.05)
}

fn targets(size: Size, mean: f64, salt: usize) -> Vec<TargetResult> {
    (0..size.targets)
        .map(|target| {
            let ease = 0.5 - target as f64 / size.targets.max(2) as f64;
            let auroc = mean + ease * (mean - 0.5) * 0.5 + (noise(target, salt) - 0.5) * 0.05;
            // The last of many targets has one class on test.
            let auroc =
                (target < 20 || target + 1 < size.targets).then_some(auroc.clamp(0.4, 0.999));
            TargetResult {
                target: name(target),
                auroc,
                average_precision: auroc.map(|auroc| auroc * 0.9),
                balanced_accuracy: auroc.map(|auroc| 0.5 + (auroc - 0.5) * 0.8),
                accuracy: auroc.map(|auroc| 0.6 + auroc * 0.38),
                base_rate: Some(0.5 + noise(target, 1) * 0.4),
                strength: auroc.map(|_| [1.0, 10.0, 100.0, 1000.0][target % 4]),
                converged: auroc.map(|_| target != 7 || !salt.is_multiple_of(5)),
                ..TargetResult::default()
            }
        })
        .collect()
}

/// A share of the training rows, and what draws them.
#[derive(Clone, Copy)]
struct Subset {
    fraction: f64,
    seed: Option<u64>,
}

impl Default for Subset {
    fn default() -> Self {
        Self { fraction: 1.0, seed: None }
    }
}

impl Synthetic {
    /// Makes everything up.
    pub(crate) fn new(size: Size) -> Self {
        let report = ProbeReport {
            task: "toy-faces".into(),
            model: ModelInfo {
                name: "builtin".into(),
                sha256: Some("5d0c61be9e4a7c3f".repeat(4)),
                config: json!({"width": 96}),
            },
            data: DataInfo {
                name: "toy-faces".into(),
                n_train: 4000,
                n_valid: 1000,
                n_test: 2000,
                remarks: vec![],
            },
            features: FeatureSpec::default(),
            seed: 0,
            results: Vec::new(),
            comparisons: Vec::new(),
            leaks: Vec::new(),
        };
        let mut made = Self { size, report };
        let full = Subset::default();
        for (probe, matched) in [("logistic", None), ("logistic", Some(64)), ("knn", None)] {
            for source in [Source::Latents, Source::RandomInit, Source::ShuffledLabels] {
                for r in [1, 4, 8, 16, 32] {
                    let layers = Some(LayerSelection::Resolution(r));
                    made.push(source, layers, Some(r), (probe, matched), full);
                }
                made.push(source, Some(LayerSelection::All), None, (probe, matched), full);
            }
            made.push(Source::Pixels, None, None, (probe, matched), full);
            made.push(Source::Pca, None, None, (probe, matched), full);
        }
        made.layers();
        made.low_label();
        made.compare();
        made
    }

    fn layers(&mut self) {
        let plain = ("logistic", None);
        for (layer, r) in resolutions(self.size.layers).into_iter().enumerate() {
            for source in [Source::Latents, Source::RandomInit] {
                let alone = Some(LayerSelection::Layer(layer));
                self.push(source, alone, Some(r), plain, Subset::default());
            }
            let first = Some(LayerSelection::First(layer + 1));
            self.push(Source::Latents, first, None, plain, Subset::default());
        }
    }

    fn low_label(&mut self) {
        for fraction in [0.01, 0.03, 0.1, 0.3] {
            for seed in 0..3 {
                let subset = Subset { fraction, seed: Some(seed) };
                for source in [Source::Latents, Source::RandomInit, Source::Pixels] {
                    let (layers, r) = match source {
                        Source::Pixels => (None, None),
                        _ => (Some(LayerSelection::Resolution(16)), Some(16)),
                    };
                    self.push(source, layers, r, ("logistic", None), subset);
                }
            }
        }
    }

    fn push(
        &mut self,
        source: Source,
        layers: Option<LayerSelection>,
        resolution: Option<usize>,
        (probe, matched): (&str, Option<usize>),
        subset: Subset,
    ) {
        let salt = self.report.results.len();
        let fraction = subset.fraction;
        let mut mean = level(source, resolution.unwrap_or(0), fraction);
        if let Some(LayerSelection::First(layers)) = layers {
            mean = 0.935 - 0.3 / (1.0 + layers as f64);
        } else if matches!(layers, Some(LayerSelection::Layer(_))) {
            mean -= 0.05 + 0.04 * noise(salt, 2);
        } else if fraction < 1.0 {
            mean += (noise(salt, 2) - 0.5) * 0.02;
        }
        if probe == "knn" || matched.is_some() {
            mean = 0.5 + (mean - 0.5) * if probe == "knn" { 0.82 } else { 0.93 };
        }
        let half = 0.006 + 0.004 * noise(salt, 4);
        self.report.results.push(ProbeResult {
            source,
            layers,
            resolution,
            columns: if source == Source::Pca {
                256
            } else {
                resolution.map_or(3072, |r| 16 * r.min(16) * 2)
            },
            matched_columns: matched,
            probe: probe.into(),
            solver: if probe == "knn" { "exact" } else { "batched" }.into(),
            metric: Metric::Auroc,
            value: Some(mean),
            ci95: Some([mean - half, mean + half * 0.9]),
            train_fraction: fraction,
            n_train: (fraction * 4000.0) as usize,
            label_seed: subset.seed,
            converged: true,
            per_target: targets(self.size, mean, salt),
            ..ProbeResult::default()
        });
    }

    /// The results, to be changed.
    #[allow(dead_code, reason = "for the tests")]
    pub(crate) fn report_mut(&mut self) -> &mut ProbeReport {
        &mut self.report
    }

    /// A page with every part.
    pub(crate) fn page(&self) -> ReportPage<'_> {
        ReportPage {
            layers: self.kl(),
            roc: self.roc(),
            pictures: (0..self.size.pictures).map(|picture| self.picture(picture)).collect(),
            provenance: self.provenance(),
            command: "vdvae-probe --task toy-faces --layer all --per-layer --probe logistic,knn --controls \
                      pixels,pca,random-init,shuffled-labels --match-columns 64 --train-fraction \
                      0.01,0.03,0.1,0.3,1 --seed 0"
                .into(),
            ..ReportPage::new(&self.report)
        }
    }

    /// Neighbouring resolutions, and 16×16 against the controls.
    fn compare(&mut self) {
        let results = &self.report.results;
        let value = |place: usize| results[place].value.unwrap_or(0.0);
        self.report.comparisons =
            [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (3, 9), (3, 15), (3, 18), (3, 19), (4, 10)]
                .map(|(a, b)| {
                    let difference = value(a) - value(b);
                    let clear = difference.abs() > 0.009;
                    Comparison {
                        a: results[a].side(),
                        b: results[b].side(),
                        difference,
                        ci95: Some([difference - 0.009, difference + 0.009]),
                        p_value: Some(if clear { 0.0005 } else { 0.184 }),
                    }
                })
                .to_vec();
    }

    fn kl(&self) -> Vec<LayerKl> {
        let layers = resolutions(self.size.layers).into_iter().enumerate();
        let layer = |(index, resolution)| {
            let most = match resolution {
                1 => 9.0,
                4 => 31.0,
                8 => 64.0,
                16 => 48.0,
                _ => 6.0,
            };
            let kl_nats = if index % 7 == 5 { 0.002 } else { most * (0.2 + noise(index, 9)) };
            LayerKl { index, resolution, kl_nats }
        };
        layers.map(layer).collect()
    }

    /// Curves whose positives score higher by more for easier targets.
    fn roc(&self) -> Vec<RocCurve> {
        let sources = [(Source::Latents, 1.0), (Source::RandomInit, 0.8), (Source::Pixels, 0.65)];
        let targets = (0..self.size.targets).flat_map(|target| {
            let ease = 0.75 - 0.6 * target as f64 / self.size.targets as f64;
            sources.map(|(source, part)| {
                let labels: Vec<i8> = (0..600).map(|row| i8::from(row % 3 == 0)).collect();
                let score = |row: usize| {
                    let spread = noise(row, target) + noise(row, target + 999);
                    spread / 2.0 + if row.is_multiple_of(3) { ease * part } else { 0.0 }
                };
                let scores: Vec<f64> = (0..600).map(score).collect();
                let points = roc_points(&labels, &scores);
                let auroc = auroc(&labels, &scores);
                RocCurve { name: name(target), source, points, auroc }
            })
        });
        targets.collect()
    }

    fn picture(&self, picture: usize) -> Example {
        let answer = |target: usize| {
            let probability = noise(picture, target + 50);
            let truth = (probability + (noise(picture, target + 500) - 0.5) * 0.7) > 0.5;
            Answer { target: name(target), probability: Some(probability), truth: Some(truth) }
        };
        let neighbour = |place: usize| Neighbour {
            image: face(picture, place + 1),
            key: format!("train/{:06}", 1000 * picture + 37 * place),
            similarity: 0.93 - 0.03 * place as f64 - 0.02 * noise(picture, place),
        };
        Example {
            image: face(picture, 0),
            key: format!("test/{picture:06}"),
            answers: (0..self.size.targets).map(answer).collect(),
            neighbours: (0..5).map(neighbour).collect(),
        }
    }

    fn provenance(&self) -> Vec<(String, String)> {
        let model = &self.report.model;
        [
            ("Program", "vdvae-probe 0.1.0"),
            (
                "Weights",
                &format!("{}, sha256 {}", model.name, model.sha256.as_deref().unwrap_or("–")),
            ),
            ("Data", "toy-faces, rendered at 32×32 from seed 0; splits disjoint in identity"),
            ("Features", "posterior means along the mean path, pooled to 4×4 cells a layer"),
            (
                "Strengths",
                "1, 10, 100, 1000, 10000; chosen on validation, refitted on train and validation",
            ),
            ("Intervals", "1,000 bootstrap resamples of 250 identities on test"),
            ("Precision", "float32 features, float64 fits"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// A face of 32×32: a disc with eyes and a mouth; pictures of one subject differ a little.
fn face(subject: usize, variant: usize) -> RgbImage {
    let shade =
        |channel: usize, part: usize| (60.0 + 190.0 * noise(subject * 7 + part, channel)) as u8;
    let [skin, back, hair] =
        [1, 2, 3].map(|part| Rgb([shade(0, part), shade(1, part), shade(2, part)]));
    let shift = (noise(subject, variant) * 4.0) as i32 - 2;
    RgbImage::from_fn(32, 32, |x, y| {
        let (dx, dy) = (x as i32 - 16 - shift, y as i32 - 17);
        let eye = (dx.abs() - 4).abs() <= 1 && (dy + 2).abs() <= 1;
        let mouth = dx.abs() <= 4
            && dy == 5 + dx.abs() / 3 * if subject.is_multiple_of(2) { -1 } else { 1 };
        match dx * dx * 5 / 4 + dy * dy {
            _ if eye || mouth => Rgb([30, 24, 28]),
            d if d < 110 && dy > -7 => skin,
            d if d < 150 && dy < 3 => hair,
            _ => back,
        }
    })
}
