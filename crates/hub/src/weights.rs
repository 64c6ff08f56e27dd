//! Published weights, which lie on a server of their own.

use std::path::Path;

use crate::download::{Request, download};
use crate::http::Http;
use crate::{Error, HubOptions, Result};

/// Downloads weights to `path` unless they are there; a download that broke off goes on. `name` is
/// what the user calls them, `address` their path below [`HubOptions::weights_url`].
///
/// The file is written beside its place (`.part`), flushed and renamed.
///
/// # Errors
/// [`Error::Hub`] where the server cannot be reached, does not have the file, or breaks off several
/// times without sending anything; [`Error::Io`].
pub fn fetch_weights(name: &str, address: &str, path: &Path, options: &HubOptions) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    if options.offline {
        let reason = format!(
            "offline (HF_HUB_OFFLINE, or as the program has it), and {} is absent",
            path.display()
        );
        return Err(Error::Hub { name: name.to_owned(), reason, absent: true });
    }
    let url = format!("{}/{address}", options.weights_url.trim_end_matches('/'));
    let request = Request { url: url.clone(), name, path, size: None, pinned: false };
    download(&Http::new(options), &request, options).map_err(|failure| Error::Hub {
        name: url,
        reason: failure.to_string(),
        absent: false,
    })?
}
