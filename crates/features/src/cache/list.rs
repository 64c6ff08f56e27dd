//! What a cache holds, and how it is emptied.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::entry::Entry;
use super::{FeatureCache, folder, io_error};
use crate::Result;

/// One file of a cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheEntry {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// What it holds, or what is wrong with it.
    pub contents: std::result::Result<CacheContents, String>,
}

/// What one entry holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheContents {
    /// What the run that wrote it called its model: a file, `random-init`, `pixels`.
    pub model: String,
    /// Name of the data set.
    pub data: String,
    /// Everything that decides the features: `model`, `data`, `split`, `features`, ….
    pub identity: Value,
    /// Pictures.
    pub rows: usize,
    /// Names of the arrays, and the numbers that each has of a picture.
    pub arrays: Vec<(String, usize)>,
}

impl FeatureCache {
    /// Every entry, in the order of the names.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the folder cannot be listed.
    pub fn entries(&self) -> Result<Vec<CacheEntry>> {
        let paths = folder::entries(&self.folder).map_err(io_error(&self.folder, "read"))?;
        // One that has gone since is not there.
        Ok(paths.iter().filter_map(|path| describe(path)).collect())
    }

    /// Removes every entry, and what killed runs left; other files stay. Returns how many entries
    /// there were, and their bytes.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where one cannot be removed.
    pub fn clear(&self) -> Result<(usize, u64)> {
        folder::remove_abandoned(&self.folder).map_err(io_error(&self.folder, "read"))?;
        let (mut count, mut bytes) = (0, 0);
        for path in folder::entries(&self.folder).map_err(io_error(&self.folder, "read"))? {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            fs::remove_file(&path).map_err(io_error(&path, "remove"))?;
            (count, bytes) = (count + 1, bytes + metadata.len());
        }
        Ok((count, bytes))
    }
}

fn describe(path: &Path) -> Option<CacheEntry> {
    let metadata = fs::metadata(path).ok()?;
    let open = || {
        let file = File::open(path).map_err(|error| format!("cannot read: {error}"))?;
        let entry = Entry::open(file)?;
        Ok(CacheContents {
            rows: entry.rows(),
            arrays: entry.arrays(),
            model: entry.model,
            data: entry.data_name,
            identity: entry.identity,
        })
    };
    Some(CacheEntry {
        path: path.to_owned(),
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
        contents: open(),
    })
}
