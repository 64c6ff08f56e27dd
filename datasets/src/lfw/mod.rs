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
use std::fs;
use std::path::Path;

use image::RgbImage;

use crate::fingerprint::Fingerprint;
use crate::names::{base, is_picture, last_parts, tail};
use crate::store::{FileStore, Part};
use crate::{Dataset, Error, Labels, Result, Split};
pub use pairs::{Pair, VerificationPairs};

const NAME: &str = "lfw";
const VIEW_2: &str = "pairs.txt";
const VIEW_1_TRAIN: &str = "pairsDevTrain.txt";
const VIEW_1_TEST: &str = "pairsDevTest.txt";
/// Largest list of pairs in bytes; the published ones have 200 kB.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// LFW, open: names in memory, pictures on disk.
#[derive(Debug)]
pub struct Lfw {
    store: FileStore,
    /// Names of people, sorted.
    people: Vec<String>,
    pictures: Vec<Picture>,
    /// Lists of pairs: name of the file and its text.
    lists: Vec<(&'static str, String)>,
    fingerprint: String,
}

#[derive(Debug)]
struct Picture {
    /// Name in the store.
    file: String,
    /// Number of the picture among those of the person.
    number: u32,
    person: u32,
}

impl Picture {
    /// `Name_Surname/Name_Surname_0001.jpg`.
    fn key(&self) -> &str {
        tail(&self.file, 2)
    }
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
        let picture = |file: &&str| Picture {
            file: (*file).to_owned(),
            number: picture_of(file).expect("only pictures were kept"),
            person: people.partition_point(|person| person.as_str() < person_of(file)) as u32,
        };
        let pictures = files.iter().map(picture).collect();
        let lists = read_lists(&store)?;
        let mut lfw = Self { store, people, pictures, lists, fingerprint: String::new() };
        let hash = Fingerprint::new(NAME).dataset(&lfw);
        let lengths: HashMap<_, _> = lfw.store.files().into_iter().collect();
        let pictures = lfw.pictures.iter().map(|picture| lengths[picture.file.as_str()]);
        lfw.fingerprint = pictures.fold(hash, Fingerprint::number).hex();
        Ok(lfw)
    }

    /// View 2: the folds of `pairs.txt`, for reports. Pictures are indices into [`Split::Test`].
    ///
    /// # Errors
    /// [`Error::Layout`] where there is no such file, [`Error::Table`] where a line cannot be read
    /// or names a picture that is not there.
    pub fn pairs(&self) -> Result<VerificationPairs> {
        let missing = || {
            let expected = format!("{VIEW_2} in it or beside it");
            Error::layout(NAME, self.store.root(), expected, "no such file")
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
        &self.people
    }

    fn list(&self, file: &'static str) -> Result<Option<VerificationPairs>> {
        let Some((_, text)) = self.lists.iter().find(|(name, _)| *name == file) else {
            return Ok(None);
        };
        let index: HashMap<(&str, u32), usize> = self
            .pictures
            .iter()
            .enumerate()
            .map(|(i, picture)| ((person_of(&picture.file), picture.number), i))
            .collect();
        pairs::parse(file, text, &|name, number| index.get(&(name, number)).copied()).map(Some)
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
        let bytes = match inside.min_by_key(|name| name.split('/').count()) {
            Some(name) => store.read(name, MAX_TEXT_BYTES)?,
            None => {
                let Some(beside) = store.root().parent().map(|parent| parent.join(list)) else {
                    continue;
                };
                match fs::metadata(&beside) {
                    Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_TEXT_BYTES => {
                        fs::read(&beside).map_err(Error::io(&beside))?
                    }
                    _ => continue,
                }
            }
        };
        lists.push((list, String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(lists)
}

impl Dataset for Lfw {
    fn name(&self) -> &str {
        NAME
    }

    fn len(&self, split: Split) -> usize {
        if split == Split::Test { self.pictures.len() } else { 0 }
    }

    fn key(&self, split: Split, index: usize) -> String {
        assert_eq!(split, Split::Test, "only `test` holds pictures");
        self.pictures[index].key().to_owned()
    }

    /// The person in every picture.
    fn labels(&self, split: Split) -> Labels {
        let labels = self.pictures[..self.len(split)].iter().map(|picture| picture.person);
        Labels::Classes { names: self.people.clone(), labels: labels.collect() }
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        let pictures = &self.pictures[..self.len(split)];
        Some(pictures.iter().map(|picture| u64::from(picture.person)).collect())
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let picture = &self.pictures[index];
        self.store.picture(&picture.file, picture.key())
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stamp(&self) -> String {
        Fingerprint::new(&self.fingerprint).fact(self.store.stamp().as_bytes()).hex()
    }

    fn split_hint(&self) -> String {
        "; all pictures of lfw are `test`".to_owned()
    }
}
