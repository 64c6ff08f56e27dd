//! What comes from elsewhere: named checkpoints, and how their downloads are shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vdvae_hub::{DownloadProgress, Error, HubOptions, Progress, hub_checkpoint};
use vdvae_model::{Preset, Published};

use crate::exit::usage;

/// Where a checkpoint is, and its configuration where its name says it.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) preset: Option<Preset>,
}

/// Finds a checkpoint by what `--checkpoint` says: a file, `hf:owner/repo[/file]`, or the name of
/// published weights that `vdvae fetch` has brought. A file comes first.
pub(crate) fn find_checkpoint(given: &Path) -> Result<Found> {
    let here = || Found { path: given.to_owned(), preset: None };
    let Some(text) = given.to_str().filter(|_| !given.exists()) else { return Ok(here()) };
    if let Some(address) = text.strip_prefix("hf:") {
        let path = hub_checkpoint(address, &hub_options()).map_err(|error| match error {
            Error::Address(_) => usage(error),
            other => other.into(),
        })?;
        return Ok(Found { path, preset: None });
    }
    let Some(weights) = Published::named(text) else { return Ok(here()) };
    let path = weights_path(weights)?;
    if !path.is_file() {
        let place = path.display();
        return Err(usage(format!(
            "--checkpoint {text}: {place} is absent; `vdvae fetch {text}` downloads it"
        )));
    }
    Ok(Found { path, preset: Some(weights.preset) })
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
