//! `arch`: the dependency rules, held by a program because prose is not.
//!
//! The crates stand on floors, and an arrow may only fall. The table of the floors is the map of the house, and
//! lies in `tools/workspace/src/floors.rs`; whoever adds a crate writes its row there first, and with it decides
//! what it may use.

mod graph;
mod rules;
mod sources;

use anyhow::Result;
use tools_workspace::source;

use crate::{commands, verdict::Verdict, workspace};

/// All that the core may depend on: no runtime, no HTTP, no serde, no clock.
const CORE_MAY_USE: &[&str] = &["smallvec", "thiserror", "uuid"];

/// Checks the crates' arrows and what the sources name.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    commands::no_arguments("arch", arguments)?;
    let crates = graph::read(&workspace::metadata()?)?;
    let mut breaches = rules::check(&crates);
    for file in source::load(workspace::root())? {
        breaches.extend(sources::check(&file));
    }
    Ok(Verdict::of_breaches("arch", &breaches))
}
