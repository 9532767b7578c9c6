//! `OpenAI`'s own clients, with which the server is tested as the programs of its users speak with it.
//!
//! They are wanted, not needed: where Node is missing, its tests say that they are skipped.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{cache::Cache, file, python, scripts};

/// Each is also the stamp of what is installed by it.
const REQUIREMENTS: &str = include_str!("../../clients/requirements.txt");
const PACKAGE: &str = include_str!("../../clients/package.json");
const PACKAGE_LOCK: &str = include_str!("../../clients/package-lock.json");

/// Whether everything that can be had here is in place.
pub(super) fn are_complete(cache: &Cache) -> bool {
    has_python(cache) && (has_node(cache) || !npm_is_here())
}

/// Gets whatever is missing.
pub(super) fn all(cache: &Cache) -> Result<()> {
    if !has_python(cache) {
        let folder = python_folder(cache);
        println!("OpenAI's client for Python: installing the pinned packages (3 MB)");
        python::make_venv(python::find(python::OLDEST)?, &folder)?;
        let interpreter = folder.join("bin/python");
        let requirements = scripts().with_file_name("clients").join("requirements.txt");
        let mut arguments: Vec<_> =
            ["install", "--require-hashes", "--only-binary", ":all:", "-r"].map(OsStr::new).to_vec();
        arguments.push(requirements.as_os_str());
        python::pip(&interpreter, &arguments)?;
        python::script(&interpreter, &[OsStr::new("-c"), OsStr::new("import openai")])
            .context("OpenAI's client for Python is installed but does not load")?;
        file::write(&folder.join("installed.txt"), REQUIREMENTS)?;
    }
    if has_node(cache) {
        return Ok(());
    }
    if npm_is_here() {
        return node(cache);
    }
    println!("OpenAI's client for Node: skipped, since there is no npm (Debian: apt install nodejs npm)");
    Ok(())
}

fn node(cache: &Cache) -> Result<()> {
    let folder = node_folder(cache);
    println!("OpenAI's client for Node: installing the pinned package (2 MB)");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    file::write(&folder.join("package.json"), PACKAGE)?;
    file::write(&folder.join("package-lock.json"), PACKAGE_LOCK)?;
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
    let output = npm.stdin(Stdio::null()).output().context("cannot start npm")?;
    if !output.status.success() {
        bail!("npm ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    file::write(&folder.join("installed.txt"), PACKAGE_LOCK)
}

fn python_folder(cache: &Cache) -> PathBuf {
    cache.folder.join("clients/python")
}

fn node_folder(cache: &Cache) -> PathBuf {
    cache.folder.join("clients/node")
}

fn has_python(cache: &Cache) -> bool {
    let folder = python_folder(cache);
    is_stamped(&folder.join("installed.txt"), REQUIREMENTS) && folder.join("bin/python").exists()
}

fn has_node(cache: &Cache) -> bool {
    is_stamped(&node_folder(cache).join("installed.txt"), PACKAGE_LOCK)
}

fn is_stamped(stamp: &std::path::Path, with: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|written| written == with)
}

/// npm without node is of no use, and node comes with npm or has it beside.
fn npm_is_here() -> bool {
    let mut npm = Command::new("npm");
    npm.arg("--version").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_by_version_and_hash() {
        let mut pinned = 0;
        let mut lines = REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).peekable();
        while let Some(line) = lines.next() {
            if line.starts_with("    --hash=sha256:") {
                continue;
            }
            assert!(line.contains("=="), "{line}");
            assert!(lines.peek().is_some_and(|next| next.starts_with("    --hash=sha256:")), "{line}");
            pinned += 1;
        }
        assert!(pinned > 5, "{pinned}");
        assert!(PACKAGE_LOCK.contains("\"integrity\": \"sha512-"));
        assert!(!PACKAGE_LOCK.contains("\"resolved\""), "a lock names no host");
    }
}
