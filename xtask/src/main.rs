//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! They are a Rust program rather than shell scripts so that a developer and CI run the same list, on every
//! platform, under the same lints as the product.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its terminal")]

mod arch;
mod bench;
mod chaos;
mod client;
mod commands;
mod dev_loop;
mod fuzz;
mod interrupt;
mod live;
mod process;
mod quickstart;
mod regen;
mod schemathesis;
mod server;
mod setup;
mod simulate;
mod tidy;
mod verdict;
mod workspace;

use std::process::ExitCode;

use verdict::Verdict;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match commands::dispatch(&arguments) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            // A machine that lacks something is another matter than work that is wrong.
            if error.is::<setup::Lacking>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
