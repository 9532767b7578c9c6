//! What came of verifying a model.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    digest::Digest,
    roots::{CannotOpen, FileFacts},
};

/// What came of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// The file has the digest that it should have.
    Pass,
    /// Nothing speaks against the file, but something is not known of it.
    Warn(WarnReason),
    /// The model must not run from this file.
    Fail(FailReason),
}

/// What is not known. When several things are not, the first of this order is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WarnReason {
    /// Nobody said which digest the file should have. The one that it has was recorded, and from now on it
    /// must have that.
    #[error("no digest was given: the file's own was recorded")]
    NoDigest,
    /// The file's header tells nothing.
    #[error("the header tells nothing: {why}")]
    UnreadableHeader {
        /// What is wrong with it.
        why: String,
    },
    /// It is called by a name alone, so no file is known that could be read.
    #[error("the model is called by a name, and no file is known that could be verified")]
    NoFile,
    /// Its file is elsewhere and was not fetched.
    #[error("nothing was fetched: {why}")]
    NotFetched {
        /// What was in the way.
        why: String,
    },
    /// No signature was found valid, and the policy asks for none.
    #[error("no valid signature is known")]
    Unsigned,
}

/// What speaks against a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FailReason {
    /// It is another file than the one that was registered.
    #[error("the digest is {found} and should be {expected}")]
    Mismatch {
        /// The digest that it should have.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// There is no such file.
    #[error("the file does not exist")]
    Missing,
    /// It does not lie below a root.
    #[error("the file lies outside of the folders of models")]
    OutsideRoots,
    /// A symbolic link stands on the way to it.
    #[error("the file is reached through a symbolic link")]
    Symlink,
    /// It is a folder, a pipe, a socket or a device; or the reference names no file.
    #[error("there is no regular file")]
    NotAFile,
    /// Somebody wrote to it meanwhile.
    #[error("the file changed while it was read")]
    ChangedWhileRead,
    /// It ends before what its header promises.
    #[error("the file ends before what its header promises")]
    Truncated,
    /// The system could not read it.
    #[error("the file cannot be read: {what}")]
    Io {
        /// What the system said.
        what: String,
    },
}

impl WarnReason {
    /// The reason as one word, as records write it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoDigest => "no_digest",
            Self::UnreadableHeader { .. } => "unreadable_header",
            Self::NoFile => "no_file",
            Self::NotFetched { .. } => "not_fetched",
            Self::Unsigned => "unsigned",
        }
    }
}

impl FailReason {
    /// The reason as one word, as records write it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "mismatch",
            Self::Missing => "missing",
            Self::OutsideRoots => "outside_roots",
            Self::Symlink => "symlink",
            Self::NotAFile => "not_a_file",
            Self::ChangedWhileRead => "changed_while_read",
            Self::Truncated => "truncated",
            Self::Io { .. } => "io",
        }
    }
}

impl From<CannotOpen> for FailReason {
    fn from(refused: CannotOpen) -> Self {
        match refused {
            CannotOpen::NotAFileRef | CannotOpen::NotAFile => Self::NotAFile,
            CannotOpen::OutsideRoots => Self::OutsideRoots,
            CannotOpen::Missing => Self::Missing,
            CannotOpen::Symlink => Self::Symlink,
            CannotOpen::Io(kind) => Self::Io { what: kind.to_string() },
        }
    }
}

/// A verification that was made, as it is remembered with its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The digest that the file has, if it was read to its end.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The file that was read, if one was opened.
    #[serde(default)]
    pub facts: Option<FileFacts>,
    /// When it was made, in milliseconds since 1970, by the caller's clock.
    #[serde(default)]
    pub at_ms: u64,
}

impl Verification {
    /// Whether it speaks of the file that is there `now`: any change makes it stale.
    //= ORCH-3413
    pub fn is_current(&self, now: FileFacts) -> bool {
        self.facts == Some(now)
    }

    /// Whether it found something against the file.
    pub fn is_fail(&self) -> bool {
        matches!(self.outcome, Outcome::Fail(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: FileFacts = FileFacts { size_bytes: 7, mtime_ns: 8, inode: 9, device: 10 };

    fn verification(outcome: Outcome) -> Verification {
        Verification { outcome, digest: None, facts: Some(FACTS), at_ms: 1 }
    }

    //= ORCH-3413 type=test
    #[test]
    fn any_change_of_the_file_makes_a_verification_stale() {
        let made = verification(Outcome::Pass);
        assert!(made.is_current(FACTS));
        for now in [
            FileFacts { size_bytes: 0, ..FACTS },
            FileFacts { mtime_ns: 0, ..FACTS },
            FileFacts { inode: 0, ..FACTS },
            FileFacts { device: 0, ..FACTS },
        ] {
            assert!(!made.is_current(now), "{now:?}");
        }
        assert!(!Verification { facts: None, ..made }.is_current(FACTS));
    }

    #[test]
    fn every_outcome_reads_back_from_json() {
        let digest = Digest::new([1; 32]);
        for outcome in [
            Outcome::Pass,
            Outcome::Warn(WarnReason::NoDigest),
            Outcome::Warn(WarnReason::UnreadableHeader { why: "x".to_owned() }),
            Outcome::Warn(WarnReason::NoFile),
            Outcome::Warn(WarnReason::NotFetched { why: "x".to_owned() }),
            Outcome::Warn(WarnReason::Unsigned),
            Outcome::Fail(FailReason::Mismatch { expected: digest, found: Digest::new([2; 32]) }),
            Outcome::Fail(FailReason::Missing),
            Outcome::Fail(FailReason::Io { what: "x".to_owned() }),
        ] {
            let made = verification(outcome);
            let json = serde_json::to_string(&made).unwrap();
            assert_eq!(serde_json::from_str::<Verification>(&json).unwrap(), made, "{json}");
            let word = match &made.outcome {
                Outcome::Pass => "pass",
                Outcome::Warn(reason) => reason.as_str(),
                Outcome::Fail(reason) => reason.as_str(),
            };
            assert!(json.contains(&format!("\"{word}\"")), "{word} is not in {json}");
        }
        let oldest: Verification = serde_json::from_str(r#"{"outcome":"pass","later":1}"#).unwrap();
        assert_eq!(oldest, Verification { facts: None, at_ms: 0, ..verification(Outcome::Pass) });
    }

    #[test]
    fn a_file_that_cannot_be_opened_fails_for_the_same_reason() {
        for (refused, reason) in [
            (CannotOpen::NotAFileRef, FailReason::NotAFile),
            (CannotOpen::OutsideRoots, FailReason::OutsideRoots),
            (CannotOpen::Missing, FailReason::Missing),
            (CannotOpen::Symlink, FailReason::Symlink),
            (CannotOpen::NotAFile, FailReason::NotAFile),
        ] {
            assert_eq!(FailReason::from(refused), reason);
        }
        let denied = FailReason::from(CannotOpen::Io(std::io::ErrorKind::PermissionDenied));
        assert_eq!(denied.to_string(), "the file cannot be read: permission denied");
    }
}
