//! Files that are either whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result};

/// Replaces `path` by `bytes`: writes `path.tmp-PID` beside it, syncs, renames, and syncs the
/// folder so that the new name survives a crash.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".tmp-{}", std::process::id()));
    let beside = path.with_file_name(name);
    replace(path, &beside, bytes).map_err(|source| {
        // The first error is the one to report; what is left behind has no reader.
        let _ = fs::remove_file(&beside);
        Error::Write { path: path.to_owned(), source }
    })
}

fn replace(path: &Path, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Folders cannot be opened everywhere; where they can, their sync must succeed.
    match File::open(folder.unwrap_or(Path::new("."))) {
        Ok(folder) if cfg!(unix) => folder.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        for bytes in [&b"first and longer"[..], b"second"] {
            write(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failures_name_the_file_and_clean_up() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("results.json");
        let message = write(&missing, b"x").unwrap_err().to_string();
        assert!(message.starts_with(&missing.display().to_string()), "{message}");
        // A folder in the way: the rename fails after the file beside it was written.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"").unwrap();
        assert!(write(&taken, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
