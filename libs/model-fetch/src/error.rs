//! Why a download ended without a file.

use std::{io, net::IpAddr, time::Duration};

use thiserror::Error;

use crate::{digest::Digest, policy::Refused};

/// Why a download ended. The messages name hosts, and neither paths nor queries, which may hold secrets.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The URL is none that is downloaded from.
    #[error("the url {0}")]
    Url(&'static str),
    /// The policy refuses the URL, or the URL that a redirect leads to.
    #[error("a download from {host} is not allowed: {why}")]
    Refused {
        /// Where it would go.
        host: String,
        /// What the policy said.
        why: Refused,
    },
    /// The policy refuses every address that the name stands for.
    #[error("{host} stands for {addr}, to which no connection is allowed")]
    Address {
        /// The name.
        host: String,
        /// The first of the refused addresses.
        addr: IpAddr,
    },
    /// The name stands for no address.
    #[error("{host} cannot be resolved")]
    Unresolved {
        /// The name.
        host: String,
    },
    /// No connection came about, or its certificate is not trusted.
    #[error("no connection to {host}: {source}")]
    Connect {
        /// Where to.
        host: String,
        /// How it failed.
        source: io::Error,
    },
    /// The server sends elsewhere, where the caller did not allow to follow.
    #[error("the server redirects to {host}, which is not among the allowed hosts")]
    Redirected {
        /// Where it sends.
        host: String,
    },
    /// The server sends from place to place.
    #[error("the server redirects more than {most} times")]
    RedirectedTooOften {
        /// How many hops are followed.
        most: usize,
    },
    /// The server does not give the file out.
    #[error("{host} answers with status {status}")]
    Status {
        /// The server.
        host: String,
        /// The status code.
        status: u16,
    },
    /// The file is larger than the caller allows.
    #[error("the file has {bytes} bytes or more, and at most {most} are allowed")]
    TooLarge {
        /// How many it has at least.
        bytes: u64,
        /// The bound.
        most: u64,
    },
    /// Nobody said how long the file is or which digest it has, so its end could not be told from a loss.
    #[error("the server does not say how long the file is, and no digest is expected")]
    NoLength,
    /// The server packed the file although it was asked not to.
    #[error("the server sends the file in the encoding {0:?}")]
    Encoded(String),
    /// The connection broke in the middle, too often.
    #[error("the connection to {host} broke: {what}")]
    Broken {
        /// The server.
        host: String,
        /// What happened.
        what: String,
    },
    /// The server said nothing for too long, too often.
    #[error("{host} was silent for {} ms", after.as_millis())]
    Silent {
        /// The server.
        host: String,
        /// For how long.
        after: Duration,
    },
    /// The server changed the file or sent another part than was asked for, too often.
    #[error("{host} does not continue the file that it began")]
    Changed {
        /// The server.
        host: String,
    },
    /// What came is not what was expected. It is removed.
    #[error("the file has the digest {found}, and {expected} was expected")]
    DigestMismatch {
        /// The digest that the caller gave.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// Another download of the same URL into the same folder is under way.
    #[error("this file is being downloaded already")]
    InProgress,
    /// The caller cancelled. What came so far is kept for the next time.
    #[error("the download was cancelled")]
    Cancelled,
    /// The disk is full. What came so far is kept for the next time.
    #[error("the disk is full")]
    Full,
    /// The file system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl FetchError {
    /// The error for a failed call, which tells a full disk from the rest.
    pub(crate) fn io(what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { what, source },
        }
    }

    /// Whether a later try may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unresolved { .. } | Self::Broken { .. } | Self::Silent { .. } | Self::Changed { .. } => {
                true
            }
            // A certificate that is not trusted now is not trusted in a second.
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_is_asked_again_and_one_that_refuses_is_not() {
        let may_pass = |status| FetchError::Status { host: "h".to_owned(), status }.may_pass();
        assert!([408, 429, 500, 503].into_iter().all(may_pass));
        assert!(![400, 401, 403, 404, 410, 204].into_iter().any(may_pass));
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(FetchError::io("it failed", full), FetchError::Full));
        let other = FetchError::io("the file could not be written", io::Error::other("worn out"));
        assert_eq!(other.to_string(), "the file could not be written: worn out");
    }
}
