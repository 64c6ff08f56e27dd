//! What comes from elsewhere: named checkpoints, and how their downloads are shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vdvae_hub::{DownloadProgress, Error, HubOptions, Progress, hub_checkpoint};
use vdvae_model::{Published, checkpoint_file};

use crate::exit::usage;

/// Finds a checkpoint by what `--checkpoint` says: a file, `hf:owner/repo[/file]`, or a name. A file
/// comes first.
pub(crate) fn find_checkpoint(given: &Path) -> Result<PathBuf> {
    let address = given.to_str().filter(|_| !given.exists()).and_then(|t| t.strip_prefix("hf:"));
    if let Some(address) = address {
        return hub_checkpoint(address, &hub_options()).map_err(|error| match error {
            Error::Address(_) => usage(error),
            other => other.into(),
        });
    }
    checkpoint_file(given).map_err(usage)
}

/// Where published weights are kept.
pub(crate) fn weights_path(weights: &Published) -> Result<PathBuf> {
    weights.path().with_context(|| {
        format!("{}: no folder for weights is known; set VDVAE_CACHE", weights.name)
    })
}

/// The hub as the environment says, with downloads shown on stderr.
pub(crate) fn hub_options() -> HubOptions {
    HubOptions { progress: Progress::new(Arc::new(Shown::default())), ..HubOptions::from_env() }
}

/// Shows one bar a file, on a terminal; what has to be read is a line anywhere.
#[derive(Default)]
struct Shown(Mutex<Option<ProgressBar>>);

impl Shown {
    fn bar(&self) -> Option<ProgressBar> {
        self.0.lock().ok()?.clone()
    }
}

impl DownloadProgress for Shown {
    fn start(&self, file: &str, done: u64, total: Option<u64>) {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        bar.set_message(file.to_owned());
        bar.set_position(done);
        if let Ok(mut shown) = self.0.lock() {
            *shown = Some(bar);
        }
    }

    fn advance(&self, done: u64) {
        if let Some(bar) = self.bar() {
            bar.set_position(done);
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.bar() {
            bar.finish_and_clear();
        }
    }

    fn notice(&self, text: &str) {
        match self.bar() {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}
