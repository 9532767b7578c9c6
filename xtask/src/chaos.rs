//! `chaos kill`: durability as an outside client sees it, checked by `tools-loadgen`.
//!
//! The tool knows its own options, so they are passed through untouched; only the build is chosen here.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{verdict::Verdict, workspace};

const KNOWN: &[&str] = &["kill", "strace"];

/// Builds the server and the tool, then lets the tool break the server.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| KNOWN.contains(&name.as_str()))
    else {
        bail!("which chaos? There is `cargo xtask chaos kill|strace [--debug] [ARGS]`");
    };
    let (debug, rest): (Vec<_>, Vec<_>) = rest.iter().partition(|argument| *argument == "--debug");
    let profile = if debug.is_empty() { "release" } else { "debug" };
    let mut build = workspace::cargo();
    build.args(["build", "-p", "orchestratord", "-p", "tools-loadgen"]);
    if profile == "release" {
        build.arg("--release");
    }
    workspace::run(&mut build)?;
    let server = workspace::binary(profile, "orchestratord")?;
    let loadgen = workspace::binary(profile, "tools-loadgen")?;
    workspace::run(Command::new(loadgen).args(["chaos", name, "--orchestratord"]).arg(server).args(rest))?;
    Ok(Verdict::Good)
}
