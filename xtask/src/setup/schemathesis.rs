//! Schemathesis, which makes requests from a server's documents: 30 packages, pinned by hash.

use std::{ffi::OsStr, fs, path::PathBuf};

use anyhow::{Context, Result};

use super::{cache::Cache, file, python};
use crate::workspace;

/// Also the stamp of what is installed by it.
const REQUIREMENTS: &str = include_str!("../../schemathesis/requirements.txt");
/// The oldest Python that it runs on.
const OLDEST: (u32, u32) = (3, 11);

/// Gets it if it is missing, and gives its program.
pub(super) fn ensure(cache: &Cache) -> Result<PathBuf> {
    let venv = cache.folder.join("clients/schemathesis");
    let (stamp, program) = (venv.join("installed.txt"), venv.join("bin/schemathesis"));
    if fs::read_to_string(&stamp).is_ok_and(|written| written == REQUIREMENTS) && program.exists() {
        return Ok(program);
    }
    println!("Schemathesis: installing the pinned packages (30 MB)");
    python::make_venv(python::find(OLDEST)?, &venv)?;
    let interpreter = venv.join("bin/python");
    let requirements = workspace::root().join("xtask/schemathesis/requirements.txt");
    let words = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r"].map(OsStr::new);
    python::pip(&interpreter, &[&words[..], &[requirements.as_os_str()]].concat())?;
    python::script(&interpreter, &[OsStr::new("-c"), OsStr::new("import schemathesis")])
        .context("Schemathesis is installed but does not load")?;
    file::write(&stamp, REQUIREMENTS)?;
    Ok(program)
}
