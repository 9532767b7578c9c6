//! The floors of the house: which crate stands where.
//!
//! One table serves the rules between crates and the map in the README, so that neither can forget a crate.

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// It may use only crates of lower numbers.
    Level(u8),
    /// A tool: it may use anything, and only tools may use it.
    Apart,
}

/// Every crate of the workspace, with its floor.
pub const FLOORS: &[(&str, Floor)] = &[
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
    ("trace-export", Floor::Level(2)),
    ("adapter-host", Floor::Level(3)),
    ("http-util", Floor::Level(3)),
    ("mock", Floor::Level(4)),
    ("llamacpp-http", Floor::Level(4)),
    ("openai-http", Floor::Level(4)),
    ("vllm-http", Floor::Level(4)),
    ("tgi-http", Floor::Level(4)),
    ("orchestratord", Floor::Level(5)),
    ("pool-managerd", Floor::Level(5)),
    ("orchestratord-bdd", Floor::Apart),
    ("tools-doc-session", Floor::Apart),
    ("tools-config-gen", Floor::Apart),
    ("tools-json-schema", Floor::Apart),
    ("tools-loadgen", Floor::Apart),
    ("tools-openapi-gen", Floor::Apart),
    ("tools-readme-index", Floor::Apart),
    ("tools-spec-extract", Floor::Apart),
    ("tools-workspace", Floor::Apart),
    ("xtask", Floor::Apart),
];

/// The floor of the crate with this name; none when the table has no row for it.
pub fn floor_of(name: &str) -> Option<Floor> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}
