//! Tasks: what a client asks for, and what it is told about it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    errors::ErrorBody,
    events::{FinishReason, RankedInput, Recovery},
    raw::RawJson,
};

/// `POST /v2/tasks`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"model_ref": "mock", "prompt": "The sea is", "max_tokens": 3, "seed": 7}))]
pub struct CreateTask {
    /// The id that the client chose for the job: a UUID.
    #[schema(format = "uuid")]
    pub task_id: Option<String>,
    /// The session it belongs to: a UUID.
    #[schema(format = "uuid")]
    pub session_id: Option<String>,
    /// The kind of work.
    #[serde(default)]
    pub workload: Workload,
    /// The model, by any name that a pool knows it by.
    #[schema(min_length = 1)]
    pub model_ref: String,
    /// The engine, if it matters.
    pub engine: Option<Engine>,
    /// The text to go on from. Either this or `messages`.
    #[schema(min_length = 1)]
    pub prompt: Option<String>,
    /// The conversation to go on from, which the engine puts into its model's own shape.
    #[schema(min_items = 1, max_items = 1024)]
    pub messages: Option<Vec<ChatMessage>>,
    /// The texts that become vectors, or that are put in order by what `prompt` asks.
    #[schema(min_items = 1, max_items = 1024)]
    pub inputs: Option<Vec<String>>,
    /// Tokens of context to be had.
    #[schema(minimum = 1, maximum = 16_777_216)]
    pub ctx: Option<i64>,
    /// No more tokens than these.
    #[schema(minimum = 1, maximum = 16_777_216, default = 256)]
    pub max_tokens: Option<i64>,
    /// Who waits for it.
    #[serde(default)]
    pub priority: Priority,
    /// Milliseconds from admission after which the answer is worth nothing.
    #[schema(minimum = 1, maximum = 604_800_000)]
    pub deadline_ms: Option<i64>,
    /// The seed of the engine's random numbers.
    #[schema(minimum = 0, maximum = 4_294_967_294_i64)]
    pub seed: Option<i64>,
    /// Softmax temperature; 0 is greedy.
    #[schema(minimum = 0.0, maximum = 100.0)]
    pub temperature: Option<f64>,
    /// Nucleus sampling's probability mass.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub top_p: Option<f64>,
    /// How many most likely tokens are kept.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub top_k: Option<i64>,
    /// The least probability of a token, relative to the most likely one.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub min_p: Option<f64>,
    /// What a token's score loses once it was said.
    #[schema(minimum = -2.0, maximum = 2.0)]
    pub presence_penalty: Option<f64>,
    /// What a token's score loses each time it was said.
    #[schema(minimum = -2.0, maximum = 2.0)]
    pub frequency_penalty: Option<f64>,
    /// What the score of a token that was said is divided by.
    #[schema(minimum = 0.1, maximum = 10.0)]
    pub repeat_penalty: Option<f64>,
    /// Texts that end the answer.
    pub stop: Option<Stop>,
    /// The version of the sampling profile that the client has in mind; kept with the task.
    pub sampler_profile_version: Option<String>,
    /// How many tokens the client expects, for better predictions.
    #[schema(minimum = 1, maximum = 16_777_216)]
    pub expected_tokens: Option<i64>,
    /// Whether the engine may take the prompt's beginning from its cache.
    #[serde(default)]
    pub kv_hint: KvHint,
    /// What shape the answer is to have.
    #[serde(default)]
    pub output_mode: OutputMode,
    /// Whether the same request must give the same tokens.
    #[serde(default)]
    pub determinism: Determinism,
    /// Where it may run.
    pub placement: Option<Placement>,
    /// What must be on disk before the 202.
    pub durability: Option<Durability>,
    /// What becomes of the job when its last reader leaves.
    #[serde(default)]
    pub on_disconnect: OnDisconnect,
    /// What becomes of the job when its engine is lost after the first token.
    #[serde(default)]
    pub on_engine_loss: OnEngineLoss,
    /// How many engines may be tried; the server's own setting when absent.
    #[schema(minimum = 1, maximum = 16)]
    pub max_attempts: Option<i64>,
    /// What the job's session may use, if this is its first job.
    pub budget: Option<BudgetLimits>,
}

/// What a session may use. What is absent has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetLimits {
    /// Tokens of prompts and answers.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub tokens: Option<i64>,
    /// Milliseconds of engine time.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_i64)]
    pub time_ms: Option<i64>,
    /// Cost, in the unit of the operator's prices.
    #[schema(minimum = 0.0, maximum = 1e9)]
    pub cost: Option<f64>,
}

/// Whether the engine may take the prompt's beginning from its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KvHint {
    /// It may.
    #[default]
    Reuse,
    /// It must compute the whole prompt again, where it can be told to.
    Cold,
}

/// What shape an answer is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// Any text.
    #[default]
    Text,
    /// One JSON value, where the engine can hold its model to that.
    Json,
    /// Edits to a text; what they look like is between the client and its prompt.
    Edits,
}

/// What becomes of a job whose engine is lost after the first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnEngineLoss {
    /// It ends with an error.
    #[default]
    Fail,
    /// It starts anew on another engine; a `started` event says which tokens to forget.
    Restart,
    /// It goes on where it broke off, on another engine.
    Continue,
}

/// What becomes of a job when its last reader leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// It goes on.
    #[default]
    Continue,
    /// It is canceled, unless a reader comes back soon.
    Cancel,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// Who says it.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatRole {
    /// The operator of the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// A program that the model called.
    Tool,
}

/// The kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Text goes on.
    #[default]
    Completion,
    /// Text becomes a vector.
    Embedding,
    /// Texts are put in order.
    Rerank,
}

/// An engine's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// llama.cpp's server.
    Llamacpp,
    /// vLLM.
    Vllm,
    /// Text Generation Inference.
    Tgi,
    /// Any other that speaks `OpenAI`'s API.
    #[serde(rename = "openai")]
    OpenAi,
    /// Triton; not supported.
    Triton,
    /// The built-in engine without a model.
    Mock,
}

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A person.
    #[default]
    Interactive,
    /// A program that has time.
    Batch,
}

/// Whether the same request must give the same tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Determinism {
    /// A seed is always sent.
    #[default]
    Strict,
    /// The engine may choose.
    BestEffort,
}

/// What must be on disk before the 202.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The job.
    Fsync,
    /// Nothing.
    Memory,
}

/// One stop text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Where a task may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// How binding the rest is.
    #[serde(default)]
    pub mode: PlacementMode,
    /// The only pool, with mode `pin`.
    pub pin_pool_id: Option<String>,
    /// The only node, with mode `pin`.
    pub node_id: Option<String>,
    /// Pools to be taken first.
    #[serde(default)]
    pub prefer_pools: Vec<String>,
    /// Pools never to be taken.
    #[serde(default)]
    pub avoid_pools: Vec<String>,
    /// The device mask that is needed, as in "0,1".
    pub require_device_mask: Option<String>,
    /// Whether a pool that is not preferred may be taken.
    #[schema(default = true)]
    pub allow_fallback: Option<bool>,
}

/// How binding a placement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlacementMode {
    /// There or nowhere.
    Pin,
    /// There first.
    Prefer,
    /// Anywhere.
    #[default]
    Auto,
}

/// The body of the 202.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Admission {
    /// The job.
    #[schema(format = "uuid")]
    pub job_id: String,
    /// The same id, under the request's name for it.
    #[schema(format = "uuid")]
    pub task_id: String,
    /// Jobs ahead of it, over both classes; 0 is next.
    pub queue_position: u32,
    /// When it will probably start.
    pub predicted_start_ms: u64,
    /// When it will have started with a probability of 90 %.
    pub predicted_start_p90_ms: u64,
    /// How long to wait before asking for the next one.
    pub backoff_ms: u64,
    /// Where its events are.
    pub streams: Streams,
    /// What is still to be done before it can start.
    pub preparation: Preparation,
}

/// Where a job's events are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Streams {
    /// The stream.
    pub sse: String,
    /// The stream with explanations.
    pub sse_verbose: String,
}

/// What is to be done before a job can start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preparation {
    /// The steps, in order.
    pub steps: Vec<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits.
    Queued,
    /// It has an engine.
    Running,
    /// It ended well.
    Completed,
    /// Its client took it back.
    Canceled,
    /// It failed.
    Failed,
}

/// `GET /v2/tasks/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// The job.
    #[schema(format = "uuid")]
    pub job_id: String,
    /// The same id, under the request's name for it.
    #[schema(format = "uuid")]
    pub task_id: String,
    /// The session it belongs to.
    #[schema(format = "uuid")]
    pub session_id: String,
    /// Where it stands.
    pub state: TaskState,
    /// The kind of work.
    pub workload: Workload,
    /// The model that was asked for.
    pub model_ref: String,
    /// Who waits for it.
    pub priority: Priority,
    /// Jobs ahead of it now, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u32>,
    /// Jobs ahead of it when it was admitted.
    pub queue_position_at_admission: u32,
    /// When it was predicted to start, from its admission.
    pub predicted_start_ms: u64,
    /// When it was admitted, in RFC 3339.
    #[schema(format = DateTime)]
    pub accepted_at: String,
    /// When it was dispatched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// Where it runs or ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementView>,
    /// Replicas that were tried.
    pub attempts: u32,
    /// The whole text, once it ended and as long as its stream is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The vectors of an embedding task, once it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<f64>>>)]
    pub embeddings: Option<RawJson>,
    /// The ranking of a rerank task, once it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<RankedInput>>)]
    pub ranking: Option<RawJson>,
    /// How the task got over the loss of an engine after its first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What the engine counted, once it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageView>,
    /// Why it ended, unless it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// `GET /v2/tasks`: a part of the list, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The tasks, without their texts.
    pub tasks: Vec<TaskView>,
    /// What to send as `cursor` for the next part; absent after the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The body of a 410: the stream is gone, and this is how its task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpiredBody {
    /// The error as always.
    #[serde(flatten)]
    pub error: ErrorBody,
    /// The task, without its text.
    pub task: TaskView,
}

/// Where a job runs or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlacementView {
    /// The pool.
    pub pool_id: String,
    /// The engine within the pool.
    pub replica_id: String,
    /// The engine's kind.
    pub engine: String,
    /// The engine's version, where it tells one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
}

/// Token counts.
#[expect(clippy::struct_field_names, reason = "the public contract names these fields")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// Tokens of the prompt.
    pub tokens_in: u32,
    /// Tokens generated.
    pub tokens_out: u32,
    /// Prompt tokens that came from the engine's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_cached: Option<u32>,
}
