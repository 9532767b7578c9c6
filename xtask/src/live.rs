//! `live`: only the tests that drive the built server against the real engine.
//!
//! They also run in `dev:loop`; this is the short way while working on an adapter, with their output shown.

use anyhow::Result;

use crate::{
    commands::{self, Flag},
    setup,
    verdict::Verdict,
    workspace,
};

/// Gets the engine if need be, then runs the `live` test binary.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let flag = commands::only_flag("live", "--vllm", arguments)?;
    setup::ensure()?;
    let mut cargo = workspace::cargo();
    if flag == Flag::Given {
        setup::ensure_vllm()?;
        cargo.env("LLORCH_LIVE_VLLM", "1");
    }
    if workspace::has_subcommand("nextest") {
        cargo.args(["nextest", "run", "-p", "orchestratord", "-p", "pool-managerd", "--test", "live"]);
        cargo.arg("--no-capture");
    } else {
        cargo.args([
            "test",
            "-p",
            "orchestratord",
            "-p",
            "pool-managerd",
            "--test",
            "live",
            "--",
            "--nocapture",
            "--test-threads=1",
        ]);
    }
    workspace::run(&mut cargo)?;
    Ok(Verdict::Good)
}
