//! The command line, and the way from the workspace's files to the files in `requirements/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use tools_workspace::source;

use crate::{
    feature, mark,
    output::{self, Output},
    requirement::{self, Spec},
    trace::Trace,
};

const SPECS: &str = ".specs";

#[derive(Parser)]
#[command(
    name = "tools-spec-extract",
    about = "Traces each requirement in .specs/ to the code that meets it and the tests that prove it"
)]
struct Cli {
    /// Write nothing; fail where code, tests and specs do not meet, or where requirements/ is stale.
    #[arg(long)]
    check: bool,
    /// The workspace to read; this one unless told otherwise.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    root: PathBuf,
}

/// Does what the command line asks for, and returns every problem as one line.
pub(crate) fn run() -> Result<Vec<String>> {
    let cli = Cli::parse();
    let (specs, mut problems) = read_specs(&cli.root)?;
    let mut marks = Vec::new();
    for file in source::load(&cli.root)? {
        let (found, wrong) = mark::read(&file);
        marks.extend(found);
        problems.extend(wrong);
    }
    for path in source::walk(&cli.root, &["feature"])? {
        let text = fs::read_to_string(cli.root.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let (found, wrong) = feature::read(&mark::shown(&path), &text);
        marks.extend(found);
        problems.extend(wrong);
    }
    let trace = Trace::new(&specs, &marks);
    problems.extend(trace.problems());
    let wanted = specs.iter().map(|spec| output::of(spec, &trace)).collect::<Result<Vec<Output>>>()?;
    if cli.check {
        problems.extend(output::stale(&cli.root, &wanted)?);
    } else {
        output::write(&cli.root, &wanted)?;
    }
    Ok(problems)
}

fn read_specs(root: &Path) -> Result<(Vec<Spec>, Vec<String>)> {
    let folder = root.join(SPECS);
    let (mut specs, mut problems) = (Vec::new(), Vec::new());
    // A folder whose name begins with a dot is walked like any other once it is named.
    for path in source::walk(&folder, &["md"])? {
        let text = fs::read_to_string(folder.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let (spec, wrong) = requirement::read(&Path::new(SPECS).join(path), &text);
        specs.push(spec);
        problems.extend(wrong);
    }
    Ok((specs, problems))
}
