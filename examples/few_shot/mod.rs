//! What the few-shot examples share: their flags, and one experiment.

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use vdvae::datasets::{Dataset, Split};
use vdvae::experiment::{Episodes, Event, Experiment, FewShotTask};
use vdvae::probes::EpisodeConfig;
use vdvae::report::report_table;
use vdvae::{Device, Vdvae};

/// Flags of every few-shot example.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The data set's own folder or archive [example: --data-root data/omniglot]
    #[arg(long, value_name = "PATH")]
    pub(crate) data_root: Option<PathBuf>,
    /// A network, in place of the built-in one [example: --checkpoint model.safetensors]
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Classes of an episode [example: --ways 20]
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) ways: usize,
    /// Labelled pictures of each class [example: --shots 5]
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) shots: usize,
    /// Pictures of each class to classify [example: --queries 15]
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub(crate) queries: usize,
    /// Episodes [example: --episodes 600]
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub(crate) episodes: u64,
    /// Seed of the episodes [example: --seed 1]
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Prints a table of accuracies of nearest centroids (CL2N), one line a source and resolution, over
/// the same episodes of test classes, and the paired differences from the controls.
///
/// Features are centred on the mean of `base`, pictures of other classes.
pub(crate) fn run(data: &dyn Dataset, base: Split, args: Args) -> Result<(), Box<dyn Error>> {
    let model = match &args.checkpoint {
        Some(path) => Vdvae::load(path, &Device::Cpu)?,
        None => Vdvae::builtin(&Device::Cpu)?,
    };
    let Args { ways, shots, queries, seed, episodes: count, .. } = args;
    let config = EpisodeConfig { ways, shots, queries, seed };
    let episodes = Episodes::Sampled { config, count };
    let task = FewShotTask { base, episodes, ..FewShotTask::new(ways, shots) };
    let report = Experiment::new(&model, data, &task).run(&mut |event| {
        if let Event::Reading { pictures } = event {
            eprintln!("reading {pictures} pictures");
        }
    })?;
    print!("{}", report_table(&report.results));
    Ok(())
}
