//! Writes the schemas of the configuration files and their reference; with `--check` it changes nothing, and
//! fails when one of them is not what it would write. Usage: `config-gen ROOT [--check]`.

#![expect(clippy::print_stdout, reason = "a command line tool speaks on its terminal")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tools_config_gen::files;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let root = PathBuf::from(arguments.next().context("the root of the repository is missing")?);
    let files = files(&root)?;
    match arguments.next().as_deref() {
        None => write(&root, &files),
        Some("--check") => check(&root, &files),
        Some(other) => bail!("{other} is not known"),
    }
}

/// Writes what differs, so that what did not keeps its time.
fn write(root: &Path, files: &[(&str, String)]) -> Result<()> {
    for (path, text) in files {
        let file = root.join(path);
        if fs::read_to_string(&file).is_ok_and(|there| there == *text) {
            continue;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

fn check(root: &Path, files: &[(&str, String)]) -> Result<()> {
    let is_stale =
        |path: &str, text: &str| fs::read_to_string(root.join(path)).ok().is_none_or(|there| there != text);
    let stale = files.iter().filter(|(path, text)| is_stale(path, text)).map(|(path, _)| *path);
    let stale: Vec<_> = stale.collect();
    if !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask regen-schema`", stale.join(", "));
    }
    Ok(())
}
