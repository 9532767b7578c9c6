//! `bench relay`: what the relay costs, measured on a release build by `tools-loadgen`.
//!
//! The load generator knows its own options, so they are passed through untouched.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{verdict::Verdict, workspace};

/// Builds both sides, then lets the load generator start and drive the server.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let rest = match arguments.split_first() {
        Some((name, rest)) if name == "relay" => rest,
        Some((name, _)) => bail!("there is no bench `{name}`; there is `cargo xtask bench relay [ARGS]`"),
        None => bail!("which bench? There is `cargo xtask bench relay [ARGS]`"),
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
    workspace::run(Command::new(loadgen).arg("relay").arg("--orchestratord").arg(server).args(rest))?;
    Ok(Verdict::Good)
}
