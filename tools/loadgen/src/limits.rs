//! What the kernel lets this process and its children have.

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors a process may have at once.
pub(crate) fn open_files_max() -> Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.1)
}

/// A thousand streams need more descriptors than the usual soft limit of 1024; children inherit this.
pub(crate) fn raise_open_files() -> Result<()> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
