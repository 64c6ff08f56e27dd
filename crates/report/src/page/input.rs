//! What the page is made from.

use image::RgbImage;
use vdvae_probes::{ProbeReport, Source};

/// Everything on a page. Only the report is needed; a part whose input is empty is left out.
#[derive(Debug, Clone)]
pub struct ReportPage<'a> {
    /// The results.
    pub report: &'a ProbeReport,
    /// KL divergence of every layer, top (1×1) first.
    pub layers: Vec<LayerKl>,
    /// Receiver operating characteristics on test; the page shows the best, the median and the
    /// worst target.
    pub roc: Vec<RocCurve>,
    /// Test pictures; a dozen is plenty.
    pub pictures: Vec<Example>,
    /// Where the numbers come from, as names and values, in the order of the page.
    pub provenance: Vec<(String, String)>,
    /// The command that made the page.
    pub command: String,
}

impl<'a> ReportPage<'a> {
    /// A page of results alone.
    pub fn new(report: &'a ProbeReport) -> Self {
        Self {
            report,
            layers: Vec::new(),
            roc: Vec::new(),
            pictures: Vec::new(),
            provenance: Vec::new(),
            command: String::new(),
        }
    }
}

/// How much information a layer holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerKl {
    /// Number of the layer, from 0 at the top.
    pub index: usize,
    /// Resolution r of its r×r grid.
    pub resolution: usize,
    /// KL of posterior from prior in nats: summed over the layer, mean over pictures.
    pub kl_nats: f64,
}

/// True positive rate over false positive rate, for one target and one source of features.
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// Name of the target.
    pub name: String,
    /// Where the features came from.
    pub source: Source,
    /// `[false positive rate, true positive rate]`, both rising; see
    /// [`roc_points`](vdvae_probes::metrics::roc_points).
    pub points: Vec<[f64; 2]>,
    /// Area under the curve.
    pub auroc: Option<f64>,
}

/// A test picture, what the probe says of it, and the pictures nearest to it.
#[derive(Debug, Clone)]
pub struct Example {
    /// The picture as the network sees it. Larger ones are embedded at 96 pixels.
    pub image: RgbImage,
    /// Its key in the data set.
    pub key: String,
    /// What the probe says, one entry a target.
    pub answers: Vec<Answer>,
    /// Nearest training pictures in latent space, nearest first.
    pub neighbours: Vec<Neighbour>,
}

/// What a probe says of one target of one picture, and the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Name of the target.
    pub target: String,
    /// Probability that the picture has it; none where the target could not be fitted.
    pub probability: Option<f64>,
    /// Whether it does, where known.
    pub truth: Option<bool>,
}

/// A picture near another in latent space.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// The picture.
    pub image: RgbImage,
    /// Its key in the data set.
    pub key: String,
    /// Cosine of the two latents, at most 1.
    pub similarity: f64,
}
