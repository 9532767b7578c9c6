//! The process itself: its limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Each stream costs a descriptor, each relayed one two: what the system allows is taken.
pub fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files could not be raised");
    }
}
