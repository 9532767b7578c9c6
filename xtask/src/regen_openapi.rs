//! `regen-openapi`: the documents of the API, written from the server's code by `tools-openapi-gen`.

use anyhow::Result;

use crate::{
    commands::{self, Flag},
    verdict::Verdict,
    workspace,
};

const CHECK: &str = "--check";

/// Writes the documents; with `--check` only tells whether they are current.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let checks = commands::only_flag("regen-openapi", CHECK, arguments)? == Flag::Given;
    let mut generator = workspace::cargo();
    generator.args(["run", "--quiet", "-p", "tools-openapi-gen", "--"]);
    generator.arg(workspace::root().join("contracts/openapi"));
    if checks {
        generator.arg(CHECK);
    }
    workspace::run(&mut generator)?;
    Ok(Verdict::Good)
}

/// The step of the development loop.
pub(crate) fn check() -> Result<Verdict> {
    run(&[CHECK.to_owned()])
}
