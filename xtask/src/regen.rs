//! `regen-openapi` and `regen-schema`: what tools write into the repository from the code.
//!
//! Both write files, or with `--check` only tell whether those are current; which tool writes where is all in
//! which they differ.

use std::path::Path;

use anyhow::Result;

use crate::{
    commands::{self, Flag},
    verdict::Verdict,
    workspace,
};

const CHECK: &str = "--check";

/// The documents of the API, written by `tools-openapi-gen` from the server's code.
pub(crate) fn openapi(arguments: &[String]) -> Result<Verdict> {
    let folder = workspace::root().join("contracts/openapi");
    write("regen-openapi", "tools-openapi-gen", &folder, arguments)
}

/// The schemas of the configuration files and their reference, written by `tools-config-gen`.
pub(crate) fn schema(arguments: &[String]) -> Result<Verdict> {
    write("regen-schema", "tools-config-gen", workspace::root(), arguments)
}

/// The argument by which a command of these becomes a step of the development loop.
pub(crate) fn checking() -> [String; 1] {
    [CHECK.to_owned()]
}

fn write(command: &str, tool: &str, folder: &Path, arguments: &[String]) -> Result<Verdict> {
    let checks = commands::only_flag(command, CHECK, arguments)? == Flag::Given;
    let mut generator = workspace::cargo();
    generator.args(["run", "--quiet", "-p", tool, "--"]).arg(folder);
    if checks {
        generator.arg(CHECK);
    }
    workspace::run(&mut generator)?;
    Ok(Verdict::Good)
}
