//! `arch`: the dependency rules, held by a program because prose is not.
//!
//! The crates stand on floors, and an arrow may only fall. The table below is the map of the house; whoever
//! adds a crate writes its row here first, and with it decides what it may use.

mod graph;
mod rules;
mod sources;

use anyhow::Result;

use crate::{commands, source, verdict::Verdict, workspace};

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    /// It may use only crates of lower numbers.
    Level(u8),
    /// A tool: it may use anything, and nothing may use it.
    Apart,
}

const FLOORS: &[(&str, Floor)] = &[
    ("orchestrator-core", Floor::Level(1)),
    ("api-types", Floor::Level(2)),
    ("config-schema", Floor::Level(1)),
    ("pool-registry-types", Floor::Level(1)),
    ("auth-min", Floor::Level(1)),
    ("catalog-core", Floor::Level(1)),
    ("model-fetch", Floor::Level(1)),
    ("narration-core", Floor::Level(1)),
    ("store-api", Floor::Level(1)),
    ("service-registry", Floor::Level(2)),
    ("store-sqlite", Floor::Level(2)),
    ("adapter-api", Floor::Level(2)),
    ("artifact-store", Floor::Level(2)),
    ("command-line", Floor::Level(2)),
    ("http-server", Floor::Level(2)),
    ("telemetry", Floor::Level(2)),
    ("adapter-host", Floor::Level(3)),
    ("http-util", Floor::Level(3)),
    ("mock", Floor::Level(4)),
    ("llamacpp-http", Floor::Level(4)),
    ("openai-http", Floor::Level(4)),
    ("vllm-http", Floor::Level(4)),
    ("tgi-http", Floor::Level(4)),
    ("orchestratord", Floor::Level(5)),
    ("pool-managerd", Floor::Level(5)),
    ("tools-loadgen", Floor::Apart),
    ("tools-openapi-gen", Floor::Apart),
    ("xtask", Floor::Apart),
];

/// All that the core may depend on: no runtime, no HTTP, no serde, no clock.
const CORE_MAY_USE: &[&str] = &["smallvec", "thiserror", "uuid"];

fn floor_of(name: &str) -> Option<Floor> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

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
