//! `toy-faces`: a renderer of simple faces whose truth is known, at any resolution.
//!
//! A picture is pure in (seed, index): a person is a vector of shapes, colours and attributes drawn
//! from one ChaCha stream; pose, light, expression, surroundings and camera come from another.
//! Splits are disjoint in identity. No download, no licence, and the same bytes on every platform.
//!
//! What varies without a label is there to be seen through, as in photographs: where the head is,
//! how large and how tilted, things in the background, exposure, white balance, haze, focus and
//! noise. Without it, nearly every attribute would be linear in a few hundred random features, and
//! the data set could not tell a trained network from an untrained one.

mod accessories;
mod attributes;
mod camera;
mod canvas;
mod clutter;
mod features;
mod person;
mod render;
#[cfg(test)]
mod tests;
mod uniform;

use image::RgbImage;

pub use attributes::Attribute;
use person::Face;

use crate::fingerprint::Fingerprint;
use crate::{Dataset, Labels, Result, Split};

const NAME: &str = "toy-faces";
/// Pictures of each person.
const PICTURES: usize = 20;
/// Distance between the numbers of the first person of two splits: a split can grow without
/// changing or meeting the next.
const SPLIT_STRIDE: u64 = 1 << 32;
/// Side of [`Dataset::image`], in pixels.
const OWN_SIZE: usize = 128;
/// Part of the fingerprint: raise it when what is drawn changes.
const VERSION: u64 = 3;

/// The built-in data set: 4000, 1000 and 2000 pictures, 20 of each person.
#[derive(Debug, Clone)]
pub struct ToyFaces {
    seed: u64,
    people: [usize; 3],
    studio: bool,
}

impl ToyFaces {
    /// People of train, valid and test in the standard sizes.
    pub const PEOPLE: [usize; 3] = [200, 50, 100];

    /// The standard sizes; another seed gives other people.
    pub fn new(seed: u64) -> Self {
        Self::with_people(seed, Self::PEOPLE)
    }

    /// As many people of train, valid and test as given, 20 pictures of each. The first people of
    /// a split are the same whatever its size.
    pub fn with_people(seed: u64, people: [usize; 3]) -> Self {
        Self { seed, people, studio: false }
    }

    /// The same people and labels, photographed in a studio: the head is upright in the middle, light
    /// and camera are good, stripes lie where they always do, and nothing stands around. What is hard
    /// to read in the usual pictures is easy here, so the difference is what nuisance costs.
    pub fn in_studio(self) -> Self {
        Self { studio: true, ..self }
    }

    /// Number of the person in a picture, different in every split.
    fn person(split: Split, index: usize) -> u64 {
        split.position() as u64 * SPLIT_STRIDE + (index / PICTURES) as u64
    }

    fn face(&self, split: Split, index: usize) -> Face {
        let face = Face::draw(self.seed, Self::person(split, index), (index % PICTURES) as u64);
        if self.studio { face.in_studio() } else { face }
    }
}

impl Dataset for ToyFaces {
    fn name(&self) -> &str {
        NAME
    }

    fn len(&self, split: Split) -> usize {
        self.people[split.position()] * PICTURES
    }

    fn key(&self, split: Split, index: usize) -> String {
        assert!(index < self.len(split), "index {index} of {} pictures", self.len(split));
        format!("{split}-{:05}-{:02}", index / PICTURES, index % PICTURES)
    }

    fn labels(&self, split: Split) -> Labels {
        let faces = (0..self.len(split)).map(|index| self.face(split, index));
        Labels::Binary {
            names: Attribute::ALL.map(|attribute| attribute.name().to_owned()).to_vec(),
            values: faces.flat_map(|face| face.traits.0.map(i8::from)).collect(),
        }
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        Some((0..self.len(split)).map(|index| Self::person(split, index)).collect())
    }

    /// The picture at 128×128.
    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        Ok(render::render(&self.face(split, index), OWN_SIZE))
    }

    fn render(&self, split: Split, index: usize, size: usize) -> Option<RgbImage> {
        (index < self.len(split)).then(|| render::render(&self.face(split, index), size))
    }

    fn fingerprint(&self) -> String {
        let hash =
            Fingerprint::new(NAME).number(VERSION).number(self.seed).number(self.studio.into());
        self.people.iter().fold(hash, |hash, &people| hash.number(people as u64)).hex()
    }
}
