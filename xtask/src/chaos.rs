//! `chaos kill|strace|nodes`: what the server promises as an outside client sees it, checked by `tools-loadgen`.
//!
//! The tool knows its own options, so they are passed through untouched; only the build is chosen here.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{setup, verdict::Verdict, workspace};

const KNOWN: &[&str] = &["kill", "strace", "nodes"];

/// Builds the server and the tool, then lets the tool break the server.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| KNOWN.contains(&name.as_str()))
    else {
        bail!("which chaos? There is `cargo xtask chaos kill|strace|nodes [--debug] [ARGS]`");
    };
    let (debug, rest): (Vec<_>, Vec<_>) = rest.iter().partition(|argument| *argument == "--debug");
    let profile = if debug.is_empty() { "release" } else { "debug" };
    let mut build = workspace::cargo();
    build.args(["build", "-p", "orchestratord", "-p", "tools-loadgen"]);
    if profile == "release" {
        build.arg("--release");
    }
    if name == "nodes" {
        build.args(["-p", "pool-managerd"]);
    }
    workspace::run(&mut build)?;
    let server = workspace::binary(profile, "orchestratord")?;
    let loadgen = workspace::binary(profile, "tools-loadgen")?;
    let mut tool = Command::new(loadgen);
    tool.args(["chaos", name, "--orchestratord"]).arg(server).args(rest);
    if name == "nodes" {
        real_engine(&mut tool, workspace::binary(profile, "pool-managerd")?)?;
    }
    workspace::run(&mut tool)?;
    Ok(Verdict::Good)
}

/// Nodes are tested with their agent and the real engine, which is got if need be.
fn real_engine(tool: &mut Command, agent: PathBuf) -> Result<()> {
    let engine = setup::ensure()?;
    tool.arg("--pool-managerd").arg(agent).arg("--model").arg(engine.tiny_counter);
    // One option per part: a path may hold a comma.
    tool.arg("--engine").arg(engine.python).arg("--engine").arg(engine.server);
    Ok(())
}
