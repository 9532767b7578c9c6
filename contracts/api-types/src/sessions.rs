//! Sessions, as they are at the moment of the question.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v2/sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The session.
    pub session_id: String,
    /// For how long it is kept if no further task comes.
    pub ttl_ms_remaining: u64,
    /// How many tasks it may have.
    pub turns: u32,
    /// How many it has had.
    pub turns_used: u32,
    /// Tasks of it that are not over.
    pub tasks_live: u32,
    /// Bytes of cache that it holds at its engine; 0 where the engine does not tell.
    pub kv_bytes: u64,
    /// Whether the engine used its cache at the session's last turn.
    pub kv_warmth: bool,
    /// The engine that it was on last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_id: Option<String>,
    /// That engine's pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// Tokens that its budget has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_budget_remaining: Option<u64>,
    /// Engine time that its budget has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_budget_remaining_ms: Option<u64>,
    /// Cost that its budget has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_budget_remaining: Option<f64>,
}
