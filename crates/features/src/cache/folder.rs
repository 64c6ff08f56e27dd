//! The files of a cache: written beside their place, flushed, renamed; what a killed run left is
//! found by its lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::key::is_entry;

/// Ending of a file that is being written.
const PARTIAL: &str = ".partial";
/// Between its creation and its lock, a file looks abandoned.
const GRACE: Duration = Duration::from_secs(60);
/// Where the file system has no locks: no run takes as long to write one entry.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Writes a file of the cache: whole or absent, whoever else writes it.
pub(super) fn replace(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!(".{}-{now}-{count}{PARTIAL}", std::process::id());
    let temporary = path.with_file_name(name);
    let file = File::create_new(&temporary)?;
    let run = || {
        // Held until the file is closed, in whatever way that happens. At most it waits for a run
        // that looks whether the file is abandoned; a file system without locks is no reason not
        // to write.
        let _ = file.lock();
        write(&file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    run().inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    })
}

/// Removes what runs that were killed left behind. What cannot be removed stays.
pub(super) fn remove_abandoned(folder: &Path) -> io::Result<()> {
    for path in files(folder, |name| name.starts_with('.') && name.ends_with(PARTIAL))? {
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
