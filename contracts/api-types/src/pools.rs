//! Pools, as they are at the moment of the question.

use pool_registry_types::OperationView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v2/pools`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolList {
    /// Every pool that is known.
    pub pools: Vec<PoolView>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    /// Its name.
    pub pool_id: String,
    /// How it is.
    #[serde(flatten)]
    pub health: PoolHealth,
}

/// `GET /v2/pools/{id}/health`.
#[expect(clippy::struct_excessive_bools, reason = "the public contract names these fields")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolHealth {
    /// Whether any of its engines answers.
    pub live: bool,
    /// Whether any of its engines takes work.
    pub ready: bool,
    /// Whether it only finishes what it has, or has nothing any more and takes nothing.
    pub draining: bool,
    /// What went wrong last, while anything is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last thing that was done to it as a whole, also while it is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationView>,
    /// Its numbers.
    pub metrics: PoolMetrics,
    /// Its engines.
    pub replicas: Vec<ReplicaView>,
}

/// A pool's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolMetrics {
    /// Streams that it serves at once.
    pub slots_total: u32,
    /// Of those, free now.
    pub slots_free: u32,
    /// Jobs that wait.
    pub queue_depth: u32,
    /// Free GPU memory, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_free_bytes: Option<u64>,
}

/// One engine of a pool.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaView {
    /// Its name within the pool.
    pub replica_id: String,
    /// Its kind.
    pub engine: String,
    /// Its version, where it tells one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Names by which requests may call its model.
    pub models: Vec<String>,
    /// Whether it takes work.
    pub ready: bool,
    /// Whether it only finishes what it has.
    #[serde(default)]
    pub draining: bool,
    /// The node that it is on, unless the operator attached it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Streams that it serves at once.
    pub slots_total: u32,
    /// Of those, free now.
    pub slots_free: u32,
    /// Free memory of its devices, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_free_bytes: Option<u64>,
    /// All memory of its devices, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_total_bytes: Option<u64>,
    /// Tokens of context of one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_max: Option<u32>,
    /// Where it computes, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_mask: Option<String>,
    /// What went wrong last, while it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// `GET /v2/meta/capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CapabilitiesView {
    /// The version of the public API.
    pub api_version: String,
    /// The version of the server.
    pub server_version: String,
    /// What each engine of each pool can do now.
    pub engines: Vec<EngineView>,
}

/// `GET /v2/meta/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// The version of the public API.
    pub api_version: String,
    /// The version of the server.
    pub server_version: String,
}

/// What one engine can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineView {
    /// Its kind.
    pub engine: String,
    /// Its version, where it tells one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// The pool.
    pub pool_id: String,
    /// Kinds of work.
    pub workloads: Vec<String>,
    /// Names by which requests may call its model.
    pub models: Vec<String>,
    /// Tokens of context of one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_max: Option<u32>,
    /// Streams that it serves at once.
    pub max_concurrency: u32,
    /// Whether the same seed gives the same tokens.
    pub deterministic: bool,
}
