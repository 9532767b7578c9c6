//! Finds a fitting Python and calls it, with a plain sentence for all that can be missing.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};

use super::Lacking;

/// The oldest version for which the server's wheel is made.
pub(super) const OLDEST: (u32, u32) = (3, 10);
const NAMES: &[&str] =
    &["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

/// The first interpreter on the path that is new enough.
pub(super) fn find(oldest: (u32, u32)) -> Result<&'static str> {
    let mut seen = Vec::new();
    for name in NAMES {
        let Some((major, minor)) = version(name) else { continue };
        if (major, minor) >= oldest {
            return Ok(name);
        }
        seen.push(format!("{name} is {major}.{minor}"));
    }
    let found = if seen.is_empty() { "none was found".to_owned() } else { seen.join(", ") };
    Err(Lacking(format!(
        "Python {}.{} or newer is needed for this, but {found}; install it (Debian: apt install python3 python3-venv)",
        oldest.0, oldest.1
    ))
    .into())
}

/// Makes an empty virtual environment; what lay there before goes.
pub(super) fn make_venv(python: &str, folder: &Path) -> Result<()> {
    let output = call(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?;
    if output.status.success() {
        return Ok(());
    }
    // The module itself complains on stdout when Debian has split it off.
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    if said.contains("ensurepip") || said.contains("No module named venv") {
        return Err(Lacking(format!(
            "{python} has no complete venv module; install it (Debian: apt install python3-venv). It said: {said}"
        ))
        .into());
    }
    bail!("`{python} -m venv {}` failed: {said}", folder.display())
}

/// Runs pip with its own progress shown, and tells a missing network from a wrong file.
pub(super) fn pip(python: &Path, arguments: &[&OsStr]) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::piped());
    let output = command.output().with_context(|| format!("cannot start {}", python.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(pip_failure(String::from_utf8_lossy(&output.stderr).trim()))
}

/// Calls Python and gives what it printed; a bad end is an error with what it said.
pub(super) fn script(python: &Path, arguments: &[&OsStr]) -> Result<()> {
    let output = call(Command::new(python).args(arguments))?;
    if !output.status.success() {
        bail!("python ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn version(name: &str) -> Option<(u32, u32)> {
    let code = "import sys; print(sys.version_info[0], sys.version_info[1])";
    let output = call(Command::new(name).args(["-c", code])).ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn call(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_owned();
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", program.display()))
}

fn pip_failure(said: &str) -> anyhow::Error {
    // pip's last words are the cause; what stands before are its retries.
    let tail: Vec<&str> = said.lines().rev().take(12).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    if said.contains("DO NOT MATCH THE HASHES") {
        return anyhow!(
            "pip got a file with another SHA-256 than xtask/engines pins; it was not installed:\n{tail}"
        );
    }
    if said.contains("No module named pip") {
        return Lacking("the venv has no pip; install it (Debian: apt install python3-venv)".to_owned())
            .into();
    }
    let advice = if said.contains("No matching distribution") && !said.contains("connection") {
        "there is no wheel for this platform or Python (Linux or macOS, x86_64 or arm64), or the index lacks it"
    } else {
        "check the network, or name a reachable index in PIP_INDEX_URL"
    };
    Lacking(format!("pip could not fetch the engine; {advice}. It said:\n{tail}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_hash_is_an_error_and_no_missing_thing() {
        let error = pip_failure(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n  Got: 00",
        );
        assert!(error.downcast_ref::<Lacking>().is_none());
        assert!(error.to_string().contains("Got: 00"), "{error}");
    }

    #[test]
    fn missing_network_says_what_to_do() {
        let error =
            pip_failure("WARNING: Retrying after connection broken\nERROR: No matching distribution found");
        assert!(error.downcast_ref::<Lacking>().is_some());
        assert!(error.to_string().contains("check the network"), "{error}");
    }

    #[test]
    fn platform_without_a_wheel_is_named_as_such() {
        let error = pip_failure("ERROR: No matching distribution found for xllamacpp");
        assert!(error.to_string().contains("no wheel for this platform"), "{error}");
    }

    #[test]
    fn program_that_is_not_there_has_no_version() {
        assert_eq!(version("no-such-python-anywhere"), None);
    }
}
