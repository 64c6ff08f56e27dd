//! Where hub and weights are, and where their files are kept: the one place that reads the
//! environment for them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The Hugging Face hub.
pub(crate) const ENDPOINT: &str = "https://huggingface.co";
/// Where the published weights lie: <https://github.com/openai/vdvae>, section "Restoring saved
/// models".
pub(crate) const WEIGHTS_URL: &str =
    "https://openaipublic.blob.core.windows.net/very-deep-vaes-assets";

/// How the hub is reached. The default is offline and has no cache; [`HubOptions::from_env`] is
/// what programs use.
#[derive(Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Base URL of the hub.
    pub endpoint: String,
    /// Access token.
    pub token: Option<String>,
    /// The hub's cache, which hf-hub and huggingface_hub share.
    pub cache: Option<PathBuf>,
    /// Whether only the cache may be read.
    pub offline: bool,
    /// Base URL of the published weights.
    pub weights_url: String,
    /// Wait before the second try of a request; every further wait is twice as long.
    pub retry_delay: Duration,
    /// Who is told what is being downloaded.
    pub progress: Progress,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            token: None,
            cache: None,
            offline: true,
            weights_url: WEIGHTS_URL.to_owned(),
            retry_delay: Duration::from_millis(500),
            progress: Progress::default(),
        }
    }
}

/// Without the token.
impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("weights_url", &self.weights_url)
            .finish_non_exhaustive()
    }
}

impl HubOptions {
    /// What the environment says.
    ///
    /// `HF_ENDPOINT`, `HF_TOKEN` (or the token of `hf auth login`), `HF_HUB_OFFLINE` and the folder
    /// of the cache (`HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`) mean what they mean to
    /// huggingface_hub. `VDVAE_WEIGHTS_URL` replaces the address of the published weights.
    pub fn from_env() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let home = || {
            path("HF_HOME")
                .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
                .or_else(|| Some(dirs::home_dir()?.join(".cache/huggingface")))
        };
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(home()?.join("hub")));
        let defaults = Self::default();
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or(defaults.endpoint),
            token: text("HF_TOKEN").or_else(|| {
                // Where `hf auth login` leaves it.
                let path = path("HF_TOKEN_PATH").or_else(|| Some(home()?.join("token")))?;
                let token = std::fs::read_to_string(path).ok()?.trim().to_owned();
                (!token.is_empty()).then_some(token)
            }),
            cache,
            offline: text("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            weights_url: text("VDVAE_WEIGHTS_URL").unwrap_or(defaults.weights_url),
            ..Self::default()
        }
    }
}

/// The values that huggingface_hub takes for true.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

/// Is told what is being downloaded.
pub trait DownloadProgress: Send + Sync {
    /// A file begins, or goes on from `done` bytes; `total` is its size where it is known.
    fn start(&self, file: &str, done: u64, total: Option<u64>);
    /// `done` bytes of the file are here.
    fn advance(&self, done: u64);
    /// The file is complete.
    fn finish(&self);
    /// Something that the user should read, once: terms of use, a wait.
    fn notice(&self, text: &str);
}

/// A [`DownloadProgress`], or nobody.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn DownloadProgress>>);

impl Progress {
    /// Tells this one.
    pub fn new(progress: Arc<dyn DownloadProgress>) -> Self {
        Self(Some(progress))
    }

    /// Tells it something, where somebody listens.
    pub fn tell(&self, tell: impl FnOnce(&dyn DownloadProgress)) {
        if let Some(progress) = &self.0 {
            tell(&**progress);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress" } else { "Progress(nobody)" })
    }
}

/// Whether both are the same one, or both nobody.
impl PartialEq for Progress {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (one, two) => one.is_none() && two.is_none(),
        }
    }
}

impl Eq for Progress {}
