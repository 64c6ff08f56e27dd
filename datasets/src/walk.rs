//! Folders of files, walked to the bottom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::archive::is_archive;
use crate::filter::{Filter, SNIFFED, Verdict};
use crate::left_out::LeftOut;
use crate::names::{clean, text};
use crate::{Error, Result};

/// A file that is wanted.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) metadata: Metadata,
    /// Where it lies, if its name alone does not say: names are text in one Unicode form.
    pub(crate) path: Option<PathBuf>,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Name below the root, as [`clean`] gives it → file.
    pub(crate) files: BTreeMap<String, Found>,
    /// Other files that are named like archives.
    pub(crate) archives: Vec<PathBuf>,
    pub(crate) left_out: LeftOut,
}

/// A folder to be walked.
struct Folder {
    path: PathBuf,
    /// Name below the root.
    name: String,
    /// Its path without links, which tells it from others.
    canonical: PathBuf,
}

/// Lists the wanted files of a folder, however deep. Every folder is walked once: links to folders
/// are followed after the folders themselves, in the order of their names.
pub(crate) fn walk(root: &Path, filter: Filter<'_>) -> Result<Tree> {
    let mut walk = Walk { root, filter, tree: Tree::default(), links: BTreeMap::new() };
    let mut seen = BTreeSet::new();
    let canonical = fs::canonicalize(root).map_err(Error::io(root))?;
    let mut folders = vec![Folder { path: root.to_owned(), name: String::new(), canonical }];
    loop {
        while let Some(folder) = folders.pop() {
            match seen.insert(folder.canonical.clone()) {
                true => folders.extend(walk.list(&folder)?),
                false => walk.tree.left_out.add(LeftOut::READ_ALREADY, &folder.name),
            }
        }
        let Some((name, path)) = walk.links.pop_first() else { break };
        let canonical = fs::canonicalize(&path).map_err(Error::io(&path))?;
        folders.push(Folder { path, name, canonical });
    }
    walk.tree.archives.sort();
    Ok(walk.tree)
}

struct Walk<'a> {
    root: &'a Path,
    filter: Filter<'a>,
    tree: Tree,
    /// Links to folders, by their names.
    links: BTreeMap<String, PathBuf>,
}

impl Walk<'_> {
    /// Takes the files of one folder and returns the folders in it.
    fn list(&mut self, folder: &Folder) -> Result<Vec<Folder>> {
        let mut inside = Vec::new();
        for entry in fs::read_dir(&folder.path).map_err(Error::io(&folder.path))? {
            let entry = entry.map_err(Error::io(&folder.path))?;
            let path = entry.path();
            let own = entry.file_name();
            let own = text(own.as_encoded_bytes());
            let name = match folder.name.as_str() {
                "" => clean(&own),
                above => clean(&format!("{above}/{own}")),
            };
            let name = name.map_err(|expected| Error::header(&path, expected, own))?;
            let kind = entry.file_type().map_err(Error::io(&path))?;
            let verdict = self.filter.judge(&name);
            if let Verdict::Hidden(hidden) = verdict {
                self.tree.left_out.add(LeftOut::HIDDEN, hidden);
            } else if kind.is_dir() {
                let canonical = folder.canonical.join(entry.file_name());
                inside.push(Folder { path, name, canonical });
            } else if kind.is_file() {
                let wanted = self.wants(&verdict, &path)?;
                let metadata = wanted.then(|| entry.metadata().map_err(Error::io(&path)));
                self.file(name, path, metadata.transpose()?)?;
            } else {
                self.link_or_special(&verdict, &name, path)?;
            }
        }
        Ok(inside)
    }

    /// Takes a link, to whatever it leads, or a special file.
    fn link_or_special(&mut self, verdict: &Verdict<'_>, name: &str, path: PathBuf) -> Result<()> {
        let Ok(metadata) = fs::metadata(&path) else {
            self.tree.left_out.add(LeftOut::BROKEN, name);
            return Ok(());
        };
        if metadata.is_dir() {
            self.links.insert(name.to_owned(), path);
        } else if metadata.is_file() {
            let wanted = self.wants(verdict, &path)?;
            self.file(name.to_owned(), path, wanted.then_some(metadata))?;
        } else {
            self.tree.left_out.add(LeftOut::SPECIAL, name);
        }
        Ok(())
    }

    /// Whether a file is wanted; it is opened only where its name does not say.
    fn wants(&self, verdict: &Verdict<'_>, path: &Path) -> Result<bool> {
        let mut start = Vec::new();
        if *verdict == Verdict::Sniff {
            let file = File::open(path).map_err(Error::io(path))?;
            file.take(SNIFFED as u64).read_to_end(&mut start).map_err(Error::io(path))?;
        }
        Ok(verdict.wants(&start))
    }

    /// Takes a file; one without metadata is not wanted.
    fn file(&mut self, name: String, path: PathBuf, metadata: Option<Metadata>) -> Result<()> {
        let Some(metadata) = metadata else {
            self.tree.left_out.other(&name);
            if is_archive(&path) {
                self.tree.archives.push(path);
            }
            return Ok(());
        };
        if self.tree.files.contains_key(&name) {
            let expected = "one file of each name, whatever its Unicode form";
            return Err(Error::header(&path, expected, "two"));
        }
        let path = (self.root.join(&name) != path).then_some(path);
        self.tree.files.insert(name, Found { metadata, path });
        Ok(())
    }
}
