//! From a picture of any size to the square the network sees.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::resample::{CUBIC, TRIANGLE, resample};
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
    /// The central square of so many pixels, or the largest where there are fewer: the face alone
    /// in a picture of LFW, say.
    Centre(u32),
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

/// What is done with the orientation that a picture's file may state (EXIF): a photograph lies on
/// its side in the file, and the file says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exif {
    /// The picture is turned, and looks as people see it.
    #[default]
    Apply,
    /// Pixels stay as they are stored, as most loaders of this field read them.
    Ignore,
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

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Square => f.write_str("square"),
            Self::None => f.write_str("none"),
            Self::Centre(side) => write!(f, "{side}"),
        }
    }
}

impl FromStr for Crop {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "square" => Ok(Self::Square),
            "none" => Ok(Self::None),
            _ => match text.parse() {
                Ok(side) if side > 0 => Ok(Self::Centre(side)),
                _ => Err(Error::UnknownName {
                    what: "crop",
                    expected: "square, none, or a number of pixels",
                    found: text.to_owned(),
                }),
            },
        }
    }
}

named!(
    Resize,
    "resize",
    "bilinear, bicubic, nearest",
    Bilinear = "bilinear",
    Bicubic = "bicubic",
    Nearest = "nearest"
);

named!(Exif, "exif", "apply, ignore", Apply = "apply", Ignore = "ignore");

/// How pictures are turned, cut and resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preparation {
    /// Side of the prepared picture, in pixels.
    pub size: usize,
    /// Whether it is turned as its file says. Whoever decodes the file goes by it;
    /// [`Preparation::apply`] has pixels.
    pub exif: Exif,
    /// What is cut first.
    pub crop: Crop,
    /// How the rest is resized.
    pub resize: Resize,
}

impl Preparation {
    /// Upright, central square, antialiased bilinear, `size`×`size`.
    pub fn new(size: usize) -> Self {
        Self { size, exif: Exif::default(), crop: Crop::default(), resize: Resize::default() }
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
            Crop::Square | Crop::Centre(_) => {
                let most = if let Crop::Centre(side) = self.crop { side } else { u32::MAX };
                let side = width.min(height).min(most);
                ((width - side) / 2, (height - side) / 2, side, side)
            }
        };
        let filter = match self.resize {
            Resize::Bilinear => TRIANGLE,
            Resize::Bicubic => CUBIC,
            Resize::Nearest => return Ok(self.nearest(picture, [x, y, w, h])),
        };
        if width == 0 || height == 0 {
            return Ok(RgbImage::new(self.size as u32, self.size as u32));
        }
        if [w, h] == [self.size as u32; 2] {
            return Ok(imageops::crop_imm(picture, x, y, w, h).to_image());
        }
        Ok(resample(picture, [x, y, w, h].map(|side| side as usize), self.size, filter))
    }

    fn nearest(&self, picture: &RgbImage, [x, y, w, h]: [u32; 4]) -> RgbImage {
        let cut = imageops::crop_imm(picture, x, y, w, h).to_image();
        let size = self.size as u32;
        imageops::resize(&cut, size, size, FilterType::Nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 13×9, without any symmetry.
    fn picture() -> RgbImage {
        RgbImage::from_fn(13, 9, |x, y| {
            image::Rgb([0, 1, 2].map(|c| ((x * 37 + y * 91 + c * 53 + x * y * 7) % 256) as u8))
        })
    }

    // Pillow 13.0.0: Image.fromarray(a).crop((2, 0, 11, 9)).resize((4, 4), Image.BILINEAR | BICUBIC)
    // with a = (x*37 + y*91 + c*53 + x*y*7) % 256, shape (9, 13, 3).
    const BILINEAR: [u8; 48] = [
        123, 130, 141, 126, 140, 132, 110, 123, 142, 120, 126, 138, 138, 140, 138, 142, 136, 126,
        132, 128, 122, 128, 131, 129, 128, 134, 113, 140, 130, 120, 128, 139, 120, 133, 128, 104,
        131, 122, 155, 123, 126, 118, 127, 120, 130, 128, 119, 143,
    ];
    const BICUBIC: [u8; 48] = [
        122, 131, 142, 126, 138, 135, 110, 122, 140, 116, 126, 140, 137, 139, 139, 146, 137, 127,
        132, 125, 123, 130, 137, 128, 125, 136, 107, 146, 128, 123, 128, 142, 120, 136, 125, 97,
        133, 122, 158, 121, 122, 118, 125, 123, 128, 127, 118, 146,
    ];

    fn assert_close(found: &RgbImage, expected: &[u8]) {
        // Pillow rounds to 8 bits between its two passes, this crate once at the end.
        for (i, (&a, &b)) in found.as_raw().iter().zip(expected).enumerate() {
            assert!(a.abs_diff(b) <= 1, "value {i}: expected {b}, found {a}");
        }
        assert_eq!(found.as_raw().len(), expected.len());
    }

    #[test]
    fn resizing_agrees_with_pillow() {
        let bilinear = Preparation::new(4);
        assert_close(&bilinear.apply(&picture()).unwrap(), &BILINEAR);
        let bicubic = Preparation { resize: Resize::Bicubic, ..bilinear };
        assert_close(&bicubic.apply(&picture()).unwrap(), &BICUBIC);
    }

    #[test]
    fn the_central_square_keeps_its_orientation() {
        let wide = Preparation::new(9).apply(&picture()).unwrap();
        assert_eq!(wide.dimensions(), (9, 9));
        assert_eq!(wide.get_pixel(0, 0), picture().get_pixel(2, 0));
        assert_eq!(wide.get_pixel(8, 3), picture().get_pixel(10, 3));
        let tall = image::imageops::rotate90(&picture());
        let cut = Preparation::new(9).apply(&tall).unwrap();
        assert_eq!(cut.get_pixel(1, 0), tall.get_pixel(1, 2));
    }

    #[test]
    fn a_central_square_of_some_pixels_is_cut() {
        let picture = RgbImage::from_fn(10, 6, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let cut = |crop| Preparation { crop, ..Preparation::new(4) }.apply(&picture).unwrap();
        let centre = cut(Crop::Centre(4));
        assert_eq!((centre.get_pixel(0, 0).0, centre.get_pixel(3, 3).0), ([3, 1, 0], [6, 4, 0]));
        assert_eq!(cut(Crop::Centre(60)), cut(Crop::Square));
        assert_eq!("150".parse::<Crop>().unwrap(), Crop::Centre(150));
        assert_eq!(Crop::Centre(150).to_string(), "150");
        assert!("0".parse::<Crop>().is_err());
    }

    #[test]
    fn without_a_crop_the_whole_picture_is_used() {
        let prep =
            Preparation { crop: Crop::None, resize: Resize::Nearest, ..Preparation::new(13) };
        let stretched = prep.apply(&picture()).unwrap();
        assert_eq!(stretched.get_pixel(0, 0), picture().get_pixel(0, 0));
        assert_eq!(stretched.get_pixel(12, 12), picture().get_pixel(12, 8));
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for size in [0, MAX_SIZE + 1] {
            let text = Preparation::new(size).apply(&picture()).unwrap_err().to_string();
            assert_eq!(text, format!("picture size: expected 1 to 8192 pixels, found {size}"));
        }
    }

    #[test]
    fn names_round_trip() {
        for resize in [Resize::Bilinear, Resize::Bicubic, Resize::Nearest] {
            assert_eq!(resize.to_string().parse::<Resize>().unwrap(), resize);
        }
        assert_eq!("ignore".parse::<Exif>().unwrap(), Exif::Ignore);
        assert_eq!("none".parse::<Crop>().unwrap(), Crop::None);
        assert!("centre".parse::<Crop>().unwrap_err().to_string().contains("square, none"));
    }
}
