//! Where the workspace lies, and how its tools are called.
//!
//! Every cargo call goes through [`cargo`], so that all commands use the same target folder and flags and
//! dependencies are built once.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The members of the workspace, without their dependencies' own data.
pub(crate) fn metadata() -> Result<Metadata> {
    MetadataCommand::new().current_dir(root()).no_deps().exec().context("`cargo metadata` failed")
}

/// A binary of the workspace after a build in the given profile folder (`debug` or `release`).
pub(crate) fn binary(profile: &str, name: &str) -> Result<PathBuf> {
    let target = metadata()?.target_directory;
    Ok(target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX)).into_std_path_buf())
}

/// Cargo itself, started in the root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // A CI run starts from nothing, so incremental state would only cost time and disk.
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Whether cargo knows this subcommand, such as `nextest`.
pub(crate) fn has_subcommand(name: &str) -> bool {
    cargo()
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command with this terminal as its own; a bad end is an error that quotes the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// The moment that durations are counted from.
#[expect(clippy::disallowed_methods, reason = "only the product takes its time from a Clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_that_ends_badly_is_quoted_in_the_error() {
        let error = run(cargo().args(["no-such-subcommand-of-cargo"]).stderr(Stdio::null())).unwrap_err();
        assert!(error.to_string().contains("no-such-subcommand-of-cargo"), "{error}");
    }

    #[test]
    fn root_is_the_folder_of_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
