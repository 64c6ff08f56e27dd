//! The stream of numbers a face is drawn from.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::attributes::{Attribute, Traits};

/// Uniform numbers from a ChaCha stream, made without the `rand` crate's distributions so that
/// pictures never change with its version.
pub(super) struct Uniform(ChaCha8Rng);

impl Uniform {
    /// The stream of one picture of one person, or of the person where `picture` is `u64::MAX`.
    pub(super) fn new(seed: u64, person: u64, picture: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&person.to_le_bytes());
        key[16..24].copy_from_slice(&picture.to_le_bytes());
        key[24..].copy_from_slice(b"toyfaces");
        Self(ChaCha8Rng::from_seed(key))
    }

    /// In `[0, 1)`, with 24 bits.
    pub(super) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// In `[low, high)`.
    pub(super) fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// The key of a stream of its own.
    pub(super) fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.0.fill_bytes(&mut key);
        key
    }

    /// Sets every attribute that belongs (or not) to the person by its base rate.
    pub(super) fn draw(&mut self, traits: &mut Traits, of_person: bool) {
        for attribute in Attribute::ALL.into_iter().filter(|a| a.is_of_person() == of_person) {
            let number = self.unit();
            let rate = attribute.base_rate();
            let blond = attribute == Attribute::BlackHair && traits.has(Attribute::BlondHair);
            // Black hair is drawn among those who are not blond, at a rate that makes up for it.
            let rate = match attribute {
                Attribute::BlackHair => rate / (1.0 - Attribute::BlondHair.base_rate()),
                _ => rate,
            };
            traits.set(attribute, number < rate && !blond);
        }
    }
}
