//! Names of files in published layouts: parts between `/`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Endings of pictures that are read, in any case of letters.
const PICTURES: [&str; 14] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm",
    "pnm",
];

/// Endings of pictures that are not read.
const UNREADABLE: [&str; 18] = [
    "heic", "heif", "avif", "svg", "jxl", "jp2", "j2k", "psd", "ico", "tga", "exr", "hdr", "cr2",
    "nef", "arw", "dng", "raw", "dcm",
];

/// Folders and files that systems put beside people's own, without a dot at the start.
const OF_SYSTEMS: [&str; 7] = [
    "@eaDir",
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
];

/// The last part.
pub(crate) fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// What follows the last dot, in small letters, where it looks like the ending of a file's name:
/// up to five letters and digits, not digits alone.
pub(crate) fn ending(name: &str) -> Option<String> {
    let (stem, ending) = base(name).rsplit_once('.')?;
    let usual = (1..=5).contains(&ending.len())
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && ending.bytes().any(|byte| byte.is_ascii_alphabetic());
    (usual && !stem.is_empty()).then(|| ending.to_ascii_lowercase())
}

/// Whether a name ends as those of pictures do, and is not hidden.
pub(crate) fn is_picture(name: &str) -> bool {
    !is_hidden(base(name)) && ending(name).is_some_and(|end| PICTURES.contains(&&*end))
}

/// Whether an ending is that of pictures that are not read.
pub(crate) fn is_unreadable(ending: &str) -> bool {
    UNREADABLE.contains(&ending)
}

/// Whether bytes begin as the files of pictures do; those of netpbm, of two letters, are not told.
pub(crate) fn begins_as_picture(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => true,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => true,
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => true,
        _ => [&b"\x89PNG\r\n\x1a\n"[..], b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"]
            .iter()
            .any(|start| bytes.starts_with(start)),
    }
}

/// Whether one part of a name is hidden: it starts with a dot, as `.git` and the shadow files
/// `._a.png` of some archives do, or systems keep things there that are nobody's pictures.
pub(crate) fn is_hidden(part: &str) -> bool {
    part.starts_with('.') || OF_SYSTEMS.contains(&part)
}

/// A name up to and with its first hidden part, `None` where there is none.
pub(crate) fn hidden(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split('/') {
        end += part.len();
        if is_hidden(part) {
            return Some(&name[..end]);
        }
        end += 1;
    }
    None
}

/// The text of a name that a file system or an archive keeps as bytes: each part of it as UTF-8, or else
/// as Latin-1, where every byte is a character, so that names that differ stay different.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let part = |part| match std::str::from_utf8(part) {
        Ok(text) => text.to_owned(),
        Err(_) => part.iter().map(|&byte| char::from(byte)).collect(),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.split(|&byte| byte == b'/').map(part).collect::<Vec<_>>().join("/").into(),
    }
}

/// A name as all of this crate has it: relative, its parts between `/` (Windows writes `\` into
/// zips), none of them `.`, in Unicode's composed form (NFC; file systems of Apple decompose).
///
/// # Errors
/// What is expected in place of a name that leaves its root. Names are only ever looked up, never opened;
/// but one that climbs is a sign of bad intent.
pub(crate) fn clean(name: &str) -> Result<String, String> {
    let parts = || name.split(['/', '\\']).filter(|part| !matches!(*part, "" | "."));
    if name.starts_with(['/', '\\']) || parts().any(|part| part == "..") {
        return Err("a relative name without `..`".to_owned());
    }
    let clean = parts().collect::<Vec<_>>().join("/");
    Ok(if is_nfc(&clean) { clean } else { clean.nfc().collect() })
}

/// Names that differ in nothing but the case of letters, in groups of two and more.
pub(crate) fn alike<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Vec<&'a str>> {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    names.for_each(|name| alike.entry(name.to_lowercase()).or_default().push(name));
    alike.into_values().filter(|names| names.len() > 1).collect()
}

/// The last `N` parts, the first of them first; `None` where there are fewer.
pub(crate) fn last_parts<const N: usize>(name: &str) -> Option<[&str; N]> {
    let mut parts = [""; N];
    let mut from_the_end = name.rsplit('/');
    for part in parts.iter_mut().rev() {
        *part = from_the_end.next()?;
    }
    Some(parts)
}

/// The last `n` parts as they stand in the name, or all of it where there are fewer.
pub(crate) fn tail(name: &str, n: usize) -> &str {
    name.rmatch_indices('/').nth(n - 1).map_or(name, |(at, _)| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_the_end() {
        assert_eq!(base("a/b.png"), "b.png");
        assert_eq!(last_parts("a/b/c.png"), Some(["b", "c.png"]));
        assert_eq!(last_parts::<3>("b/c.png"), None);
        assert_eq!(tail("a/b/c.png", 2), "b/c.png");
        assert_eq!(tail("c.png", 2), "c.png");
    }

    #[test]
    fn pictures_are_known_by_their_endings() {
        for name in ["a/b.JPEG", "b.webp", "b.Tif", "b.jfif", "x.y.PGM", "b.gif", "b.bmp"] {
            assert!(is_picture(name), "{name}");
        }
        for name in ["a/._b.png", "png", ".png", "b.svg", "b.png.txt", "b.png_large", "a.png/b"] {
            assert!(!is_picture(name), "{name}");
        }
        assert_eq!(ending("a.b/c.TXT").as_deref(), Some("txt"));
        for name in ["a.b/c", "c.jpg_large", "c.2020", "c.jpg?w=2", ".txt"] {
            assert_eq!(ending(name), None, "{name}");
        }
    }

    #[test]
    fn hidden_parts_hide_what_is_below() {
        assert_eq!(hidden("a/.git/b/.c.png"), Some("a/.git"));
        assert_eq!(hidden("@eaDir/a.png"), Some("@eaDir"));
        assert_eq!(hidden("a/._b.png"), Some("a/._b.png"));
        assert_eq!(hidden("a/b.png"), None);
    }

    #[test]
    fn names_are_cleaned() {
        assert_eq!(clean("./a//b\\c.png").unwrap(), "a/b/c.png");
        assert_eq!(clean("cafe\u{301}/1.png").unwrap(), "caf\u{e9}/1.png");
        for name in ["/a.png", "\\a.png", "a/../b.png", "..\\b.png"] {
            assert!(clean(name).is_err(), "{name}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_stay_different() {
        assert_eq!(text("café/1.png".as_bytes()), "café/1.png");
        assert_eq!(text(b"caf\xe9/th\xc3\xa9.png"), "café/thé.png");
        assert_eq!(text(b"caf\xe8"), "cafè");
    }

    #[test]
    fn names_alike_are_found() {
        let names = ["Cat", "cat", "dog", "CAT"];
        assert_eq!(alike(names.into_iter()), [["Cat", "cat", "CAT"]]);
    }
}
