//! `bench table`, `bench relay`, `bench accept` and `bench nodes`: what the server costs, all of it in one table, or
//! the relay, durable tasks and nodes closer up, measured on a release build by `tools-loadgen`.
//!
//! The load generator knows its own options, so they are passed through untouched.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{verdict::Verdict, workspace};

const KNOWN: &[&str] = &["table", "relay", "accept", "nodes"];

/// Builds both sides, then lets the load generator start and drive the server.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) if KNOWN.contains(&name.as_str()) => (name, rest),
        Some((name, _)) => {
            bail!("there is no bench `{name}`; there is `cargo xtask bench table|relay|accept|nodes [ARGS]`")
        }
        None => bail!("which bench? There is `cargo xtask bench table|relay|accept|nodes [ARGS]`"),
    };
    workspace::run(workspace::cargo().args([
        "build",
        "--release",
        "-p",
        "orchestratord",
        "-p",
        "tools-loadgen",
    ]))?;
    let server = workspace::binary("release", "orchestratord")?;
    let loadgen = workspace::binary("release", "tools-loadgen")?;
    workspace::run(Command::new(loadgen).args([name, "--orchestratord"]).arg(server).args(rest))?;
    Ok(Verdict::Good)
}
