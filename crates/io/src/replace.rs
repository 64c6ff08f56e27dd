//! Files that are either whole or not there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Around the name of a file that is being written.
const HIDDEN: &str = ".";
const PARTIAL: &str = ".partial";

/// Replaces a file by what `write` puts into it: written beside its place, flushed to disk,
/// renamed, and the folder flushed too, so that the new name survives a crash. A reader sees the
/// old file or the new one, never a part. Returns what `write` does.
///
/// While it is written the file is locked and named `.RANDOM.partial`. A process that is killed
/// leaves it behind, without the lock.
///
/// # Errors
/// Those of the file system and of `write`; nothing is left beside the path then.
pub fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>,
) -> io::Result<T> {
    let beside = create_in(folder_of(path))?;
    // At most it waits for a process that looks whether the file is abandoned; a file system
    // without locks is no reason not to write.
    let _ = beside.as_file().lock();
    let mut out = BufWriter::with_capacity(1 << 16, beside.as_file());
    let value = write(&mut out)?;
    out.flush()?;
    drop(out);
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|error| error.error)?;
    sync(folder_of(path))?;
    Ok(value)
}

/// Replaces a file by `bytes`, as [`replace`] does.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    replace(path, |file| file.write_all(bytes.as_ref()))
}

/// Fails where a file cannot be written beside `path`, before the work whose result it is to hold.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::IsADirectory`] where the path is a folder.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    create_in(folder_of(path))?.close()
}

/// Whether a file's name is one that [`replace`] gives to what it has not finished.
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(HIDDEN) && name.ends_with(PARTIAL)
}

fn create_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Opened here for the usual permissions, and errors without the temporary name.
    builder.prefix(HIDDEN).suffix(PARTIAL).make_in(folder, |path| File::create_new(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Folders cannot be opened everywhere; where they can, their sync must succeed.
fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) if cfg!(unix) => folder.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_whole_files_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        for bytes in [&b"first and longer"[..], b"second"] {
            write(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        check_writable(&path).unwrap();
        assert_eq!(names(folder.path()), ["results.json"]);
    }

    #[test]
    fn what_is_being_written_is_locked_and_named_as_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let value = replace(&path, |_| {
            let [name] = &names(folder.path())[..] else { panic!("one file") };
            assert!(is_unfinished(name), "{name}");
            let other = File::open(folder.path().join(name)).unwrap();
            assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
            Ok(3)
        });
        assert_eq!(value.unwrap(), 3);
        assert!(!is_unfinished("a.partial") && !is_unfinished(".a"));
    }

    #[test]
    fn failures_clean_up() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("results.json");
        assert_eq!(write(&missing, b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(check_writable(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        // What was there stays where the new content cannot be made.
        let path = folder.path().join("a");
        write(&path, b"old").unwrap();
        let failed: io::Result<()> = replace(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("stopped"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "stopped");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        // A folder in the way: the rename fails after the file beside it was written.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"").unwrap();
        assert!(write(&taken, b"x").is_err());
        assert_eq!(check_writable(&taken).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn files_have_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        write(&folder.path().join("a"), b"").unwrap();
        fs::write(folder.path().join("b"), b"").unwrap();
        assert_eq!(mode("a"), mode("b"));
    }
}
