//! The 20 one-shot runs of Lake et al.: `all_runs.zip`, unopened or a folder.
//!
//! A run shows one picture of each of 20 characters (`runNN/training/classMM.png`) and asks for the
//! characters of 20 more (`runNN/test/itemMM.png`); `runNN/class_labels.txt` has the answers, a
//! test and a training picture on each line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::names::{is_picture, last_parts, tail};
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::store::{FileStore, Part};
use crate::text::{Text, quoted, read_text};
#[cfg(doc)]
use crate::{Dataset, Split};
use crate::{Error, Result};

/// The data set, as errors name it.
const NAME: &str = "omniglot";
const ARCHIVE: &str = "all_runs";
const ANSWERS: &str = "class_labels.txt";
/// Largest file of answers in bytes; the published ones have 980.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// One run; pictures are indices into [`Split::Test`] of its [`OneShotRuns`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneShotRun {
    /// E.g. `run01`.
    pub name: String,
    /// One picture of every character.
    pub support: Vec<usize>,
    /// Pictures to name.
    pub queries: Vec<usize>,
    /// For every query, the position in `support` of its character.
    pub answers: Vec<usize>,
}

/// The one-shot runs: a [`Dataset`] whose `test` split holds the pictures of all runs.
#[derive(Debug)]
pub struct OneShotRuns {
    pictures: Pictures,
    runs: Vec<OneShotRun>,
}

impl OneShotRuns {
    /// Opens `all_runs.zip`, the folder it unpacks to, or a folder that holds either.
    ///
    /// # Errors
    /// [`Error::Layout`] without a run, [`Error::Table`] where a line of answers cannot be read or
    /// names a picture that is not there, [`Error::NoLine`] where a test picture has no answer.
    pub fn open(root: &Path) -> Result<Self> {
        let wanted = |name: &str| is_answers(name) || is_of_run(name);
        let runs = Part { what: ARCHIVE, holds: &wanted, archive: &|stem| stem == ARCHIVE };
        let store = FileStore::open_parts(NAME, root, &wanted, &[runs])?;
        let names = || store.files().into_iter().map(|(name, _)| name.to_owned());
        let mut pictures: Vec<String> = names().filter(|name| is_of_run(name)).collect();
        pictures.sort_by(|a, b| key_of(a).cmp(key_of(b)));
        let keys: BTreeMap<&str, usize> =
            pictures.iter().enumerate().map(|(row, name)| (key_of(name), row)).collect();
        if keys.len() != pictures.len() {
            let found = format!("{} files, {} names", pictures.len(), keys.len());
            return Err(Error::layout(NAME, store.root(), "every run once", found));
        }
        let answers = names().filter(|name| is_answers(name));
        let runs =
            answers.map(|file| read_run(&store, &file, &keys)).collect::<Result<Vec<_>>>()?;
        if runs.is_empty() {
            let expected = format!("{ARCHIVE}.zip or runNN/{ANSWERS}");
            return Err(Error::layout(NAME, store.root(), expected, "neither"));
        }
        let picture = |name: &String| Picture::new(name, key_of(name), 0);
        let test = pictures.iter().map(picture).collect();
        let lengths: Vec<u64> = store.files().into_iter().map(|(_, length)| length).collect();
        let pictures = Pictures::new(store, [vec![], vec![], test], None);
        Ok(Self { pictures, runs }.identified(ARCHIVE, lengths))
    }

    /// The runs, in the order of their names.
    pub fn runs(&self) -> &[OneShotRun] {
        &self.runs
    }
}

/// `runNN/training/classMM.png`.
fn key_of(name: &str) -> &str {
    tail(name, 3)
}

fn is_run(folder: &str) -> bool {
    let number = folder.strip_prefix("run");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_answers(name: &str) -> bool {
    last_parts(name).is_some_and(|[run, file]| is_run(run) && file == ANSWERS)
}

fn is_of_run(name: &str) -> bool {
    let of_run =
        |[run, part, _file]: [&str; 3]| is_run(run) && ["training", "test"].contains(&part);
    is_picture(name) && last_parts(name).is_some_and(of_run)
}

fn read_run(store: &FileStore, file: &str, keys: &BTreeMap<&str, usize>) -> Result<OneShotRun> {
    let [run, _] = last_parts(file).expect("only runNN/class_labels.txt is read");
    let rows = |part: &str| {
        let folder = format!("{run}/{part}/");
        let of_part = keys.iter().filter(|(key, _)| key.starts_with(&folder));
        of_part.map(|(_, &row)| row).collect::<Vec<_>>()
    };
    let (support, queries) = (rows("training"), rows("test"));
    let text = read_text(store, file, MAX_TEXT_BYTES)?;
    let text = Text { file: tail(file, 2), text: &text };
    let mut answers = vec![None; queries.len()];
    for (number, line) in text.lines() {
        let error = |expected: &str, found: &str| text.error(number, expected, quoted(found));
        let [query, answer] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(error("a test and a training picture", line));
        };
        let position =
            |key: &str, rows: &[usize]| keys.get(key).and_then(|row| rows.binary_search(row).ok());
        let query_at = position(query, &queries)
            .ok_or_else(|| error("a test picture of this run that exists", query))?;
        let answer_at = position(answer, &support)
            .ok_or_else(|| error("a training picture of this run that exists", answer))?;
        if answers[query_at].replace(answer_at).is_some() {
            return Err(error("one line a test picture, found a second one", query));
        }
    }
    let unanswered = answers.iter().position(Option::is_none);
    if let Some(query) = unanswered {
        let row = queries[query];
        let key = keys.iter().find(|&(_, &at)| at == row).map_or("", |(key, _)| *key);
        return Err(text.no_line(key));
    }
    let answers = answers.into_iter().flatten().collect();
    Ok(OneShotRun { name: run.to_owned(), support, queries, answers })
}

impl FileDataset for OneShotRuns {
    fn title(&self) -> &str {
        "omniglot-runs"
    }

    fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    fn pictures_mut(&mut self) -> &mut Pictures {
        &mut self.pictures
    }

    fn hint(&self) -> String {
        "; the one-shot runs are all `test`".to_owned()
    }
}
