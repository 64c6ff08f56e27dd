//! The published weights: their names, addresses and places.
//!
//! Addresses as in the section "Restoring saved models" of <https://github.com/openai/vdvae>. They
//! are the averaged (EMA) weights; sizes and checksums are not published.

use std::path::{Path, PathBuf};

use super::options::HubOptions;
use crate::{Error, Result};

/// Weights that are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedWeights {
    /// Name, such as `imagenet64`.
    pub name: &'static str,
    /// The published configuration that they belong to.
    pub preset: &'static str,
    /// Path below the base address; the last part is the file's name.
    path: &'static str,
}

const fn weights(name: &'static str, preset: &'static str, path: &'static str) -> PublishedWeights {
    PublishedWeights { name, preset, path }
}

/// All that are published, by name.
pub const PUBLISHED_WEIGHTS: [PublishedWeights; 8] = [
    weights("imagenet32", "imagenet32", "vdvae-assets/imagenet32-iter-1700000-model-ema.th"),
    weights("imagenet64", "imagenet64", "vdvae-assets-2/imagenet64-iter-1600000-model-ema.th"),
    weights("ffhq256", "ffhq256", "vdvae-assets/ffhq256-iter-1700000-model-ema.th"),
    weights("ffhq1024", "ffhq1024", "vdvae-assets/ffhq1024-iter-1700000-model-ema.th"),
    weights("cifar10-seed0", "cifar10", "vdvae-assets-2/cifar10-seed0-iter-900000-model-ema.th"),
    weights("cifar10-seed1", "cifar10", "vdvae-assets-2/cifar10-seed1-iter-1050000-model-ema.th"),
    weights("cifar10-seed2", "cifar10", "vdvae-assets-2/cifar10-seed2-iter-650000-model-ema.th"),
    weights("cifar10-seed3", "cifar10", "vdvae-assets-2/cifar10-seed3-iter-1050000-model-ema.th"),
];

impl PublishedWeights {
    /// The weights of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PUBLISHED_WEIGHTS.iter().find(|weights| weights.name == name)
    }

    /// Where the file is kept, whether or not it is there.
    ///
    /// # Errors
    /// [`Error::Hub`] where no folder for it is known.
    pub fn path(&self, options: &HubOptions) -> Result<PathBuf> {
        let file = self.path.rsplit('/').next().unwrap_or(self.path);
        let folder = options.weights.as_ref().ok_or_else(|| Error::Hub {
            name: self.name.to_owned(),
            reason: "no folder for weights is known; set VDVAE_CACHE".into(),
            absent: true,
        })?;
        Ok(folder.join(file))
    }

    /// Downloads the file unless it is there; a download that broke off goes on.
    ///
    /// The file is written beside its place (`.part`), flushed and renamed.
    ///
    /// # Errors
    /// [`Error::Hub`] where the server cannot be reached, does not have the file, or breaks off
    /// several times without sending anything; [`Error::Io`].
    pub fn fetch(&self, options: &HubOptions) -> Result<PathBuf> {
        let path = self.path(options)?;
        if path.is_file() {
            return Ok(path);
        }
        if options.offline {
            let reason =
                format!("offline (HF_HUB_OFFLINE is set), and {} is absent", path.display());
            return Err(Error::Hub { name: self.name.to_owned(), reason, absent: true });
        }
        download(self, &path, options)?;
        Ok(path)
    }
}

#[cfg(feature = "hub")]
fn download(weights: &PublishedWeights, path: &Path, options: &HubOptions) -> Result<()> {
    use super::download::{Request, download};

    let url = format!("{}/{}", options.weights_url.trim_end_matches('/'), weights.path);
    let request = Request { url: url.clone(), name: weights.name, path, size: None, pinned: false };
    download(&super::http::Http::new(options), &request, options).map_err(|failure| Error::Hub {
        name: url,
        reason: failure.to_string(),
        absent: false,
    })?
}

#[cfg(not(feature = "hub"))]
fn download(weights: &PublishedWeights, _: &Path, _: &HubOptions) -> Result<()> {
    let reason = "this build cannot download; build it with the feature `hub`".into();
    Err(Error::Hub { name: weights.name.into(), reason, absent: true })
}
