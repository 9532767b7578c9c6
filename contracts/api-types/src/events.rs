//! What is in the `data` of a stream's events. Tokens are written by hand; [`TokenEvent`] says how they look.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{errors::ErrorCode, raw::RawJson, tasks::Preparation};

/// `started`: an engine has the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartedEvent {
    /// The job.
    #[schema(format = "uuid")]
    pub job_id: String,
    /// Jobs ahead of it when it was admitted.
    pub queue_position: u32,
    /// When it was predicted to start, from its admission.
    pub predicted_start_ms: u64,
    /// The engine's kind.
    pub engine: String,
    /// The engine's version, where it tells one.
    pub engine_version: Option<String>,
    /// The pool.
    pub pool_id: String,
    /// The engine within the pool.
    pub replica_id: String,
    /// Whether the session was on this engine last, so that its cache may help.
    pub kv_warmth: bool,
    /// Present and false when the session was on another engine last: no cache was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_migrated: Option<bool>,
    /// 1, or more when engines were lost.
    pub attempt: u32,
    /// How the loss of an engine after the first token is got over, when one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryMode>,
    /// All tokens of events before this one are to be forgotten; the text starts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard_before_id: Option<u32>,
    /// Tokens of events behind this one and before this event are not part of the text: a crash of the server cut
    /// them off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard_after_id: Option<u32>,
}

/// How the loss of an engine after the first token is got over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryMode {
    /// The text starts anew.
    Restart,
    /// Another engine says the same again, which is checked, and goes on.
    Replay,
    /// Another engine goes on behind what was said.
    Continue,
}

/// How a task got over the loss of an engine after its first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recovery {
    /// How.
    pub mode: RecoveryMode,
    /// Whether the text is the one that a single engine would have given.
    pub exact: bool,
}

/// `token`: a piece of the text. All of them in their order are the whole text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenEvent {
    /// The piece.
    pub t: String,
    /// How many came before it.
    pub i: u32,
}

/// `metrics`: numbers about the job and its queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricsEvent {
    /// Jobs that wait in the pool.
    pub queue_depth: u32,
    /// From admission to dispatch.
    pub queue_wait_ms: u64,
    /// From dispatch to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// Whether the engine had the prompt's beginning in its cache.
    pub kv_warmth: bool,
    /// Prompt tokens that came from the engine's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_cached: Option<u32>,
    /// The probability at admission that the job would be done by its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub on_time_probability: Option<f64>,
    /// Tokens that the session's budget has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_budget_remaining: Option<u64>,
    /// Engine time that the session's budget has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_budget_remaining_ms: Option<u64>,
    /// Cost that the session's budget has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_budget_remaining: Option<f64>,
}

/// `metrics` for readers that asked for explanations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerboseMetricsEvent {
    /// The numbers.
    #[serde(flatten)]
    pub metrics: MetricsEvent,
    /// What happened, in one plain sentence.
    pub human: String,
    /// What was to be done before the job could start.
    pub prep: Preparation,
}

/// Why a stream ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its text, or a stop text was met.
    Stop,
    /// The token limit was reached.
    Length,
    /// The client took the job back.
    Canceled,
}

/// `end`: the last event of a job that did not fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndEvent {
    /// Tokens of the prompt, by the engine's count.
    pub tokens_in: u32,
    /// Tokens generated, by the engine's count.
    pub tokens_out: u32,
    /// Milliseconds of generation.
    pub decode_time_ms: u64,
    /// The same, under its short name.
    pub decode_ms: u64,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Present and true when the client took the job back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canceled: Option<bool>,
    /// What is odd about the text, such as `invalid_utf8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How the task got over the loss of an engine after its first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// The vectors of an embedding task: one for each input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<f64>>>)]
    pub embeddings: Option<RawJson>,
    /// The ranking of a rerank task: `index` and `score` of each input, the best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<RankedInput>>)]
    pub ranking: Option<RawJson>,
}

/// One input of a rerank task, in its place of the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RankedInput {
    /// Which of the inputs it is, from 0.
    pub index: u32,
    /// How well it fits what was asked; engines differ in their scales.
    pub score: f64,
}

/// `error`: the last event of a job that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorEvent {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, for people.
    pub message: String,
    /// Whether the same task may succeed later.
    pub retriable: bool,
    /// When trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The engine that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The pool that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// Replicas that were tried.
    pub attempts: u32,
    /// Tokens that were sent before.
    pub tokens_out: u32,
}
