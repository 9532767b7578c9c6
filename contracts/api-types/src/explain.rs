//! Why a task is where it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tasks::TaskState;

/// `GET /v2/tasks/{id}/explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// The task.
    pub task_id: String,
    /// Where it stands.
    pub state: TaskState,
    /// What was asked of the engines, in words.
    pub asked: Vec<String>,
    /// How its start was predicted, and how it came.
    pub start: StartView,
    /// The newest choice of an engine; while the task waits, why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<ChoiceView>,
    /// What happened, in one plain sentence.
    pub human: String,
}

/// A predicted start, and the actual one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StartView {
    /// Jobs ahead at admission.
    pub queue_position_at_admission: u32,
    /// Jobs ahead now, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u32>,
    /// When it was predicted to start, from its admission.
    pub predicted_start_ms: u64,
    /// When it was predicted to have started with a probability of 90 %.
    pub predicted_start_p90_ms: u64,
    /// The probability at admission that it would be done by its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub on_time_probability: Option<f64>,
    /// When it started, from its admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_start_ms: Option<u64>,
    /// How long it has waited, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
}

/// A choice among engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChoiceView {
    /// What decided: `affinity`, `preferred`, `least_loaded`, `round_robin`, `slot_freed`, `none_open`, or `recovered` where an
    /// earlier process chose.
    pub rule: String,
    /// The attempt that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The pool that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// The engine that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_id: Option<String>,
    /// How many engines were looked at.
    pub considered: u32,
    /// Each of them, up to 16.
    pub candidates: Vec<CandidateView>,
}

/// One engine, as it stood to the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CandidateView {
    /// Its pool.
    pub pool_id: String,
    /// Its name in the pool.
    pub replica_id: String,
    /// `chosen`, `open`, `full`, `closed`, `resting`, `suspect`, `circuit_open`, `not_ready` or `filtered`.
    pub verdict: String,
    /// What that means here.
    pub reason: String,
    /// Streams that it served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_used: Option<u32>,
    /// Streams that it can serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_total: Option<u32>,
    /// Free GPU memory, by which the least loaded is found first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_free_bytes: Option<u64>,
}
