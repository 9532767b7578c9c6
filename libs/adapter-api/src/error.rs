//! How an engine fails, sorted by what the caller can do about it.

use std::time::Duration;

use thiserror::Error;

/// A failure of one piece of work, or of a probe.
///
/// Messages are ours or cut and cleaned engine text, which may quote the request: they are for the one who sent
/// it. A log gets [`AdapterError::kind`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdapterError {
    /// The engine says that the request itself is wrong. Trying elsewhere would not help.
    #[error("engine refused the request: {message}")]
    Refused {
        /// The engine's reason, at most 512 bytes.
        message: String,
    },
    /// The engine is sound but has no room now. Another replica may have.
    #[error("engine is busy")]
    Busy {
        /// What the engine asked us to wait, if it did.
        retry_after: Option<Duration>,
    },
    /// No connection, or the engine is still loading.
    #[error("engine is unreachable: {reason}")]
    Unreachable {
        /// Why, in our words.
        reason: String,
    },
    /// The engine answered something that its dialect does not allow.
    #[error("engine broke its protocol: {what}")]
    Protocol {
        /// What was wrong, in our words.
        what: String,
    },
    /// The engine reported a failure of its own while it worked.
    #[error("engine failed: {message}")]
    Failed {
        /// The engine's reason, at most 512 bytes.
        message: String,
    },
    /// The stream ended without its end marker: the engine or its connection died.
    #[error("engine was lost mid-stream")]
    Lost,
    /// Nothing came for too long.
    #[error("engine was silent for {waited:?} {phase}")]
    Silent {
        /// How long was waited.
        waited: Duration,
        /// Which wait it was.
        phase: SilencePhase,
    },
}

/// Which wait ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilencePhase {
    /// No token at all came in time.
    BeforeFirstToken,
    /// Tokens came, then none for too long.
    BetweenTokens,
    /// Tokens trickle, but the whole took too long.
    Overall,
}

impl std::fmt::Display for SilencePhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BeforeFirstToken => "before the first token",
            Self::BetweenTokens => "between tokens",
            Self::Overall => "overall",
        })
    }
}

impl AdapterError {
    /// What kind of failure it is, without a word of the engine's: those may quote the request or the answer,
    /// and a log must not.
    //= AUTH-1007
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "engine refused the request",
            Self::Busy { .. } => "engine is busy",
            Self::Unreachable { .. } => "engine is unreachable",
            Self::Protocol { .. } => "engine broke its protocol",
            Self::Failed { .. } => "engine failed",
            Self::Lost => "engine was lost mid-stream",
            Self::Silent { phase: SilencePhase::BeforeFirstToken, .. } => {
                "engine was silent before the first token"
            }
            Self::Silent { phase: SilencePhase::BetweenTokens, .. } => "engine was silent between tokens",
            Self::Silent { phase: SilencePhase::Overall, .. } => "engine took too long overall",
        }
    }

    /// Whether the same work may succeed on another replica.
    pub fn is_retriable(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}
