//! Pooled features on disk, so that layers, probes and seeds never run the network again.
//!
//! An entry answers for one source (a network, or the pixels) and one split. Its name is a hash of
//! everything that changes a feature: the network's parameters and configuration, the data set's
//! [stamp](Dataset::stamp), the split, how pictures are cut and resized, statistic, pooling,
//! samples and seed, precision, and the version of this code. Layers are no part of it: each has
//! an array of its own, and an entry of all layers serves a request for a few.
//!
//! Entries are never changed, only replaced by whole files, so any number of runs may share a
//! folder and be killed at any time: two that need the same entry both compute it, and the later
//! one's stays. Whatever is wrong with the cache costs a warning and the time to compute the
//! features, never the run.

mod entry;
mod folder;
mod key;
mod list;
#[cfg(test)]
mod tests;
mod write;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;
#[cfg(doc)]
use vdvae_datasets::Dataset;
use vdvae_datasets::OnBadImage;

use crate::extract::{Extracted, Extraction, FeatureSource};
use crate::{Error, FeatureTable, Result};
use entry::{Entry, Rows};
use key::KeyedSource;
pub use list::{CacheContents, CacheEntry};
use write::Facts;

/// Larger entries are not kept: 8 GiB, two million numbers for each of a thousand pictures.
const MAX_ENTRY_BYTES: u64 = 8 << 30;

/// A folder of cached features.
#[derive(Debug, Clone)]
pub struct FeatureCache {
    folder: PathBuf,
}

impl FeatureCache {
    /// `features` in [`vdvae_io::cache_folder`]; `None` where there is none.
    pub fn default_folder() -> Option<PathBuf> {
        Some(vdvae_io::cache_folder()?.join("features"))
    }

    /// Opens a cache, creates its folder, and removes what killed runs left there.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be created or listed.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(io_error(folder, "create"))?;
        folder::remove_abandoned(folder).map_err(io_error(folder, "read"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where the entries are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names what is to be read, and hashes its networks once for all splits. A source's name is
    /// what `cache list` shows; it decides nothing.
    ///
    /// # Errors
    /// Where a network's parameters cannot be read from its device.
    pub fn sources<'a>(
        &'a self,
        sources: &[(&str, FeatureSource<'a>)],
    ) -> Result<CachedSources<'a>> {
        let keyed = sources.iter().map(|(name, source)| KeyedSource::new(name, *source));
        Ok(CachedSources { cache: self, sources: keyed.collect::<Result<_>>()? })
    }
}

/// Sources whose features are read from a cache where it has them.
pub struct CachedSources<'a> {
    cache: &'a FeatureCache,
    sources: Vec<KeyedSource<'a>>,
}

/// What a cache did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Sources whose features were read, not computed.
    pub reused: usize,
    /// What went wrong with the cache, one line each.
    pub warnings: Vec<String>,
}

/// A table read from the cache, with the rows it holds.
struct Stored {
    table: FeatureTable,
    indices: Vec<usize>,
    contents: Vec<u64>,
    skipped: Vec<(String, String)>,
}

impl CachedSources<'_> {
    /// The tables of one split, one a source. Sources that the cache lacks are computed in one
    /// pass over the pictures, and kept. `progress` is told how many pictures were dealt with.
    ///
    /// # Errors
    /// Those of [`Extraction::run`]; nothing that is wrong with the cache.
    pub fn get_or_extract(
        &self,
        extraction: &Extraction<'_>,
        mut progress: impl FnMut(usize),
    ) -> Result<(Extracted, CacheUse)> {
        let identities: Vec<Value> =
            self.sources.iter().map(|source| source.identity(extraction)).collect();
        let loaded: Vec<(Option<Stored>, Vec<String>)> = self
            .sources
            .par_iter()
            .zip(&identities)
            .map(|(source, identity)| self.cache.load(source, identity, extraction))
            .collect();
        let (mut stored, warnings): (Vec<Option<Stored>>, Vec<Vec<String>>) =
            loaded.into_iter().unzip();
        let mut used = CacheUse { reused: 0, warnings: warnings.concat() };
        let fresh = self.extract_missing(extraction, &mut stored, &mut progress)?;
        let missing = self.sources.iter().zip(&identities).zip(&stored);
        let missing = missing.filter(|(_, stored)| stored.is_none()).map(|(source, _)| source);
        for (position, (source, identity)) in missing.enumerate() {
            let saved = self.cache.save(source, identity, extraction, &fresh, position);
            used.warnings.extend(saved.err());
        }
        used.reused = stored.iter().flatten().count();
        if fresh.tables.is_empty() {
            progress(extraction.dataset.len(extraction.split));
        }
        Ok((together(stored, fresh), used))
    }

    /// Computes the sources that were not stored. What was stored is given up where it does not
    /// hold the same pictures.
    fn extract_missing(
        &self,
        extraction: &Extraction<'_>,
        stored: &mut [Option<Stored>],
        mut progress: impl FnMut(usize),
    ) -> Result<Extracted> {
        let mut rows = stored.iter().flatten().map(|stored| &stored.indices);
        let first = rows.next();
        if rows.any(|indices| Some(indices) != first) {
            stored.fill_with(|| None);
        }
        let rows = stored.iter().flatten().next().map(|stored| stored.indices.clone());
        let missing: Vec<FeatureSource<'_>> = self
            .sources
            .iter()
            .zip(&*stored)
            .filter_map(|(source, stored)| stored.is_none().then_some(source.source))
            .collect();
        if missing.is_empty() {
            return Ok(Extracted {
                tables: vec![],
                indices: vec![],
                contents: vec![],
                skipped: vec![],
            });
        }
        let fresh = extraction.run(&missing, &mut progress)?;
        if rows.is_none_or(|rows| rows == fresh.indices) {
            return Ok(fresh);
        }
        stored.fill_with(|| None);
        let all: Vec<FeatureSource<'_>> = self.sources.iter().map(|source| source.source).collect();
        extraction.run(&all, |_| ())
    }
}

/// The tables of all sources in their order.
fn together(stored: Vec<Option<Stored>>, fresh: Extracted) -> Extracted {
    let Extracted { tables, mut indices, mut contents, mut skipped } = fresh;
    let mut fresh = tables.into_iter();
    let tables = stored.into_iter().filter_map(|stored| match stored {
        None => fresh.next(),
        Some(stored) => {
            (indices, contents, skipped) = (stored.indices, stored.contents, stored.skipped);
            Some(stored.table)
        }
    });
    let tables = tables.collect();
    Extracted { tables, indices, contents, skipped }
}

impl FeatureCache {
    /// The table of a source, where an entry holds it; and what was wrong with entries that should.
    fn load(
        &self,
        source: &KeyedSource<'_>,
        identity: &Value,
        extraction: &Extraction<'_>,
    ) -> (Option<Stored>, Vec<String>) {
        let mut warnings = Vec::new();
        let stem = key::stem(identity);
        let entries = match folder::entries(&self.folder) {
            Ok(entries) => entries,
            Err(error) => {
                return (None, vec![format!("{}: cannot read: {error}", self.folder.display())]);
            }
        };
        let named = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(&stem))
        };
        for path in entries.into_iter().filter(named) {
            let file = match File::open(&path) {
                Ok(file) => file,
                // Another run has replaced it, or the cache was cleared.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    warnings.push(format!("{}: cannot read: {error}", path.display()));
                    continue;
                }
            };
            match stored(file, source, identity, extraction) {
                Ok(None) => {}
                Ok(Some(stored)) => return (Some(stored), warnings),
                Err(damage) => {
                    // It would be in the way of the next run, too.
                    let _ = fs::remove_file(&path);
                    warnings.push(format!("{}: {damage}; computed again", path.display()));
                }
            }
        }
        (None, warnings)
    }

    /// Writes one of the tables that were extracted; a failure is told in one line.
    fn save(
        &self,
        source: &KeyedSource<'_>,
        identity: &Value,
        extraction: &Extraction<'_>,
        extracted: &Extracted,
        position: usize,
    ) -> Result<(), String> {
        let table = &extracted.tables[position];
        let (encoding, stem) = (source.encoding(), key::stem(identity));
        let parts = source.parts(extraction).map_err(|error| error.to_string())?;
        let path = self.folder.join(key::file_name(&stem, &parts));
        let bytes = table.features.len() as u64 * encoding.width() as u64;
        if bytes > MAX_ENTRY_BYTES {
            let name = &source.name;
            return Err(format!(
                "features of {name}: expected at most {MAX_ENTRY_BYTES} bytes to keep in the \
                 cache, found {bytes}; not kept"
            ));
        }
        let facts = Facts { identity, model: &source.name, data: extraction.dataset.name() };
        vdvae_io::replace(&path, |file| {
            write::write(file, &facts, &parts, encoding, (table, extracted))
        })
        .map_err(|error| format!("{}: cannot write: {error}; not kept", path.display()))?;
        self.remove_contained(&stem, &path);
        Ok(())
    }

    /// Removes entries of the same identity whose every array is in the one just written.
    fn remove_contained(&self, stem: &str, written: &Path) {
        let open = |path: &Path| Entry::open(File::open(path).ok()?).ok();
        let Some(whole) = open(written).map(|entry| entry.arrays()) else { return };
        for path in folder::entries(&self.folder).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path == written || !name.starts_with(stem) {
                continue;
            }
            let contained = open(&path)
                .is_some_and(|entry| entry.arrays().iter().all(|array| whole.contains(array)));
            if contained {
                // Where that fails, it only takes space.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// The table in an open entry; `None` where it has not what is asked for.
fn stored(
    file: File,
    source: &KeyedSource<'_>,
    identity: &Value,
    extraction: &Extraction<'_>,
) -> Result<Option<Stored>, entry::Damage> {
    let text = |error: Error| error.to_string();
    let mut entry = Entry::open(file)?;
    if entry.identity != *identity {
        return Err("expected what its name says, found features of something else".to_owned());
    }
    let parts = source.parts(extraction).map_err(text)?;
    // Pictures that were left out may not be left out now: the network's pass says which.
    let unwanted = !entry.skipped.is_empty() && extraction.on_bad_image == OnBadImage::Fail;
    if !entry.holds(&parts) || unwanted {
        return Ok(None);
    }
    let Rows { indices, keys, contents } = entry.read_rows()?;
    let (dataset, split) = (extraction.dataset, extraction.split);
    let known = |(&index, key): (&usize, &String)| {
        index < dataset.len(split) && dataset.key(split, index) == *key
    };
    if !indices.iter().zip(&keys).all(known) {
        return Err("expected pictures of the data set, found others".to_owned());
    }
    let values = entry.read_parts(&parts, source.encoding())?;
    let columns =
        crate::source_columns(&source.source, extraction.preparation.size).map_err(text)?;
    let table = extraction.assemble(&indices, columns, values).map_err(text)?;
    Ok(Some(Stored { table, indices, contents, skipped: entry.skipped }))
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { path, action, source }
}
