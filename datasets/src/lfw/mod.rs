//! Labeled Faces in the Wild in its published layout: `Name_Surname/Name_Surname_0001.jpg`, and
//! the lists of pairs, `pairs.txt`, `pairsDevTrain.txt` and `pairsDevTest.txt`.
//!
//! Huang, Ramesh, Berg and Learned-Miller, Labeled Faces in the Wild, UMass 07-49, 2007. All copies
//! are read: `lfw.tgz`, `lfw-funneled.tgz`, `lfw-deepfunneled.tgz`, unpacked or not, in colour or
//! grey (repeated to three channels).
//!
//! All pictures are in `test`; a picture's class and group are its person. View 2 (`pairs.txt`) is
//! ten folds of pairs without a person in common: what is fitted to score a fold may see the people
//! of the others only, or those in no pair. View 1 (`pairsDev…`) shares people with view 2.

mod pairs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use crate::names::{base, is_picture, last_parts, tail};
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::published::partial;
use crate::store::{FileStore, Part};
use crate::text::{Text, read_beside, read_text};
use crate::{Error, Result, Split};
pub use pairs::{PicturePair, VerificationPairs};

const NAME: &str = "lfw";
const VIEW_2: &str = "pairs.txt";
const VIEW_1_TRAIN: &str = "pairsDevTrain.txt";
const VIEW_1_TEST: &str = "pairsDevTest.txt";
/// Largest list of pairs in bytes; the published ones have 200 kB.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Published pictures, and pairs of view 2.
const PICTURES: usize = 13_233;
const PAIRS: usize = 6_000;

/// LFW, open: names in memory, pictures on disk.
#[derive(Debug)]
pub struct Lfw {
    /// Classes are the names of people, sorted.
    pictures: Pictures,
    /// Lists of pairs: name of the file and its text.
    lists: Vec<(&'static str, String)>,
}

impl Lfw {
    /// Opens a folder that holds the pictures (at any depth, or as one archive named `lfw…`) or an
    /// archive of them. Lists of pairs are looked for inside it, then beside it.
    ///
    /// # Errors
    /// [`Error::Layout`] without pictures or with several copies of them, [`Error::Archive`]. A
    /// missing list is an error only where it is asked for.
    pub fn open(root: &Path) -> Result<Self> {
        let wanted = |name: &str| picture_of(name).is_some() || list_of(name).is_some();
        let pictures = Part {
            what: "pictures",
            holds: &|name| picture_of(name).is_some(),
            archive: &|stem| stem.starts_with(NAME),
        };
        let store = FileStore::open_parts(NAME, root, &wanted, &[pictures])?;
        let mut files: Vec<&str> = store.files().into_iter().map(|(name, _)| name).collect();
        files.retain(|name| picture_of(name).is_some());
        files.sort_by(|a, b| tail(a, 2).cmp(tail(b, 2)));
        check_pictures(&store, &files)?;
        let mut people: Vec<String> = files.iter().map(|file| person_of(file).to_owned()).collect();
        people.sort();
        people.dedup();
        let picture = |file: &&str| {
            let person = people.partition_point(|person| person.as_str() < person_of(file));
            // `Name_Surname/Name_Surname_0001.jpg`.
            Picture::new(file, tail(file, 2), person as u32)
        };
        let test = files.iter().map(picture).collect();
        let lists = read_lists(&store)?;
        let mut pictures = Pictures::new(store, [vec![], vec![], test], Some(people));
        pictures.remarks = remarks(pictures.of(Split::Test).len(), &lists);
        let lengths = pictures.lengths();
        Ok(Self { pictures, lists }.identified(NAME, lengths))
    }

    /// View 2: the folds of `pairs.txt`, for reports. Pictures are indices into [`Split::Test`].
    ///
    /// # Errors
    /// [`Error::Layout`] where there is no such file, [`Error::Table`] where a line cannot be read
    /// or names a picture that is not there.
    pub fn pairs(&self) -> Result<VerificationPairs> {
        let missing = || {
            let expected = format!("{VIEW_2} in it or beside it");
            Error::layout(NAME, self.pictures.store.root(), expected, "no such file")
        };
        self.list(VIEW_2)?.ok_or_else(missing)
    }

    /// View 1, for development: the one fold of `pairsDevTrain.txt`, where that file exists.
    ///
    /// # Errors
    /// [`Error::Table`], as [`Lfw::pairs`].
    pub fn dev_train_pairs(&self) -> Result<Option<VerificationPairs>> {
        self.list(VIEW_1_TRAIN)
    }

    /// View 1, for development: the one fold of `pairsDevTest.txt`, where that file exists.
    ///
    /// # Errors
    /// [`Error::Table`], as [`Lfw::pairs`].
    pub fn dev_test_pairs(&self) -> Result<Option<VerificationPairs>> {
        self.list(VIEW_1_TEST)
    }

    /// Names of people in sorted order; a group or a label indexes this list.
    pub fn people(&self) -> &[String] {
        self.pictures.classes.as_deref().unwrap_or_default()
    }

    fn list(&self, file: &'static str) -> Result<Option<VerificationPairs>> {
        let Some((_, text)) = self.lists.iter().find(|(name, _)| *name == file) else {
            return Ok(None);
        };
        let pictures = self.pictures.of(Split::Test).iter().enumerate();
        let index: HashMap<(&str, u32), usize> = pictures
            .filter_map(|(i, Picture { file, .. })| Some(((person_of(file), picture_of(file)?), i)))
            .collect();
        let text = Text { file, text };
        pairs::parse(text, &|name, number| index.get(&(name, number)).copied()).map(Some)
    }
}

/// The number of a picture `Name/Name_0001.jpg`.
fn picture_of(name: &str) -> Option<u32> {
    let [person, file] = last_parts(name)?;
    let (stem, _) = file.rsplit_once('.')?;
    let number = stem.strip_prefix(person)?.strip_prefix('_')?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits && is_picture(name) { number.parse().ok() } else { None }
}

fn person_of(file: &str) -> &str {
    let [person, _file] = last_parts(file).expect("pictures lie in the folder of their person");
    person
}

fn list_of(name: &str) -> Option<&'static str> {
    [VIEW_2, VIEW_1_TRAIN, VIEW_1_TEST].into_iter().find(|&list| base(name) == list)
}

/// Fails where there is no picture, or one twice; `files` is sorted by key.
fn check_pictures(store: &FileStore, files: &[&str]) -> Result<()> {
    if files.is_empty() {
        let expected = "pictures Name_Surname/Name_Surname_0001.jpg";
        return Err(Error::layout(NAME, store.root(), expected, "none"));
    }
    let same = |a: &str, b: &str| person_of(a) == person_of(b) && picture_of(a) == picture_of(b);
    match files.windows(2).find(|pair| same(pair[0], pair[1])) {
        None => Ok(()),
        Some(pair) => {
            let found = format!("{} and {}; name one folder", pair[0], pair[1]);
            Err(Error::layout(NAME, store.root(), "one copy of the pictures", found))
        }
    }
}

/// Texts of the lists, of the copy nearest to the root: inside it, or else beside it.
fn read_lists(store: &FileStore) -> Result<Vec<(&'static str, String)>> {
    let files = store.files();
    let mut lists = Vec::new();
    for list in [VIEW_2, VIEW_1_TRAIN, VIEW_1_TEST] {
        let inside = files.iter().map(|&(name, _)| name).filter(|name| base(name) == list);
        let text = match inside.min_by_key(|name| name.split('/').count()) {
            Some(name) => Some(read_text(store, name, MAX_TEXT_BYTES)?),
            None => read_beside(store, list, MAX_TEXT_BYTES)?,
        };
        lists.extend(text.map(|text| (list, text)));
    }
    Ok(lists)
}

/// What is missing of the published pictures and of view 2, whose list has a line more than pairs.
fn remarks(pictures: usize, lists: &[(&'static str, String)]) -> Vec<String> {
    let view_2 = lists.iter().find(|(file, _)| *file == VIEW_2);
    let pairs = view_2.map(|(file, text)| Text { file, text }.lines().count().saturating_sub(1));
    let mut counts = vec![(pictures, PICTURES, "pictures")];
    counts.extend(pairs.map(|pairs| (pairs, PAIRS, "pairs of pairs.txt")));
    partial(&counts)
}

impl FileDataset for Lfw {
    fn title(&self) -> &str {
        NAME
    }

    fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    fn pictures_mut(&mut self) -> &mut Pictures {
        &mut self.pictures
    }

    /// The person in every picture.
    fn groups_of(&self, split: Split) -> Option<Vec<u64>> {
        Some(self.pictures.of(split).iter().map(|picture| u64::from(picture.label)).collect())
    }

    fn hint(&self) -> String {
        "; all pictures of lfw are `test`".to_owned()
    }
}
