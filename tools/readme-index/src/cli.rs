//! The command line, and the way from the crates to the page.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};
use clap::Parser;

use crate::{
    map::{self, Room},
    page, sentence,
};

const PAGE: &str = "README.md";
const COMMAND: &str = "cargo run -p tools-readme-index";

#[derive(Parser)]
#[command(name = "tools-readme-index", about = "Writes the map of the crates in the root README")]
struct Cli {
    /// Write nothing; fail when the map is stale.
    #[arg(long)]
    check: bool,
    /// The workspace whose README is meant; this one unless told otherwise.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    root: PathBuf,
}

/// Does what the command line asks for, and returns every problem as one line.
pub(crate) fn run() -> Result<Vec<String>> {
    let cli = Cli::parse();
    let manifest = cli.root.join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(&manifest).no_deps().exec();
    let metadata = metadata.with_context(|| format!("`cargo metadata` failed in {}", cli.root.display()))?;
    let rooms = rooms(&metadata)?;
    let problems = map::problems(&rooms);
    if !problems.is_empty() {
        return Ok(problems);
    }
    let path = cli.root.join(PAGE);
    let found = read(&path)?;
    let wanted = page::with_map(&found, &map::table(rooms)).with_context(|| path.display().to_string())?;
    if wanted == found {
        return Ok(Vec::new());
    }
    if cli.check {
        return Ok(vec![format!("{PAGE}: the map is stale; run `{COMMAND}`")]);
    }
    fs::write(&path, wanted).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Vec::new())
}

fn rooms(metadata: &Metadata) -> Result<Vec<Room>> {
    let root = metadata.workspace_root.as_std_path();
    let mut rooms = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest_path.as_std_path();
        let folder = manifest.parent().unwrap_or(root);
        let inside = folder
            .strip_prefix(root)
            .with_context(|| format!("{} lies outside of the workspace", folder.display()))?;
        let readme = read(&folder.join("README.md"))?;
        rooms.push(Room {
            name: package.name.to_string(),
            folder: inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"),
            what: sentence::first(&readme)
                .or_else(|| package.description.as_deref().map(|text| text.trim_end_matches('.').to_owned())),
        });
    }
    Ok(rooms)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
