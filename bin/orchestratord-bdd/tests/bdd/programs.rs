//! The programs that the scenarios are about, built once, before the first of them.
//!
//! Cargo names the programs of a test's own package only, and these are of others, so it is asked to build them and to
//! say where they are.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();

/// Builds them; a build that fails ends the run.
pub(crate) fn build() {
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--package",
            "orchestratord",
            "--package",
            "pool-managerd",
            "--bins",
        ]);
        cargo.args(["--message-format", "json-render-diagnostics"]);
        let output = cargo.stderr(Stdio::inherit()).output().expect("cargo can be run");
        assert!(output.status.success(), "the programs are built");
        let said = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
        said.lines().filter_map(program).collect()
    });
}

fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}

/// Where a program is.
pub(crate) fn path(name: &str) -> &'static Path {
    let built = BUILT.get().expect("the programs were built");
    let found = built.iter().find(|(known, _)| known == name);
    &found.unwrap_or_else(|| panic!("cargo built no {name}")).1
}
