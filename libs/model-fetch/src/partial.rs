//! The file that grows while it is downloaded, and what is remembered about it.
//!
//! Beside `<key>.partial` lies `<key>.json`, which says how many bytes are surely on the disk and which
//! version of the file they belong to. Bytes beyond that number are not trusted after a crash.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    answer::{self, Known},
    digest::Digest,
    error::FetchError,
    fetch::Fetched,
    policy::host_of,
};

const NOTE_BYTES_MAX: u64 = 4096;
const READ_BYTES: usize = 1024 * 1024;
/// How many bytes may be written before they are flushed and noted.
const NOTE_EVERY_BYTES: u64 = 64 * 1024 * 1024;

/// What is remembered, as the file beside the partial one writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// For people. The query is left out, for it may hold a secret.
    from: String,
    etag: String,
    total: Option<u64>,
    /// How many bytes are flushed.
    bytes: u64,
}

/// A file that is not whole yet. While it is open, nobody else continues it.
#[derive(Debug)]
pub(crate) struct Partial {
    folder: PathBuf,
    key: String,
    from: String,
    file: File,
    hasher: Sha256,
    bytes: u64,
    unnoted: u64,
    known: Option<Known>,
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

fn unwritten(error: io::Error) -> FetchError {
    FetchError::io("the downloaded file could not be written", error)
}

impl Partial {
    /// Opens what an earlier download of `url` left in `folder`, or begins anew.
    pub(crate) fn open(folder: &Path, url: &Url, cancel: &CancellationToken) -> Result<Self, FetchError> {
        let key = Digest::of(url.as_str().as_bytes()).hex();
        let path = folder.join(format!("{key}.partial"));
        let opened = options().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| FetchError::io("the partial file could not be opened", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::InProgress),
            Err(TryLockError::Error(error)) => {
                return Err(FetchError::io("the partial file could not be locked", error));
            }
        }
        if !is_still(&path, &file) {
            return Err(FetchError::InProgress);
        }
        let from = format!("{}{}", host_of(url), url.path()).chars().take(1024).collect();
        let (folder, hasher) = (folder.to_owned(), Sha256::new());
        let mut partial = Self { folder, key, from, file, hasher, bytes: 0, unnoted: 0, known: None };
        partial.recover(cancel)?;
        Ok(partial)
    }

    /// Takes up what is surely on the disk, and hashes it again.
    //= ORCH-3417
    fn recover(&mut self, cancel: &CancellationToken) -> Result<(), FetchError> {
        let length = self.file.metadata().map_err(unwritten)?.len();
        let note = self.read_note().filter(|note| note.bytes > 0 && note.bytes <= length);
        let Some(note) = note else { return self.start_over() };
        self.file.set_len(note.bytes).map_err(unwritten)?;
        self.file.seek(SeekFrom::Start(0)).map_err(unwritten)?;
        (self.hasher, self.bytes) = hash(&self.file, cancel)?;
        if self.bytes != note.bytes {
            return self.start_over();
        }
        self.known = Some(Known { etag: note.etag, total: note.total });
        Ok(())
    }

    /// Forgets all bytes and the version they belong to.
    pub(crate) fn start_over(&mut self) -> Result<(), FetchError> {
        self.known = None;
        self.remove_note()?;
        self.file.set_len(0).map_err(unwritten)?;
        self.file.seek(SeekFrom::Start(0)).map_err(unwritten)?;
        (self.hasher, self.bytes, self.unnoted) = (Sha256::new(), 0, 0);
        Ok(())
    }

    /// How many bytes are here.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which version of the file they belong to, if it can be continued.
    pub(crate) fn known(&self) -> Option<Known> {
        self.known.clone()
    }

    /// Remembers which version the bytes belong to.
    pub(crate) fn belongs_to(&mut self, known: Option<Known>) {
        self.known = known;
    }

    /// Adds bytes at the end.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(data).map_err(unwritten)?;
        self.hasher.update(data);
        self.bytes += data.len() as u64;
        self.unnoted += data.len() as u64;
        if self.unnoted >= NOTE_EVERY_BYTES { self.note() } else { Ok(()) }
    }

    /// Flushes what is here and notes it down, so that a later download goes on from here.
    pub(crate) fn note(&mut self) -> Result<(), FetchError> {
        let Some(known) = self.known.clone().filter(|_| self.bytes > 0) else { return Ok(()) };
        let Known { etag, total } = known;
        let note = Note { from: self.from.clone(), etag, total, bytes: self.bytes };
        let text = serde_json::to_vec(&note).map_err(|error| unwritten(io::Error::other(error)))?;
        self.file.sync_data().map_err(unwritten)?;
        let fresh = self.folder.join(format!("{}.json.new", self.key));
        let mut file = options().write(true).create(true).truncate(true).open(&fresh).map_err(unwritten)?;
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(unwritten)?;
        fs::rename(&fresh, self.note_path()).map_err(unwritten)?;
        self.unnoted = 0;
        Ok(())
    }

    /// Gives the whole file its name.
    //= ORCH-3417
    pub(crate) fn finish(&mut self, expected: Option<Digest>) -> Result<Fetched, FetchError> {
        let found = Digest(self.hasher.clone().finalize().into());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.discard()?;
            return Err(FetchError::DigestMismatch { expected, found });
        }
        self.file.sync_all().map_err(unwritten)?;
        let path = self.folder.join(found.file_name());
        fs::rename(self.path(), &path).map_err(unwritten)?;
        self.remove_note()?;
        sync_folder(&self.folder)?;
        Ok(Fetched { path, digest: found, bytes: self.bytes })
    }

    /// Removes what is here.
    pub(crate) fn discard(&mut self) -> Result<(), FetchError> {
        self.start_over()?;
        remove(&self.path())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.partial", self.key))
    }

    fn note_path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key))
    }

    fn remove_note(&self) -> Result<(), FetchError> {
        remove(&self.note_path())
    }

    /// What was noted; nothing if it cannot be read or is none.
    fn read_note(&self) -> Option<Note> {
        let mut text = Vec::new();
        let file = options().open(self.note_path()).ok()?;
        file.take(NOTE_BYTES_MAX).read_to_end(&mut text).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        let is_sound = answer::is_strong(&note.etag) && note.total.is_none_or(|total| note.bytes <= total);
        is_sound.then_some(note)
    }
}

/// The file of this digest, if it is in `folder` and really has it. One that has not is removed.
pub(crate) fn existing(
    folder: &Path,
    digest: Digest,
    cancel: &CancellationToken,
) -> Result<Option<Fetched>, FetchError> {
    let path = folder.join(digest.file_name());
    let Ok(file) = options().open(&path) else { return Ok(None) };
    let (hasher, bytes) = hash(&file, cancel)?;
    if Digest(hasher.finalize().into()) == digest {
        return Ok(Some(Fetched { path, digest, bytes }));
    }
    remove(&path)?;
    Ok(None)
}

/// Whether `path` still leads to `file`. Between opening and locking, the download that held the lock may
/// have given the file its final name, and then it must not be touched.
fn is_still(path: &Path, file: &File) -> bool {
    let place = |info: io::Result<fs::Metadata>| info.ok().map(|info| (info.dev(), info.ino()));
    place(fs::symlink_metadata(path)).is_some_and(|found| Some(found) == place(file.metadata()))
}

fn hash(mut file: &File, cancel: &CancellationToken) -> Result<(Sha256, u64), FetchError> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher, bytes)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FetchError::io("the downloaded file could not be read", error)),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FetchError::io("a file could not be removed", error))
        }
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), FetchError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: fn() -> CancellationToken = CancellationToken::new;

    fn url() -> Url {
        "https://models.test/org/m.gguf?token=secret".parse().unwrap()
    }

    #[test]
    fn a_file_that_got_its_name_is_no_partial_file_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let (path, named) = (folder.path().join("a.partial"), folder.path().join("named"));
        let file = File::create(&path).unwrap();
        assert!(is_still(&path, &file));
        fs::rename(&path, &named).unwrap();
        assert!(!is_still(&path, &file));
        File::create(&path).unwrap();
        assert!(!is_still(&path, &file), "another file has the name");
    }

    #[test]
    fn a_note_holds_no_query() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = Partial::open(folder.path(), &url(), &NEVER()).unwrap();
        partial.belongs_to(Some(Known { etag: "\"a\"".to_owned(), total: Some(9) }));
        partial.write(b"abc").unwrap();
        partial.note().unwrap();
        let note = fs::read_to_string(partial.note_path()).unwrap();
        assert!(note.contains("models.test/org/m.gguf") && !note.contains("secret"), "{note}");
        drop(partial);
        let partial = Partial::open(folder.path(), &url(), &NEVER()).unwrap();
        assert_eq!((partial.bytes(), partial.known().unwrap().total), (3, Some(9)));
    }

    #[test]
    fn a_cancelled_reading_ends() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = NEVER();
        cancel.cancel();
        fs::write(folder.path().join(Digest::of(b"x").file_name()), b"x").unwrap();
        let ended = existing(folder.path(), Digest::of(b"x"), &cancel);
        assert!(matches!(ended, Err(FetchError::Cancelled)));
    }
}
