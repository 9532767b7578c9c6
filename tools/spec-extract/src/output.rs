//! The files in `requirements/`: one for each spec, under its name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tools_workspace::source;

use crate::{
    requirement::{Requirement, Spec},
    trace::Trace,
    yaml::{self, Entry},
};

const FOLDER: &str = "requirements";
const COMMAND: &str = "cargo run -p tools-spec-extract";

/// A file as it should be.
pub(crate) struct Output {
    /// Relative to the root.
    path: PathBuf,
    content: String,
}

/// What belongs beside this spec. Entries are in the order of their ids, so that moving a bullet changes nothing but
/// its section.
pub(crate) fn of(spec: &Spec, trace: &Trace<'_>) -> Result<Output> {
    let mut requirements: Vec<&Requirement> = spec.requirements.iter().collect();
    requirements.sort_by_key(|one| {
        let (series, number) = one.id.split_once('-').unwrap_or((&one.id, ""));
        (series.to_owned(), number.parse::<u64>().unwrap_or(u64::MAX), one.id.clone())
    });
    let entries = requirements
        .into_iter()
        .map(|requirement| entry(spec, requirement, trace))
        .collect::<Result<Vec<_>>>()?;
    let spec_path = spec.path.display().to_string();
    let origin = format!("Generated from {spec_path} and the comments `//= ID` in the sources.");
    let again = format!("Do not edit: change those, then run `{COMMAND}`.");
    let content = yaml::document(&[&origin, &again], "requirements", &entries);
    let stem = spec.path.file_stem().unwrap_or_default();
    Ok(Output { path: Path::new(FOLDER).join(stem).with_extension("yaml"), content })
}

fn entry(spec: &Spec, requirement: &Requirement, trace: &Trace<'_>) -> Result<Entry> {
    let id = requirement.id.as_str();
    let mut entry = Entry::default();
    entry.field("id", id)?;
    entry.field("level", requirement.level.words())?;
    entry.field("text", &requirement.text)?;
    entry.field("spec", &format!("{}, {}", spec.path.display(), requirement.section))?;
    entry.list("implemented_by", trace.implemented_by(id))?;
    entry.list("tested_by", trace.tested_by(id))?;
    if let Some(reason) = &requirement.untested {
        entry.field("untested", reason)?;
    }
    Ok(entry)
}

/// Writes the files, and takes away those whose spec is gone.
pub(crate) fn write(root: &Path, wanted: &[Output]) -> Result<()> {
    fs::create_dir_all(root.join(FOLDER)).with_context(|| format!("cannot make {FOLDER}/"))?;
    for path in orphans(root, wanted)? {
        fs::remove_file(root.join(&path)).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for output in wanted {
        let path = root.join(&output.path);
        fs::write(&path, &output.content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What is not as [`write`] would leave it, one line each.
pub(crate) fn stale(root: &Path, wanted: &[Output]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for output in wanted {
        let path = output.path.display();
        match fs::read_to_string(root.join(&output.path)) {
            Ok(found) if found == output.content => {}
            Ok(_) => problems.push(format!("{path}: stale; run `{COMMAND}`")),
            Err(error) => problems.push(format!("{path}: cannot be read ({error}); run `{COMMAND}`")),
        }
    }
    let orphans = orphans(root, wanted)?.into_iter();
    problems.extend(orphans.map(|path| format!("{}: its spec is gone; run `{COMMAND}`", path.display())));
    Ok(problems)
}

fn orphans(root: &Path, wanted: &[Output]) -> Result<Vec<PathBuf>> {
    let folder = root.join(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let found = source::walk(&folder, &["yaml"])?.into_iter().map(|path| Path::new(FOLDER).join(path));
    Ok(found.filter(|path| !wanted.iter().any(|output| output.path == *path)).collect())
}
