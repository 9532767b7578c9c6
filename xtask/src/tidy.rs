//! `tidy`: the budgets that keep every page readable in one sitting.
//!
//! Lengths creep; no single change is the one that made a file too long. So each has a hard stop, and the
//! medians at the end show the drift before it gets there.

mod blocks;
mod budgets;
mod crates;
mod lengths;
mod links;
mod text;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use tools_workspace::{
    markdown::Page,
    source::{self, SourceFile},
};

use crate::{commands, verdict::Verdict, workspace};

/// Files in which blanks at line ends and tabs are looked for.
const TEXT_FILES: &[&str] = &["rs", "md", "toml", "py"];

/// Checks every file of the workspace.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    commands::no_arguments("tidy", arguments)?;
    let root = workspace::root();
    let sources = source::load(root)?;
    let mut breaches = Vec::new();
    for file in &sources {
        breaches.extend(budgets::check(file));
        breaches.extend(text::check_source(file));
    }
    for path in source::walk(root, TEXT_FILES)? {
        let content = read(root, &path)?;
        breaches.extend(text::check_lines(&path, &content));
        if path.extension().is_some_and(|extension| extension == "md") {
            let page = Page::read(&content);
            breaches.extend(links::check(root, &path, &page));
            breaches.extend(blocks::check(root, &path, &page));
        }
    }
    for package in workspace::metadata()?.packages {
        breaches.extend(crates::check(root, package.manifest_path.as_std_path())?);
    }
    report(&sources);
    Ok(Verdict::of_breaches("tidy", &breaches))
}

fn read(root: &Path, path: &Path) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {}", path.display()))
}

fn report(sources: &[SourceFile]) {
    let product = || sources.iter().filter(|file| file.side == source::Side::Product);
    let files = product().map(|file| file.product_lines).collect();
    let functions = product().flat_map(|file| budgets::function_lengths(&file.code)).collect();
    println!("files, product lines:   {}", lengths::summary(files));
    println!("functions, code lines:  {}", lengths::summary(functions));
}
