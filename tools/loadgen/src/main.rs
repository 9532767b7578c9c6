//! A cheap engine, a load generator for token streams, the benchmark that puts a relay between them, and the
//! checks of what the server keeps when it is killed.
//!
//! The product's promise is a small cost per relayed token. Only a tool that is itself much cheaper than
//! what it measures, and that measures a known relay beside ours in the same run, can check that promise.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its terminal")]

mod accept;
mod chaos;
mod cli;
mod engine;
mod flood;
mod idle;
mod limits;
mod load;
mod relay;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
