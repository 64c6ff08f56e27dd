//! One picture of a file.

use std::fs;
use std::path::Path;

use image::RgbImage;

use super::Exif;
use super::decode::{MAX_PICTURE_BYTES, decode_picture};
use crate::{Error, Result};

/// Reads a picture's file as data sets do: whole, or an error.
///
/// # Errors
/// [`Error::Picture`], with the path as its key, where it cannot be read or decoded.
pub fn read_picture(path: &Path, exif: Exif) -> Result<RgbImage> {
    let key = path.display().to_string();
    let fail = |reason: String| Error::Picture { key: key.clone(), reason };
    let length = fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if length > MAX_PICTURE_BYTES {
        return Err(fail(format!("expected at most {MAX_PICTURE_BYTES} bytes, found {length}")));
    }
    decode_picture(&key, &fs::read(path).map_err(|error| fail(error.to_string()))?, exif)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_png;

    #[test]
    fn whole_pictures_or_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let picture = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8, y as u8, 7]));
        write_png(&path, &picture).unwrap();
        assert_eq!(read_picture(&path, Exif::Apply).unwrap(), picture);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        for path in [path, folder.path().join("none.png"), folder.path().to_owned()] {
            let text = read_picture(&path, Exif::Apply).unwrap_err().to_string();
            assert!(text.starts_with(&format!("picture {}: ", path.display())), "{text}");
        }
    }
}
