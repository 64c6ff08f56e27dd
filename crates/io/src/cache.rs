//! The folder for what can be computed or downloaded again.

use std::path::PathBuf;

/// The folder that the environment variable `VDVAE_CACHE` names, or `vdvae` in the platform's
/// folder for caches (`~/.cache` on Linux); `None` where there is neither.
///
/// Features are cached in `features` below it, published weights are kept in `weights`.
pub fn cache_folder() -> Option<PathBuf> {
    let own = std::env::var_os("VDVAE_CACHE").filter(|value| !value.is_empty());
    own.map(PathBuf::from).or_else(|| Some(dirs::cache_dir()?.join("vdvae")))
}
