//! The process itself: its exit codes, its words before there is a log, its limits.

use std::{io::Write, process::ExitCode};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// The configuration is wrong (`EX_CONFIG` of `sysexits.h`).
pub const EXIT_CONFIG: u8 = 78;

/// Speaks before there is a log, or instead of one.
pub fn say(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    // When nobody can be told, the exit code still tells.
    drop(out.write_all(text.as_bytes()));
    code
}

/// Each stream costs a descriptor, each relayed one two: what the system allows is taken.
pub fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files could not be raised");
    }
}
