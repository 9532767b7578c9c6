//! `regen-schema`: the schemas of the configuration files and their reference, written by `tools-config-gen`.

use anyhow::Result;

use crate::{
    commands::{self, Flag},
    verdict::Verdict,
    workspace,
};

const CHECK: &str = "--check";

/// Writes the files; with `--check` only tells whether they are current.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let checks = commands::only_flag("regen-schema", CHECK, arguments)? == Flag::Given;
    let mut generator = workspace::cargo();
    generator.args(["run", "--quiet", "-p", "tools-config-gen", "--"]);
    generator.arg(workspace::root());
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
