//! Omniglot in its published layout: `images_background` and `images_evaluation`, unopened zips or
//! folders, each `Alphabet/characterNN/NNNN_MM.png`.
//!
//! Lake, Salakhutdinov and Tenenbaum, Human-level concept learning through probabilistic program
//! induction, Science 350, 2015. A class is a character of an alphabet. No alphabet is in two
//! splits: the evaluation set is `test`; of the background set's alphabets in sorted order the last
//! sixth (5 of 30) is `valid` and the rest `train`. Where the background set is not there, the small
//! ones of five alphabets, `images_background_small1` and `…2`, take its place; they share pictures.
//!
//! Pictures are as published, black ink on white, 105×105, repeated to three channels; the network
//! sees them so. Work on ink (255 - value) may invert before or after resizing, which is linear. A
//! nearest centroid after centring and L2 normalisation need not: inversion changes the sign of
//! every centred feature, and of no distance.

mod runs;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;

use crate::names::{is_picture, last_parts, tail};
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::published::partial;
use crate::store::{FileStore, Part};
use crate::{Error, Result, Split};
pub use runs::{OneShotRun, OneShotRuns};

const NAME: &str = "omniglot";
const BACKGROUND: &str = "images_background";
const SMALL: [&str; 2] = ["images_background_small1", "images_background_small2"];
const EVALUATION: &str = "images_evaluation";
const SETS: [&str; 4] = [BACKGROUND, EVALUATION, SMALL[0], SMALL[1]];
/// Published pictures, 20 of each of 964 and of 659 characters.
const PUBLISHED: [usize; 2] = [19_280, 13_180];
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
        let holds = SETS.map(|set| move |name: &str| set_of(name) == Some(set));
        let archives = SETS.map(|set| move |stem: &str| stem == set);
        let parts = SETS.iter().zip(&holds).zip(&archives);
        let parts = parts.map(|((what, holds), archive)| Part { what, holds, archive });
        let parts: Vec<Part<'_>> = parts.collect();
        let store = FileStore::open_parts(NAME, root, &wanted, &parts)?;
        let (files, small) = files(&store)?;
        let (classes, splits) = deal(files);
        let [train, valid, test] = splits.each_ref().map(Vec::len);
        let mut pictures = Pictures::new(store, splits, Some(classes));
        let background = (train + valid, PUBLISHED[0], "background pictures");
        let evaluation = (test, PUBLISHED[1], "evaluation pictures");
        pictures.remarks = match small {
            Some(remark) => [vec![remark], partial(&[evaluation])].concat(),
            None => partial(&[background, evaluation]),
        };
        let lengths = pictures.lengths();
        Ok(Self { pictures }.identified(NAME, lengths))
    }
}

/// Pictures in the order of their keys, each once; and a remark where small background sets take the
/// place of the large one, whose pictures they have.
fn files(store: &FileStore) -> Result<(Vec<String>, Option<String>)> {
    let mut files: Vec<String> =
        store.files().into_iter().map(|(name, _)| name.to_owned()).collect();
    if files.is_empty() {
        let expected = format!("{BACKGROUND} and {EVALUATION}, folders or zips");
        return Err(Error::layout(NAME, store.root(), expected, "neither"));
    }
    let mut remark = None;
    if files.iter().any(|file| set_of(file) == Some(BACKGROUND)) {
        files.retain(|file| !is_small(file));
    } else if files.iter().any(|file| is_small(file)) {
        let mut small: Vec<&str> = files.iter().filter_map(|file| set_of(file)).collect();
        small.retain(|set| SMALL.contains(set));
        small.sort_unstable();
        small.dedup();
        remark = Some(format!("{} in place of {BACKGROUND}", small.join(" and ")));
    }
    files.sort_by(|a, b| tail(a, 4).cmp(tail(b, 4)));
    if let Some(twice) = files.windows(2).find(|pair| tail(&pair[0], 4) == tail(&pair[1], 4)) {
        let found = format!("{} and {}", twice[0], twice[1]);
        return Err(Error::layout(NAME, store.root(), "every character once", found));
    }
    let mut seen = HashSet::new();
    files.retain(|file| !is_small(file) || seen.insert(tail(file, 3).to_owned()));
    Ok((files, remark))
}

/// The set that a picture is of.
fn set_of(name: &str) -> Option<&'static str> {
    let [set, _alphabet, _character, _file] = last_parts(name)?;
    let set = SETS.into_iter().find(|&known| known == set);
    set.filter(|_| is_picture(name))
}

fn is_small(file: &str) -> bool {
    set_of(file).is_some_and(|set| SMALL.contains(&set))
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
    let background = |file: &&String| set_of(file).is_some_and(|set| set != EVALUATION);
    let alphabets = files.iter().filter(background).map(|file| alphabet_of(file));
    let mut alphabets: Vec<String> = alphabets.map(str::to_owned).collect();
    alphabets.sort();
    alphabets.dedup();
    let small = files.iter().any(|file| is_small(file));
    let least = usize::from(small && alphabets.len() > 1);
    let held_out = (alphabets.len() / HELD_OUT).max(least);
    let held_out = alphabets.split_off(alphabets.len() - held_out);
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
