//! The way from a program's arguments, variables and file to its configuration.
//!
//! It only carries: the names, the defaults, the help and the verdicts all come from the program's table in
//! `config-schema`. It is written once, so that every program of ours reads and refuses alike.
//!
//! Invariant: no value that may be a secret is repeated.
#![warn(missing_docs)]

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use clap::{
    Arg, ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use thiserror::Error;

use config_schema::{Fault, Form, Layers, Preset, Schema, Setting, Source};

/// A configuration or token file larger than this is some other file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// None was wanted: this is the answer to `--help` or `--version`, for standard output.
    #[error("{0}")]
    Answer(String),
    /// Something is wrong; all of it, one fault per line.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

/// What the help calls a program.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One line for the help.
    pub about: &'static str,
}

/// The configuration is wrong (`EX_CONFIG` of `sysexits.h`).
//= ORCH-3321
pub const EXIT_CONFIG: u8 = 78;

/// Speaks before there is a log, or instead of one.
pub fn say(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    // When nobody can be told, the exit code still tells.
    drop(out.write_all(text.as_bytes()));
    code
}

/// The configuration that follows from these arguments (without the program's name) and variables.
///
/// A variable whose value is not UTF-8 is best handed in with its bad parts replaced: it must not vanish, and
/// will not survive its check.
///
/// # Errors
/// The answer to `--help` and `--version`, or every fault that there is.
pub fn load<C: Schema>(
    program: Program,
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<C, ConfigError> {
    let command = command::<C>(program);
    let (known, mut flags) = set_unknown_apart(args, &command);
    let mut faults = Vec::new();
    match command.try_get_matches_from(known) {
        Ok(matches) => flags.extend(given::<C>(&matches)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Err(ConfigError::Answer(error.render().to_string()));
        }
        Err(error) => faults.push(fault_of(&error)),
    }
    let layers = Layers { flags, env: env.into_iter().collect(), open: &open };
    match C::resolve(&layers) {
        Ok(config) if faults.is_empty() => Ok(config),
        Ok(_) => Err(ConfigError::Faults(faults)),
        Err(more) => {
            faults.extend(more);
            Err(ConfigError::Faults(faults))
        }
    }
}

fn command<C: Schema>(program: Program) -> Command {
    let no_flag: Vec<_> =
        C::settings().iter().filter(|setting| setting.flag().is_none()).map(not_a_flag).collect();
    let after = format!(
        "A flag wins over the environment, the environment over the file, the file over the default.\n\
         Not as flags:\n{}",
        no_flag.join("\n")
    );
    Command::new(program.name)
        .version(program.version)
        .about(program.about)
        .after_help(after)
        .no_binary_name(true)
        .next_line_help(true)
        .args(C::settings().iter().filter_map(|setting| Some(arg(setting, setting.flag()?))))
}

fn arg<C>(setting: &'static Setting<C>, flag: String) -> Arg {
    let (Preset::Value(default) | Preset::Derived(default)) = setting.preset;
    let in_file = if setting.key == "config" { String::new() } else { format!(" [file: {}]", setting.key) };
    Arg::new(setting.key)
        .long(flag)
        .value_name(setting.form.syntax())
        .help(format!("{}\n[default: {default}] [env: {}]{in_file}", setting.meaning, setting.env))
        .help_heading(format!("{} settings", setting.group()))
        // `-1` is a value that is out of range, and the table says so better than "unexpected".
        .allow_negative_numbers(true)
        // `--repair` alone says yes.
        .num_args(if matches!(setting.form, Form::Truth) { 0..=1 } else { 1..=1 })
        .default_missing_value("true")
}

fn not_a_flag<C>(setting: &Setting<C>) -> String {
    let name = if setting.env.is_empty() { setting.form.syntax() } else { setting.env.to_owned() };
    format!("  {name}\n          {} [file: {}]", setting.meaning, setting.key)
}

/// Splits off the flags that nobody knows, each with its value. The parser would stop at the first of
/// them, repeat what may be a secret, and say nothing of the rest.
fn set_unknown_apart(
    args: impl IntoIterator<Item = OsString>,
    command: &Command,
) -> (Vec<OsString>, Vec<(String, String)>) {
    let is_known = |name: &str| {
        ["help", "version"].contains(&name) || command.get_arguments().any(|arg| arg.get_long() == Some(name))
    };
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let long = arg.to_str().and_then(|text| text.strip_prefix("--")).filter(|text| !text.is_empty());
        let Some(long) = long else {
            known.push(arg);
            continue;
        };
        match long.split_once('=') {
            Some((name, value)) if !is_known(name) => unknown.push((name.to_owned(), value.to_owned())),
            None if !is_known(long) => {
                let is_value = |next: &OsString| !next.to_string_lossy().starts_with('-');
                let value = args.next_if(is_value).unwrap_or_default();
                unknown.push((long.to_owned(), value.to_string_lossy().into_owned()));
            }
            _ => known.push(arg),
        }
    }
    (known, unknown)
}

fn given<C: Schema>(matches: &ArgMatches) -> impl Iterator<Item = (String, String)> {
    C::settings().iter().filter_map(|setting| {
        let flag = setting.flag()?;
        let value = matches.get_one::<String>(setting.key)?;
        Some((flag, value.clone()))
    })
}

/// What the parser did not like. Its own words would repeat the value.
fn fault_of(error: &clap::Error) -> Fault {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.strip_prefix("--").and_then(|arg| arg.split(' ').next()),
        _ => None,
    };
    let source = named.map_or(Source::CommandLine, |flag| Source::Flag(flag.to_owned()));
    let problem = match error.kind() {
        ErrorKind::InvalidValue => "needs a value",
        ErrorKind::ArgumentConflict => "is given twice",
        ErrorKind::InvalidUtf8 => "holds something that is not UTF-8",
        ErrorKind::UnknownArgument => "has an argument that is not a flag",
        _ => "cannot be read",
    };
    Fault { source, problem: problem.to_owned(), hint: Some("--help lists the settings".to_owned()) }
}

fn open(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}
