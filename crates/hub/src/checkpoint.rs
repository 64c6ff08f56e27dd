//! A checkpoint of the hub.

use std::path::PathBuf;

#[cfg(doc)]
use crate::Error;
use crate::{Address, HubOptions, Kind, Repository, Result};

/// Names of a repository's only model, the first preferred.
const USUAL: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// How the names of checkpoints end.
const ENDINGS: [&str; 5] = [".safetensors", ".th", ".pth", ".pt", ".ckpt"];

/// Whether a file has a name that checkpoints have.
pub fn is_checkpoint(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    USUAL.contains(&base) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Path of a checkpoint of the hub, downloaded where the cache lacks it; `address` is
/// `owner/repo[@revision][/file]`, without `hf:`.
///
/// Without a file, `model.safetensors`, `pytorch_model.bin`, or the only file that ends as checkpoints
/// do.
///
/// # Errors
/// [`Error::Address`], and [`Error::Hub`] where there is no such repository or file, where several
/// files could be meant, or where the hub cannot be reached.
pub fn hub_checkpoint(address: &str, options: &HubOptions) -> Result<PathBuf> {
    let address = Address::parse(address)?;
    let repository = Repository::new(&address, Kind::Model, options)?;
    let listing = repository.list()?;
    let wrong = |text: String| repository.reason(text, false);
    let name = match &address.path {
        Some(path) if listing.files.contains(path) => path.clone(),
        Some(path) => {
            let found = listing.files.join(", ");
            return Err(wrong(format!("expected the file {path}, found {found}")));
        }
        None => {
            let is_model = |file: &&String| ENDINGS.iter().any(|ending| file.ends_with(ending));
            let models: Vec<&String> = listing.files.iter().filter(is_model).collect();
            let usual = USUAL.iter().find(|usual| listing.files.iter().any(|file| file == *usual));
            match (usual, &models[..]) {
                (Some(usual), _) => (*usual).to_owned(),
                (None, [file]) => (*file).clone(),
                (None, []) => {
                    let expected = [&USUAL[1..], &ENDINGS[..]].concat().join(", ");
                    return Err(wrong(format!("expected a file {expected}")));
                }
                (None, several) => {
                    let several: Vec<&str> = several.iter().map(|file| file.as_str()).collect();
                    return Err(wrong(format!("add one of /{}", several.join(", /"))));
                }
            }
        }
    };
    let path = repository.file(&listing, &name, || {})?;
    repository.remember(&listing)?;
    Ok(path)
}
