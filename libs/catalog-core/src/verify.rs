//! Reading a whole model file to learn whether it is the one it should be.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, Ordering},
};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    digest::Digest,
    header::{ModelMeta, UnreadableHeader, read_header},
    outcome::{FailReason, Outcome, Verification, WarnReason},
    roots::{CannotOpen, FileFacts},
};

/// So many bytes are read at once; between two reads a verification tells how far it is and may be canceled.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The bytes that were read.
    pub done_bytes: u64,
    /// The bytes of the file when it was begun.
    pub total_bytes: u64,
}

/// The verification was canceled before it came to an end, and tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the verification was canceled")]
pub struct Canceled;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What came of it.
    pub outcome: Outcome,
    /// The digest of what was read, if it was read to its end.
    pub digest: Option<Digest>,
    /// The file as it was before and after it was read.
    pub facts: Option<FileFacts>,
    /// What its header tells, unless the file failed.
    pub meta: Option<ModelMeta>,
}

impl Verified {
    /// The verification as it is remembered, made at `at_ms` milliseconds since 1970.
    pub fn at(&self, at_ms: u64) -> Verification {
        Verification { outcome: self.outcome.clone(), digest: self.digest, facts: self.facts, at_ms }
    }

    fn fail(reason: FailReason) -> Self {
        Self { outcome: Outcome::Fail(reason), digest: None, facts: None, meta: None }
    }
}

impl From<CannotOpen> for Verified {
    fn from(refused: CannotOpen) -> Self {
        Self::fail(refused.into())
    }
}

/// Reads `file` from its beginning to its end, wherever it stands, and holds its digest against `expected`.
///
/// It blocks for as long as the file takes to read; `on_progress` is called after each chunk.
///
/// # Errors
/// When `cancel` was set before the end. Everything else that can go wrong is an outcome.
//= ORCH-3413
pub fn verify(
    file: &File,
    expected: Option<Digest>,
    on_progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Verified, Canceled> {
    let mut watch = Watch { on_progress, cancel };
    let verified = FileFacts::of(file)
        .map_err(Stop::Io)
        .and_then(|before| read(file, before, expected, &mut watch))
        .or_else(|stop| match stop {
            Stop::Canceled => Err(Canceled),
            Stop::Io(error) => Ok(Verified::fail(FailReason::Io { what: error.kind().to_string() })),
        })?;
    Ok(verified)
}

struct Watch<'a> {
    on_progress: &'a mut dyn FnMut(Progress),
    cancel: &'a AtomicBool,
}

enum Stop {
    Canceled,
    Io(io::Error),
}

fn read(
    file: &File,
    before: FileFacts,
    expected: Option<Digest>,
    watch: &mut Watch<'_>,
) -> Result<Verified, Stop> {
    let (digest, read_bytes) = hash(file, before.size_bytes, watch)?;
    let header = read_header(FromStart { file, at: 0 }, before.size_bytes);
    let after = FileFacts::of(file).map_err(Stop::Io)?;
    if before != after || read_bytes != before.size_bytes {
        return Ok(Verified::fail(FailReason::ChangedWhileRead));
    }
    let outcome = judge(digest, expected, &header);
    let meta = header.ok().filter(|_| !matches!(outcome, Outcome::Fail(_)));
    Ok(Verified { outcome, digest: Some(digest), facts: Some(before), meta })
}

fn judge(found: Digest, expected: Option<Digest>, header: &Result<ModelMeta, UnreadableHeader>) -> Outcome {
    match (expected, header) {
        (Some(expected), _) if expected != found => Outcome::Fail(FailReason::Mismatch { expected, found }),
        (_, Err(UnreadableHeader::Truncated)) => Outcome::Fail(FailReason::Truncated),
        (None, _) => Outcome::Warn(WarnReason::NoDigest),
        (Some(_), Err(why)) => Outcome::Warn(WarnReason::UnreadableHeader { why: why.to_string() }),
        (Some(_), Ok(_)) => Outcome::Pass,
    }
}

/// The digest of the whole file, and its bytes. A file that grows is read no further than one chunk beyond
/// what it had, so reading comes to an end.
fn hash(file: &File, total_bytes: u64, watch: &mut Watch<'_>) -> Result<(Digest, u64), Stop> {
    let mut reader = FromStart { file, at: 0 };
    let chunk_bytes = usize::try_from(CHUNK_BYTES.min(total_bytes.saturating_add(1)));
    let mut chunk = vec![0; chunk_bytes.map_err(|_too_wide| Stop::Io(io::ErrorKind::OutOfMemory.into()))?];
    let mut hasher = Sha256::new();
    loop {
        if watch.cancel.load(Ordering::Relaxed) {
            return Err(Stop::Canceled);
        }
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => hasher.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::Io(error)),
        }
        (watch.on_progress)(Progress { done_bytes: reader.at, total_bytes });
        if reader.at > total_bytes {
            break;
        }
    }
    Ok((Digest::new(hasher.finalize().into()), reader.at))
}

/// Reads a file from its beginning without moving the place where others read it.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
