//! What bytes are that were taken for something else.

/// Files by what they start with.
const KNOWN: [(&[u8], &str); 17] = [
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"BZh", "a bzip2 file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"\x1f\x9d", "a file of `compress` (.Z)"),
    (b"LZIP", "an lzip file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\x93NUMPY", "a numpy array"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer, for which `git lfs pull` brings the file"),
];

/// Says what a file is, by its first bytes: of a format that is not read, of none at all, or what a
/// download leaves that failed. For messages, after `found`.
///
/// ```
/// assert_eq!(vdvae_io::describe(b""), "an empty file");
/// assert_eq!(vdvae_io::describe(b"\0\0\0\x1cftypavif"), "an AVIF picture");
/// assert_eq!(vdvae_io::describe(b"abcdef"), "bytes [61, 62, 63, 64]");
/// ```
pub fn describe(start: &[u8]) -> String {
    match recognise(start) {
        Some(what) => what.to_owned(),
        None => format!("bytes {:02x?}", &start[..start.len().min(4)]),
    }
}

/// As [`describe`], where it is known.
pub fn recognise(start: &[u8]) -> Option<&'static str> {
    if start.is_empty() {
        return Some("an empty file");
    }
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what);
    known.or_else(|| of_container(start)).or_else(|| of_text(start))
}

/// Pictures in the container of MPEG-4.
fn of_container(start: &[u8]) -> Option<&'static str> {
    match start.get(4..12)? {
        b"ftypavif" | b"ftypavis" => Some("an AVIF picture"),
        [b'f', b't', b'y', b'p', b'h', b'e', ..] | b"ftypmif1" | b"ftypmsf1" => {
            Some("a HEIC picture")
        }
        _ => None,
    }
}

fn of_text(start: &[u8]) -> Option<&'static str> {
    let start = &start[..start.len().min(1024)];
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let lower = start.to_ascii_lowercase();
    let holds = |tag: &[u8]| lower.windows(tag.len()).any(|window| window == tag);
    match lower.first() {
        Some(b'<') if holds(b"<svg") => Some("an SVG drawing"),
        Some(b'<') if holds(b"<html") || holds(b"<!doctype html") => {
            Some("an HTML page, which is what a failed download leaves")
        }
        Some(b'<') if holds(b"<error>") => {
            Some("a server's error in XML, which is what a failed download leaves")
        }
        Some(b'{') if std::str::from_utf8(start).is_ok() => Some("JSON text"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let cases: [(&[u8], &str); 11] = [
            (b"<!DOCTYPE html><html><title>Quota exceeded</title></html>", "an HTML page"),
            (b"\xef\xbb\xbf\n<HTML lang=en>", "an HTML page"),
            (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "an SVG drawing"),
            (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code>", "a server's error"),
            (b"{\"message\": \"Not Found\"}", "JSON text"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
            (b"\0\0\0\x18ftypheic\0\0", "a HEIC picture"),
            (b"\0\0\0\x18ftypmp42\0\0", "bytes [00, 00, 00, 18]"),
            (b"<p>text", "bytes [3c, 70, 3e, 74]"),
            (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
            (b"a", "bytes [61]"),
        ];
        for (bytes, expected) in cases {
            assert!(describe(bytes).starts_with(expected), "{}", describe(bytes));
        }
    }
}
