//! Omniglot in its published layout: `images_background` and `images_evaluation`, unopened zips or
//! folders, each `Alphabet/characterNN/NNNN_MM.png`.
//!
//! Lake, Salakhutdinov and Tenenbaum, Human-level concept learning through probabilistic program
//! induction, Science 350, 2015. A class is a character of an alphabet. No alphabet is in two
//! splits: the evaluation set is `test`; of the background set's alphabets in sorted order the last
//! sixth (5 of 30) is `valid` and the rest `train`.
//!
//! Pictures are as published, black ink on white, 105×105, repeated to three channels; the network
//! sees them so. Work on ink (255 - value) may invert before or after resizing, which is linear. A
//! nearest centroid after centring and L2 normalisation need not: inversion changes the sign of
//! every centred feature, and of no distance.

mod runs;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::names::{is_picture, last_parts, tail};
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::store::{FileStore, Part};
use crate::{Error, Result, Split};
pub use runs::{OneShotRun, OneShotRuns};

const NAME: &str = "omniglot";
const BACKGROUND: &str = "images_background";
const EVALUATION: &str = "images_evaluation";
/// One background alphabet in this many is for validation.
const HELD_OUT: usize = 6;

/// Omniglot, open: names in memory, pictures on disk.
#[derive(Debug)]
pub struct Omniglot {
    pictures: Pictures,
}

impl Omniglot {
    /// Opens a folder that holds `images_background` and `images_evaluation`, each a folder or
    /// still a zip, or one archive of both. One of the two may be missing; its splits are then
    /// empty.
    ///
    /// # Errors
    /// [`Error::Layout`] where both are missing or a character is there twice, [`Error::Archive`].
    pub fn open(root: &Path) -> Result<Self> {
        let wanted = |name: &str| set_of(name).is_some();
        let background = Part {
            what: BACKGROUND,
            holds: &|name| set_of(name) == Some(BACKGROUND),
            archive: &|stem| stem == BACKGROUND,
        };
        let evaluation = Part {
            what: EVALUATION,
            holds: &|name| set_of(name) == Some(EVALUATION),
            archive: &|stem| stem == EVALUATION,
        };
        let store = FileStore::open_parts(NAME, root, &wanted, &[background, evaluation])?;
        let mut files: Vec<String> =
            store.files().into_iter().map(|(name, _)| name.to_owned()).collect();
        files.sort_by(|a, b| tail(a, 4).cmp(tail(b, 4)));
        if files.is_empty() {
            let expected = format!("{BACKGROUND} and {EVALUATION}, folders or zips");
            return Err(Error::layout(NAME, store.root(), expected, "neither"));
        }
        if let Some(twice) = files.windows(2).find(|pair| tail(&pair[0], 4) == tail(&pair[1], 4)) {
            let found = format!("{} and {}", twice[0], twice[1]);
            return Err(Error::layout(NAME, store.root(), "every character once", found));
        }
        let (classes, splits) = deal(files);
        let pictures = Pictures::new(store, splits, Some(classes));
        let lengths = pictures.lengths();
        Ok(Self { pictures }.identified(NAME, lengths))
    }
}

/// `images_background` or `images_evaluation`, for a picture of it.
fn set_of(name: &str) -> Option<&'static str> {
    let [set, _alphabet, _character, _file] = last_parts(name)?;
    let set = [BACKGROUND, EVALUATION].into_iter().find(|&known| known == set);
    set.filter(|_| is_picture(name))
}

/// `Alphabet/characterNN` of a picture.
fn class_of(file: &str) -> String {
    let [alphabet, character, _file] = last_parts(file).expect("only names of four parts are read");
    format!("{alphabet}/{character}")
}

fn alphabet_of(file: &str) -> &str {
    let [alphabet, _character, _file] =
        last_parts(file).expect("only names of four parts are read");
    alphabet
}

/// Names `Alphabet/characterNN` of all classes in sorted order, and the pictures of every split.
/// Their keys are `images_background/Alphabet/characterNN/NNNN_MM.png`.
fn deal(files: Vec<String>) -> (Vec<String>, [Vec<Picture>; 3]) {
    let mut classes: Vec<String> = files.iter().map(|file| class_of(file)).collect();
    classes.sort();
    classes.dedup();
    let background = |file: &&String| set_of(file) == Some(BACKGROUND);
    let alphabets = files.iter().filter(background).map(|file| alphabet_of(file));
    let mut alphabets: Vec<String> = alphabets.map(str::to_owned).collect();
    alphabets.sort();
    alphabets.dedup();
    let held_out = alphabets.split_off(alphabets.len() - alphabets.len() / HELD_OUT);
    let mut splits: [Vec<Picture>; 3] = Default::default();
    for file in files {
        let split = if !background(&&file) {
            Split::Test
        } else if held_out.iter().any(|alphabet| alphabet == alphabet_of(&file)) {
            Split::Valid
        } else {
            Split::Train
        };
        let label = classes.binary_search(&class_of(&file)).expect("all were collected above");
        splits[split.position()].push(Picture::new(&file, tail(&file, 4), label as u32));
    }
    (classes, splits)
}

impl FileDataset for Omniglot {
    fn title(&self) -> &str {
        NAME
    }

    fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    fn pictures_mut(&mut self) -> &mut Pictures {
        &mut self.pictures
    }

    fn hint(&self) -> String {
        let root = self.pictures.store.root().display();
        format!(
            "in {root}; train and valid are of {BACKGROUND} (6 alphabets and more), test is \
             {EVALUATION}"
        )
    }
}
