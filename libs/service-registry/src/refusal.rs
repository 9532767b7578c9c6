//! Why the registry takes something not in.

use std::time::Duration;

use pool_registry_types::Fault;
use thiserror::Error;

/// Why what a node said is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody registered under this name, or only an earlier life of the node did: it must register.
    #[error("the node is not registered")]
    Unknown,
    /// A field holds what it may not.
    #[error(transparent)]
    Malformed(Fault),
    /// It is no later than what was taken in before. It changed nothing, and it is counted.
    #[error("the message is older than what the node has said since")]
    Stale,
    /// Another machine has the node's name.
    #[error("another machine is registered under this name")]
    OtherOwner,
    /// The node said impossible things too often.
    #[error("the node is in quarantine")]
    Quarantined {
        /// Until it may register again.
        wait: Duration,
    },
    /// There are as many nodes as there may be.
    #[error("there is no room for another node")]
    Full,
    /// A field names an address that the node does not have, or that nobody may be led to.
    #[error(transparent)]
    EndpointRefused(Fault),
}
