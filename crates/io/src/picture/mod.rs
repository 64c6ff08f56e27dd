//! Pictures: decoded strictly, prepared for the network, laid out in grids.

mod decode;
mod foreign;
mod grid;
mod prepare;
mod read;
mod resample;
mod similarity;

pub use decode::{FORMATS, MAX_PICTURE_BYTES, decode_picture, to_rgb};
pub use foreign::{describe, recognise};
pub use grid::{Grid, write_png};
pub use prepare::{Crop, Exif, MAX_SIZE, Preparation, Resize};
pub use read::read_picture;
pub use similarity::{psnr, ssim};
