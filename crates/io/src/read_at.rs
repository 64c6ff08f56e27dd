//! Reading at an offset.

use std::fs::File;
use std::io;

/// Reads at an offset without moving a shared cursor, so that threads do not disturb each other.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
#[cfg(unix)]
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Reads at an offset; each call gives its own, so the cursor that Windows moves does not matter.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
#[cfg(windows)]
pub fn read_exact_at(file: &File, mut buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut offset = offset;
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}
