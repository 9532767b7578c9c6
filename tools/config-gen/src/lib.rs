//! The schemas of the configuration files and their reference, written from the tables of settings.
//!
//! An editor that knows the schema refuses a key or a value while it is written, and a reader finds every
//! bound in one place. Both are read off the rows by which the loader checks, so they cannot promise what it
//! refuses.
//!
//! Invariant: the schema accepts every file that the loader accepts.

mod page;
mod schema;
mod words;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

pub use schema::{for_agent, for_server};

/// The path of each file below the root, and its text.
///
/// # Errors
/// An example cannot be read, or the template of the reference is wrong.
//= ORCH-3326
pub fn files(root: &Path) -> Result<[(&'static str, String); 3]> {
    let read =
        |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
    let server = read("contracts/config/examples/orchestratord.toml")?;
    let agent = read("contracts/config/examples/pool-managerd.toml")?;
    let json = |schema: &Value| -> Result<String> { Ok(serde_json::to_string_pretty(schema)? + "\n") };
    Ok([
        ("contracts/config/orchestratord.schema.json", json(&for_server())?),
        ("contracts/config/pool-managerd.schema.json", json(&for_agent())?),
        ("docs/CONFIGURATION.md", page::reference(&server, &agent)?),
    ])
}
