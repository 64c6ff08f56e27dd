//! The flags of `vdvae-probe`.

use std::path::PathBuf;

use vdvae_datasets::{Crop, Resize};
use vdvae_experiment::{Matching, TaskName};
use vdvae_features::{LayerSelection, Pooling, Statistic};
use vdvae_probes::{Solver, Source};

use super::cache::CacheArgs;
use crate::common::SamplesArg;
use crate::data::{DataArgs, files_help};
use crate::model::ModelArgs;

/// What `--task` is for, with the names that the registry of data sets offers.
fn task_help() -> String {
    let (forms, files) = (TaskName::forms(), files_help());
    format!(
        "What is asked: to predict labels of a data set, to tell new classes apart by a few pictures of \
         each (DATA is a data set with classes or people), or to tell whether two pictures show one \
         person. One of {forms}. {files} [example: --task omniglot-5way-1shot]"
    )
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[arg(long, default_value = "toy-faces", value_name = "TASK", help = task_help())]
    pub(super) task: TaskName,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) selection: SelectionArgs,
    #[command(flatten)]
    pub(super) probing: ProbingArgs,
    #[command(flatten)]
    pub(super) episodes: EpisodeArgs,
    /// Say nothing in the table and the page where splits share groups or pictures; results.json
    /// has it all the same [example: --allow-leaks]
    #[arg(long)]
    pub(super) allow_leaks: bool,
    /// Pictures that pass through the network at once, on each thread [example: --batch-size 8]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch_size: u32,
    /// Folder for results.json, results.csv and report.html [example: --out probes/celeba]
    #[arg(long, default_value = "vdvae-probe-out", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Write the probe of the one selection asked for, for `vdvae-probe predict`
    /// [example: --save-probe smiling.safetensors]
    #[arg(long, value_name = "FILE")]
    pub(super) save_probe: Option<PathBuf>,
}

/// Which features are read.
#[derive(Debug, clap::Args)]
pub(super) struct SelectionArgs {
    /// Layers to read: all, of one resolution, one, or the first from the top; may be repeated.
    /// Without it: every resolution, and all together [example: --layer 32x32]
    #[arg(long, alias = "layers", value_name = "all|RxR|N|first:N")]
    pub(super) layer: Vec<LayerSelection>,
    /// Each layer alone, too [example: --per-layer]
    #[arg(long)]
    pub(super) per_layer: bool,
    /// All layers from the top to the end of each resolution, too [example: --cumulative]
    #[arg(long)]
    pub(super) cumulative: bool,
    /// Controls to run beside the latents: pixels, pca (of pixels), hog (histograms of oriented
    /// gradients), random-init, shuffled-labels, or none [example: --controls pixels,hog]
    #[arg(long, value_delimiter = ',', default_value = "pixels,random-init", value_name = "LIST",
          value_parser = control)]
    pub(super) controls: Vec<Option<Source>>,
    /// Networks that control random-init draws, from --seed up: its lines are means over them, with
    /// intervals for other networks of random weights too [default: 1]
    /// [example: --random-seeds 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) random_seeds: Option<u32>,
    /// Components of control pca [default: 256] [example: --pca-columns 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(super) pca_columns: Option<u32>,
    /// Selections with more columns once more, reduced to N by principal components or by a random
    /// projection [example: --match-columns 256,projection]
    #[arg(long, value_name = "N[,pca|projection]")]
    pub(super) match_columns: Option<Matching>,
    /// What is read from each layer; the decoder's state of a resolution, and of all, where the resolution
    /// ends [example: --statistic log-std]
    #[arg(
        long,
        default_value = "mean",
        value_name = "mean|z|prior-mean|log-std|prior-log-std|state|activation"
    )]
    pub(super) statistic: Statistic,
    /// How a layer's grid becomes columns [example: --pool mean]
    #[arg(long, default_value = "grid:4", value_name = "none|mean|grid:K")]
    pub(super) pool: Pooling,
    #[command(flatten)]
    pub(super) samples: SamplesArg,
    /// What is cut from a picture before it is resized: the largest central square, nothing, or a
    /// central square of N pixels [default: square] [example: --crop 150]
    #[arg(long, value_name = "square|none|N")]
    pub(super) crop: Option<Crop>,
    /// How it is resized [default: bilinear] [example: --resize bicubic]
    #[arg(long, value_name = "bilinear|bicubic|nearest")]
    pub(super) resize: Option<Resize>,
}

/// How they are probed.
#[derive(Debug, clap::Args)]
pub(super) struct ProbingArgs {
    /// Probes to run: logistic, ridge, knn (10 or 20 neighbours by cosine), centroid. Without it:
    /// logistic, or ridge where targets are real numbers. For few labels: cl2n (nearest centroid
    /// of standardised rows of unit length, the default), centroid, knn (5 neighbours), logistic. For
    /// faces: cosine, euclidean, whitened, lda; without it cosine and lda
    /// [example: --probe logistic,knn]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) probe: Vec<String>,
    /// Which code fits logistic probes: batched takes every target and strength at once; linfa one
    /// after another, far slower [example: --solver linfa]
    #[arg(long, default_value = "batched", value_name = "batched|linfa")]
    pub(super) solver: Solver,
    /// Penalties of logistic and ridge to choose from on validation: alpha of the summed loss,
    /// which is 1 / C; for few labels the one that logistic has
    /// [default: powers of ten from 0.01 to 1e6; 1 for few labels] [example: --strengths 1,10,100]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) strengths: Vec<f64>,
    /// Shares of the training and validation pictures to use, each subset part of the larger ones
    /// [example: --train-fraction 0.01,0.1,1]
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "LIST")]
    pub(super) train_fraction: Vec<f64>,
    /// How many times such subsets are drawn, from --seed up; lines of the table are their means
    /// [example: --label-seeds 5]
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) label_seeds: u32,
    /// Score all targets inside each value of these, too: among the test pictures that have it, by
    /// the same probes [example: --within Male]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) within: Vec<String>,
    /// Bootstrap replicates of the 95% intervals [default: 1000] [example: --replicates 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) replicates: Option<u32>,
}

/// Sizes of tasks that draw episodes or pairs.
#[derive(Debug, clap::Args)]
pub(super) struct EpisodeArgs {
    /// Few labels: episodes to draw [default: 600] [example: --episodes 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) episodes: Option<u32>,
    /// Few labels: take the mean off columns and leave their units, as CL2N was published; without it
    /// columns are divided by their deviations, too [example: --centre-only]
    #[arg(long)]
    pub(super) centre_only: bool,
    /// Few labels: pictures of each class to classify in an episode [default: 15]
    /// [example: --queries 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) queries: Option<u32>,
    /// Faces: folds, without a person in common [default: 10] [example: --folds 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(super) folds: Option<u32>,
    /// Faces: pairs of each fold, half of them of one person [default: 600] [example: --pairs 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(super) pairs: Option<u32>,
}

/// A control by its name; `none` is no control.
fn control(name: &str) -> Result<Option<Source>, String> {
    let controls = || Source::ALL.iter().copied().filter(|&source| source != Source::Latents);
    match controls().find(|control| control.name() == name) {
        None if name != "none" => {
            let names: Vec<_> = controls().map(Source::name).collect();
            Err(format!("expected {}, none, found `{name}`", names.join(", ")))
        }
        found => Ok(found),
    }
}
