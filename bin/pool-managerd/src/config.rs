//! The one room that reads the command line and the environment.
//!
//! It only hands them on: everything else in the program receives a finished [`ManagerConfig`], and the
//! [`Surroundings`] that other programs need.

use std::{env, ffi::OsString};

pub use command_line::ConfigError;
use command_line::Program;
use config_schema::ManagerConfig;

const PROGRAM: Program = Program {
    name: "pool-managerd",
    version: env!("CARGO_PKG_VERSION"),
    about: "The agent of a GPU node: starts engines, watches them, and tells the control plane.",
};

/// What the programs that the agent runs need of its own environment.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Where programs are looked for.
    pub path: OsString,
    /// The names of all variables.
    pub variables: Vec<String>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let variables = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        Self { path: env::var_os("PATH").unwrap_or_default(), variables }
    }
}

/// The arguments of this process, without its name.
pub fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os().skip(1)
}

/// The configuration of this process.
///
/// # Errors
/// As [`load`].
pub fn from_process() -> Result<ManagerConfig, ConfigError> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    load(arguments(), env::vars_os().map(|(name, value)| (lossy(name), lossy(value))))
}

/// The configuration that follows from these arguments (without the program's name) and variables.
///
/// # Errors
/// The answer to `--help` and `--version`, or every fault that there is.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<ManagerConfig, ConfigError> {
    command_line::load(PROGRAM, args, env)
}
