//! A folder of files for each thread, as readers take paths.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Writes `bytes` to a file of the thread's folder, over what was there, and returns its path.
pub(crate) fn write(name: &str, bytes: &[u8]) -> PathBuf {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a folder in TMPDIR"));
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder in TMPDIR");
        fs::write(&path, bytes).expect("room in TMPDIR");
        path
    })
}

/// Writes a file unless it is there already.
pub(crate) fn once(name: &str, bytes: impl FnOnce() -> Vec<u8>) -> PathBuf {
    let path = FOLDER.with(|folder| folder.get().map(|folder| folder.path().join(name)));
    match path.filter(|path| Path::exists(path)) {
        Some(path) => path,
        None => write(name, &bytes()),
    }
}
