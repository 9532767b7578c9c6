//! The map of the crates in the root README, written from what the crates say of themselves.
//!
//! A table that is kept by hand forgets the crate that was added last. Each crate's README already begins with what
//! it is, and the table of floors with where it stands, so the map is put together from the two.

mod cli;
mod map;
mod page;
mod sentence;

use std::process::ExitCode;

fn main() -> ExitCode {
    tools_workspace::ending(cli::run())
}
