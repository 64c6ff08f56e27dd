//! How a scene becomes a picture: focus, exposure, white balance, haze and the noise of a sensor.
//!
//! None of it says anything about the face. A representation has to see through it, as through the
//! same things in photographs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::canvas::Rgb;
use super::uniform::Uniform;

/// What a hazy picture fades to.
const HAZE: f32 = 0.55;

/// The camera of one picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Camera {
    /// Width of the edges of what is painted, in units of half the picture.
    pub(super) blur: f32,
    /// Exposure and white balance: a factor for each colour.
    gain: Rgb,
    /// Share of the contrast that is lost, in `[0, 1]`.
    haze: f32,
    /// Standard deviation of the noise of one value of a pixel.
    noise: f32,
    /// Where the noise comes from.
    grain: [u8; 32],
}

impl Camera {
    /// Sharp, well exposed and without noise.
    pub(super) const STUDIO: Self =
        Self { blur: 0.0, gain: [1.0; 3], haze: 0.0, noise: 0.0, grain: [0; 32] };

    pub(super) fn draw(uniform: &mut Uniform) -> Self {
        let exposure = uniform.within(0.5, 1.25);
        Self {
            blur: uniform.within(0.0, 0.09),
            gain: [0; 3].map(|_| exposure * uniform.within(0.8, 1.2)),
            haze: uniform.within(0.0, 0.3),
            noise: uniform.within(0.002, 0.02),
            grain: uniform.key(),
        }
    }

    /// Exposes the pixels, from left to right and from the top down.
    pub(super) fn expose(&self, pixels: &mut [Rgb]) {
        let mut grain = ChaCha8Rng::from_seed(self.grain);
        for pixel in pixels {
            for (value, gain) in pixel.iter_mut().zip(self.gain) {
                let exposed = *value * gain;
                let hazy = exposed + (HAZE - exposed) * self.haze;
                *value = hazy.min(1.0) + self.noise * normal(grain.next_u32());
            }
        }
    }
}

/// A nearly normal number, of mean 0 and variance 1: the sum of four uniform ones, which needs no
/// logarithm.
fn normal(bits: u32) -> f32 {
    // The standard deviation of a byte is that of 256 equally likely numbers.
    const DEVIATION: f32 = 73.9;
    let sum: u32 = bits.to_le_bytes().into_iter().map(u32::from).sum();
    (sum as f32 - 510.0) / (2.0 * DEVIATION)
}
