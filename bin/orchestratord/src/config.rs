//! The one room that reads the command line and the environment.
//!
//! It only hands them on. Everything else in the program receives a finished [`Config`].

use std::{env, ffi::OsString};

pub use command_line::ConfigError;
use command_line::Program;
use config_schema::Config;

const PROGRAM: Program = Program {
    name: "orchestratord",
    version: env!("CARGO_PKG_VERSION"),
    about: "The control plane of llama-orch: admits, queues, places and streams inference jobs.",
};

/// The configuration of this process.
///
/// # Errors
/// As [`load`].
pub fn from_process() -> Result<Config, ConfigError> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    load(env::args_os().skip(1), env::vars_os().map(|(name, value)| (lossy(name), lossy(value))))
}

/// The configuration that follows from these arguments (without the program's name) and variables.
///
/// # Errors
/// The answer to `--help` and `--version`, or every fault that there is.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    command_line::load(PROGRAM, args, env)
}

#[cfg(test)]
mod tests;
