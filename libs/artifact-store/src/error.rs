//! What can go wrong, and what is then still true.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

use crate::id::ArtifactId;

/// One of the bounds in [`crate::Limits`], as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitName {
    /// `artifact_bytes_max`.
    ArtifactBytes,
    /// `quota_bytes`.
    Quota,
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ArtifactBytes => "artifact_bytes_max",
            Self::Quota => "quota_bytes",
        })
    }
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Damage {
    /// It is a link, a folder or something else that holds no bytes.
    #[error("it is no regular file")]
    NotAFile,
    /// It does not begin as the files of this store do.
    #[error("it does not begin like an artifact")]
    Magic,
    /// A newer program wrote it. Such a file is left where it is.
    #[error("its format has version {0}, and this program reads version 1")]
    Version(u32),
    /// It is shorter or longer than its head says, or its head is too long.
    #[error("its length is not what its head says")]
    Length,
    /// Its head was changed.
    #[error("the checksum of its head does not match")]
    Checksum,
    /// Its head is intact and yet says nothing that can be understood.
    #[error("its head describes no artifact")]
    Meta,
    /// Its content was changed.
    #[error("the digest of its content is not its name")]
    Digest,
    /// The disk could not read it.
    #[error("the disk cannot read it")]
    Unreadable,
}

/// Why an operation did not happen. Unless it says otherwise, the store is as it was before.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The artifact alone is larger than a bound.
    #[error("the artifact has {bytes} bytes and {limit} is {most}")]
    TooLarge {
        /// Its bytes, with its head where that counts.
        bytes: u64,
        /// Which bound.
        limit: LimitName,
        /// The bound.
        most: u64,
    },
    /// The artifact would fit, if pinned artifacts did not fill the store.
    #[error("the artifact needs {bytes} bytes, and live jobs hold too much of quota_bytes = {quota}")]
    OverQuota {
        /// What it needs.
        bytes: u64,
        /// The bound for all.
        quota: u64,
    },
    /// The disk is full. Nothing that was stored is lost, and a later try may succeed.
    #[error("the disk that holds the artifacts is full")]
    Full,
    /// The file is not what was stored. It is set aside, and storing the content again heals it.
    #[error("artifact {id} is damaged: {why}")]
    Damaged {
        /// Which artifact.
        id: ArtifactId,
        /// What is wrong with it.
        why: Damage,
    },
    /// A live job needs it.
    #[error("artifact {id} is needed by a live job")]
    Pinned {
        /// Which artifact.
        id: ArtifactId,
    },
    /// There is no such artifact.
    #[error("there is no artifact {id}")]
    Unknown {
        /// Which artifact.
        id: ArtifactId,
    },
    /// One job pins more than it may.
    #[error("a job may pin at most {most} artifacts")]
    TooManyPins {
        /// How many it may.
        most: usize,
    },
    /// Another process, or another store of this one, has the folder open.
    #[error("the folder {} is in use by another store", folder.display())]
    InUse {
        /// Which folder.
        folder: PathBuf,
    },
    /// The file system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// How it failed.
        source: io::Error,
    },
}

impl ArtifactError {
    /// The error for a failed call, which tells a full disk from the rest.
    pub(crate) fn io(what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { what, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_full_disk_and_a_used_up_quota_of_the_disk_are_the_same_to_the_caller() {
        for errno in [Errno::ENOSPC, Errno::EDQUOT] {
            assert!(matches!(ArtifactError::io("it failed", errno.into()), ArtifactError::Full), "{errno}");
        }
        let other = ArtifactError::io("the file could not be written", Errno::EIO.into());
        assert!(other.to_string().starts_with("the file could not be written: "), "{other}");
    }
}
