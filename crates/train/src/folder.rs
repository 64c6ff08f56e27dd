//! The folder that a run writes into.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, io_error};

/// Checks an output folder before any work, and makes it where it is not there: that it can be
/// written to and, unless a run is resumed, that it is empty.
///
/// # Errors
/// [`Error::OutNotEmpty`]; [`Error::Io`] where it cannot be made or written to.
pub fn check_out(path: &Path, resume: bool) -> Result<()> {
    fs::create_dir_all(path).map_err(io_error(path, "create the folder"))?;
    let mut entries = fs::read_dir(path).map_err(io_error(path, "read"))?;
    if let (Some(entry), false) = (entries.next(), resume) {
        let entry = entry.map_err(io_error(path, "read"))?;
        let found = entry.file_name().to_string_lossy().escape_debug().to_string();
        return Err(Error::OutNotEmpty { path: path.to_owned(), found });
    }
    vdvae_io::check_writable(&path.join("config.json")).map_err(io_error(path, "write to"))
}

/// The files of a run.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folders inside.
    pub(crate) fn create(path: &Path, resume: bool) -> Result<Self> {
        check_out(path, resume)?;
        let folder = Self(path.to_owned());
        for inner in ["checkpoints", "samples"].map(|name| path.join(name)) {
            fs::create_dir_all(&inner).map_err(io_error(inner, "create the folder"))?;
        }
        Ok(folder)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("config.json")
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }

    pub(crate) fn samples(&self, step: u64) -> PathBuf {
        self.0.join("samples").join(format!("step-{step}.png"))
    }

    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.0.join("checkpoints").join(format!("step-{step}.safetensors"))
    }

    /// The steps that have a checkpoint, newest first.
    pub(crate) fn checkpoints(&self) -> Result<Vec<u64>> {
        let folder = self.0.join("checkpoints");
        let mut steps = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io_error(&folder, "read"))? {
            let name = entry.map_err(io_error(&folder, "read"))?.file_name();
            let step = name.to_str().and_then(|name| {
                name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<u64>().ok()
            });
            steps.extend(step);
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// Removes what a run that was killed had begun to write and not yet renamed.
    pub(crate) fn remove_partial_files(&self) -> Result<()> {
        for folder in ["", "checkpoints", "samples"].map(|name| self.0.join(name)) {
            for entry in fs::read_dir(&folder).map_err(io_error(&folder, "read"))? {
                let path = entry.map_err(io_error(&folder, "read"))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if vdvae_io::is_unfinished(&name) {
                    fs::remove_file(&path).map_err(io_error(&path, "remove"))?;
                }
            }
        }
        Ok(())
    }

    /// Removes all but the newest checkpoints up to `step`.
    pub(crate) fn prune(&self, step: u64, keep: usize) -> Result<()> {
        let older = self.checkpoints()?.into_iter().filter(|&other| other <= step).skip(keep);
        for path in older.map(|step| self.checkpoint(step)) {
            fs::remove_file(&path).map_err(io_error(path, "remove"))?;
        }
        Ok(())
    }
}
