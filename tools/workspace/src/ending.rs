//! How a tool that looks for problems ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its terminal")]

use std::process::ExitCode;

use anyhow::Result;

/// Tells every problem on a line of its own, or why none could be looked for. Only without either all is well.
pub fn ending(found: Result<Vec<String>>) -> ExitCode {
    match found {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in &problems {
                println!("{problem}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
