//! Files of operators, of a limited length: settings, keys, secrets.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file.
///
/// The limit holds for what is read and not for what the file system says: a pipe or a device has
/// no length.
///
/// # Errors
///
/// If it cannot be read, or is longer than `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let text = format!("it is longer than {} KiB", max >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Reads a whole file of text.
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8.
pub(crate) fn read_text(path: &Path, max: u64) -> io::Result<String> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    String::from_utf8(read(path, max)?).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_for_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x".repeat(1024)).unwrap();
        assert_eq!(read_text(&path, 1024).unwrap().len(), 1024);
        let refused = read(&path, 1023).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 1024).unwrap_err().to_string().contains("UTF-8"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_without_an_end_is_not_read_for_ever() {
        let refused = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(refused.to_string(), "it is longer than 1024 KiB");
    }
}
