//! Files that are either whole or not there, and their SHA-256.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

const CHUNK: usize = 256 * 1024;

/// Writes a small file at once.
pub(super) fn write(path: &Path, content: &str) -> Result<()> {
    receive(path, &mut content.as_bytes(), &hex(&Sha256::digest(content)), |_| {})
}

/// Writes what `from` gives, and puts the file in its place only when its SHA-256 is the expected one.
///
/// `seen` is told the number of bytes written so far.
pub(super) fn receive(
    path: &Path,
    from: &mut dyn Read,
    sha256: &str,
    mut seen: impl FnMut(u64),
) -> Result<()> {
    let partial = path.with_added_extension("partial");
    let mut file = File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let found = copy(from, sha256, |chunk, total| {
        seen(total);
        file.write_all(chunk)
    });
    let put = || -> Result<()> {
        found?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        Ok(())
    };
    put().or_else(|error| {
        // What is left of a failed attempt is of no use, and must not look like one.
        fs::remove_file(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
        Err(error.context(format!("cannot write {}", path.display())))
    })
}

/// Fails unless the file's SHA-256 is the expected one.
pub(super) fn verify(path: &Path, sha256: &str, mut seen: impl FnMut(u64)) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    copy(&mut file, sha256, |_, total| {
        seen(total);
        Ok(())
    })
    .with_context(|| format!("{} is not the expected file", path.display()))
}

fn copy(
    from: &mut dyn Read,
    sha256: &str,
    mut to: impl FnMut(&[u8], u64) -> std::io::Result<()>,
) -> Result<()> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        total += length as u64;
        to(&chunk[..length], total)?;
    }
    let found = hex(&hash.finalize());
    if found != sha256 {
        bail!("its SHA-256 is {found} ({total} bytes), expected {sha256}");
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the three bytes `abc`, from FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("setup-file-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn received_file_is_put_in_place_when_its_hash_is_right() {
        let folder = folder("right");
        let path = folder.join("a.gguf");
        let mut seen = 0;
        receive(&path, &mut &b"abc"[..], ABC, |total| seen = total).unwrap();
        assert_eq!((fs::read(&path).unwrap(), seen), (b"abc".to_vec(), 3));
        verify(&path, ABC, |_| {}).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn file_with_a_wrong_hash_leaves_nothing_and_keeps_the_old_one() {
        let folder = folder("wrong");
        let path = folder.join("a.gguf");
        write(&path, "old").unwrap();
        let error = format!("{:#}", receive(&path, &mut &b"abd"[..], ABC, |_| {}).unwrap_err());
        assert!(error.contains(ABC) && error.contains("a.gguf"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "the partial file is gone");
        assert!(verify(&path, ABC, |_| {}).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
