//! How a store fails.

use thiserror::Error;

/// Why something was not written or not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// There is no room. Nothing was written; it may work later.
    #[error("the store has no room")]
    Full,
    /// It cannot be reached or is too busy. Nothing was written; it may work later.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
    },
    /// Nobody knows whether it was written. The same batch may be sent again: changes say what is to be, not
    /// what is to be added.
    #[error("the store did not say whether it wrote")]
    Unknown,
    /// What was read is not what was written.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// Where.
        what: String,
    },
    /// The store can no longer be trusted to keep what it is given. The process must end.
    #[error("the store failed for good: {reason}")]
    Fatal {
        /// What happened.
        reason: String,
    },
}
