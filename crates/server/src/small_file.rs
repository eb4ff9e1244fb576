//! Reads small files.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The content of a file of at most `max_bytes`.
///
/// # Errors
/// `InvalidInput` if it is no regular file, `FileTooLarge` if it is larger, otherwise the error of the operating
/// system.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("it has more than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}
