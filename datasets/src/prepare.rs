//! From a picture of any size to the square the network sees.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::{Error, Result};

/// Largest side of a prepared picture, in pixels.
pub const MAX_SIZE: usize = 8192;

/// What is cut from a picture before it is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Crop {
    /// The largest central square (an odd remainder goes to the right and the bottom).
    #[default]
    Square,
    /// Nothing: the whole picture is stretched to the square.
    None,
}

/// How a picture is brought to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resize {
    /// Triangle filter whose support grows when shrinking, as Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// Cubic filter (a = -0.5) whose support grows when shrinking, as Pillow's `BICUBIC`.
    Bicubic,
    /// The nearest pixel, without antialiasing.
    Nearest,
}

macro_rules! named {
    ($type:ident, $what:literal, $expected:literal, $($variant:ident = $name:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(Error::UnknownName {
                        what: $what,
                        expected: $expected,
                        found: text.to_owned(),
                    }),
                }
            }
        }
    };
}
named!(Crop, "crop", "square, none", Square = "square", None = "none");
named!(
    Resize,
    "resize",
    "bilinear, bicubic, nearest",
    Bilinear = "bilinear",
    Bicubic = "bicubic",
    Nearest = "nearest"
);

/// How pictures are cut and resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preparation {
    /// Side of the prepared picture, in pixels.
    pub size: usize,
    /// What is cut first.
    pub crop: Crop,
    /// How the rest is resized.
    pub resize: Resize,
}

impl Preparation {
    /// Central square, antialiased bilinear, `size`×`size`.
    pub fn new(size: usize) -> Self {
        Self { size, crop: Crop::default(), resize: Resize::default() }
    }

    /// Fails where the size is 0 or above [`MAX_SIZE`].
    ///
    /// # Errors
    /// [`Error::Size`].
    pub fn validate(&self) -> Result<()> {
        if (1..=MAX_SIZE).contains(&self.size) {
            return Ok(());
        }
        Err(Error::Size { max: MAX_SIZE, found: self.size })
    }

    /// Prepares one picture of any size: `(H, W, 3)` → `(size, size, 3)`.
    ///
    /// # Errors
    /// [`Error::Size`].
    pub fn apply(&self, picture: &RgbImage) -> Result<RgbImage> {
        self.validate()?;
        let (width, height) = picture.dimensions();
        let (x, y, w, h) = match self.crop {
            Crop::None => (0, 0, width, height),
            Crop::Square => {
                let side = width.min(height);
                ((width - side) / 2, (height - side) / 2, side, side)
            }
        };
        let size = self.size as u32;
        let cut = imageops::crop_imm(picture, x, y, w, h);
        if (w, h) == (size, size) {
            return Ok(cut.to_image());
        }
        let filter = match self.resize {
            Resize::Bilinear => FilterType::Triangle,
            Resize::Bicubic => FilterType::CatmullRom,
            Resize::Nearest => FilterType::Nearest,
        };
        Ok(imageops::resize(&cut.to_image(), size, size, filter))
    }
}
