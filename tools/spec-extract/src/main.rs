//! Which code meets each requirement, and which test proves it, as files that a person can read.
//!
//! The ids in `.specs/` and the comments in the sources are written by hand, so they drift apart in silence: a test
//! is renamed, an id is mistyped, a requirement never gets its proof. This tool reads both sides, writes what it found
//! into `requirements/`, and with `--check` fails where the two do not meet.

mod cli;
mod feature;
mod item;
mod mark;
mod output;
mod requirement;
mod trace;
mod yaml;

use std::process::ExitCode;

fn main() -> ExitCode {
    tools_workspace::ending(cli::run())
}
