//! The process itself: its limits and its threads.

use std::{num::NonZeroUsize, thread::available_parallelism};

use http_server::Workers;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tracing::warn;

/// Each stream costs a descriptor, each relayed one two: what the system allows is taken.
pub fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files could not be raised");
    }
}

/// Runs `serve` with one thread for what the server does by itself; connections, and all that is done for them, have
/// one for each processor.
///
/// # Errors
/// As `serve`, or when the system has no threads.
pub fn on_threads(serve: impl AsyncFnOnce(&Workers) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let workers = Workers::start(available_parallelism().unwrap_or(NonZeroUsize::MIN))?;
    let served = Builder::new_current_thread().enable_all().build()?.block_on(serve(&workers));
    workers.stop();
    served
}
