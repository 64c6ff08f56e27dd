//! A checkpoint of the hub.

use std::path::PathBuf;

#[cfg(doc)]
use crate::Error;
use crate::{Address, HubOptions, Kind, Repository, Result};

/// Path of a checkpoint of the hub, downloaded where the cache lacks it; `address` is
/// `owner/repo[@revision][/file]`, without `hf:`.
///
/// Without a file, `model.safetensors`, or the only file that ends in `.safetensors` or `.th`.
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
            let is_model = |file: &&String| file.ends_with(".safetensors") || file.ends_with(".th");
            let models: Vec<&String> = listing.files.iter().filter(is_model).collect();
            let usual = models.iter().find(|file| **file == "model.safetensors");
            match (usual, &models[..]) {
                (Some(file), _) | (None, [file]) => (*file).clone(),
                (None, []) => return Err(wrong("expected a .safetensors or .th file".into())),
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
