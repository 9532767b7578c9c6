//! Writes the documents of the API into a folder, or checks that those there are current.
//!
//! Usage: `openapi-gen FOLDER [--check]`. It is a program of its own so that the server carries no YAML.

#![expect(clippy::print_stdout, reason = "a command line tool speaks on its terminal")]

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use orchestratord::{Document, openapi};

const HEAD: &str = "# Generated from the server's code by `cargo xtask regen-openapi`; not edited by hand.\n";

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [folder] => write(Path::new(folder)),
        [folder, check] if check == "--check" => check_in(Path::new(folder)),
        _ => bail!("usage: openapi-gen FOLDER [--check]"),
    }
}

fn text_of(part: Document) -> Result<String> {
    Ok(format!("{HEAD}{}", openapi(part).to_yaml()?))
}

fn file_of(part: Document) -> String {
    format!("{}.yaml", part.name())
}

/// Writes what changed, so that what did not keeps its time.
fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for part in Document::ALL {
        let (text, file) = (text_of(part)?, folder.join(file_of(part)));
        if fs::read_to_string(&file).is_ok_and(|there| there == text) {
            continue;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("wrote {}", file.display());
    }
    Ok(())
}

fn check_in(folder: &Path) -> Result<()> {
    let mut stale = Vec::new();
    for part in Document::ALL {
        let text = text_of(part)?;
        if fs::read_to_string(folder.join(file_of(part))).ok().is_none_or(|there| there != text) {
            stale.push(file_of(part));
        }
    }
    if !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask regen-openapi`", stale.join(", "));
    }
    Ok(())
}
