//! The files of a cache, and what killed runs left there, which is found by its lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::key::is_entry;

/// Between its creation and its lock, a file looks abandoned.
const GRACE: Duration = Duration::from_secs(60);
/// Where the file system has no locks: no run takes as long to write one entry.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Removes what runs that were killed left behind. What cannot be removed stays.
pub(super) fn remove_abandoned(folder: &Path) -> io::Result<()> {
    for path in files(folder, vdvae_io::is_unfinished)? {
        let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
        let changed = file.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| changed.elapsed().ok()).unwrap_or_default();
        let abandoned = match file.try_lock() {
            Ok(()) => age > GRACE,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => age > ABANDONED,
        };
        if abandoned {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Paths of all entries, in the order of their names.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = files(folder, is_entry)?;
    entries.sort_unstable();
    Ok(entries)
}

fn files(folder: &Path, keep: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&keep) {
            found.push(entry.path());
        }
    }
    Ok(found)
}
