//! What may be done to a pool as a whole. Clients ask the control plane, and that asks the node, alike.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check::{Fault, at_most, line, within};

/// A week: longer than any job runs.
const DEADLINE_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// `POST /v2/pools/{id}/drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"deadline_ms": 60000}))]
pub struct DrainPool {
    /// How long what runs may go on.
    #[schema(maximum = 604_800_000)]
    pub deadline_ms: u64,
}

/// `POST /v2/pools/{id}/reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"new_model_ref": "file:/srv/models/other.gguf"}))]
pub struct ReloadPool {
    /// The model to be served from then on.
    #[schema(min_length = 1, max_length = 512)]
    pub new_model_ref: String,
    /// The digest that its file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub model_digest: Option<String>,
    /// How long what runs may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 604_800_000)]
    pub deadline_ms: Option<u64>,
    /// How long the answer may wait for the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 60_000)]
    pub wait_ms: Option<u64>,
}

/// A line of text that is not empty.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 2048, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
struct Line(#[expect(dead_code, reason = "only its schema is used")] String);

/// `POST /v2/pools/{id}/purge`.
#[expect(clippy::struct_excessive_bools, reason = "the public contract names these fields")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgePool {
    /// Whether the engine's own files go too, where the node provided them.
    #[serde(default)]
    pub purge_engine: bool,
    /// The models whose files go.
    #[serde(default)]
    #[schema(max_items = 1024, value_type = Vec<Line>)]
    pub purge_models: Vec<String>,
    /// Whether what runs may finish first.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub drain_first: bool,
    /// Whether the pool's caches go too.
    #[serde(default)]
    pub delete_cache_dirs: bool,
    /// Whether what still runs is stopped rather than the purge refused.
    #[serde(default)]
    pub force: bool,
    /// How long what runs may go on, when it may finish first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 604_800_000)]
    pub deadline_ms: Option<u64>,
}

const fn yes() -> bool {
    true
}

impl Default for PurgePool {
    fn default() -> Self {
        Self {
            purge_engine: false,
            purge_models: Vec::new(),
            drain_first: true,
            delete_cache_dirs: false,
            force: false,
            deadline_ms: None,
        }
    }
}

/// What is done to a pool as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// It takes nothing new, and finishes what it has.
    Drain,
    /// It changes to another model.
    Reload,
    /// Its engine stops, and what it left on the disk goes.
    Purge,
}

impl OperationKind {
    /// Its name on the wire, in paths and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Reload => "reload",
            Self::Purge => "purge",
        }
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// It is under way.
    Running,
    /// It is done.
    Succeeded,
    /// It did not work out; a failed reload has the old model serve on.
    Failed,
}

/// The last operation of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    /// What is done.
    pub operation: OperationKind,
    /// How far it is.
    pub state: OperationState,
    /// Tells it from the ones before.
    pub operation_id: u64,
    /// The model that a reload goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_model_ref: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The answer to a lifecycle request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolAnswer {
    /// The pool.
    pub pool_id: String,
    /// What is done to it.
    #[serde(flatten)]
    pub operation: OperationView,
}

impl DrainPool {
    /// Whether every field holds what it may.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), Fault> {
        within("deadline_ms", self.deadline_ms, 0..=DEADLINE_MS_MAX)
    }
}

impl ReloadPool {
    /// Whether every field holds what it may. The reference itself is left to whoever resolves it.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), Fault> {
        line("new_model_ref", &self.new_model_ref)?;
        within("deadline_ms", self.deadline_ms.unwrap_or(0), 0..=DEADLINE_MS_MAX)?;
        within("wait_ms", self.wait_ms.unwrap_or(0), 0..=60_000)
    }
}

impl PurgePool {
    /// Whether every field holds what it may.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self) -> Result<(), Fault> {
        at_most("purge_models", self.purge_models.len(), 1_024)?;
        for (index, model) in self.purge_models.iter().enumerate() {
            line(&format!("purge_models[{index}]"), model)?;
        }
        within("deadline_ms", self.deadline_ms.unwrap_or(0), 0..=DEADLINE_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_purge_drains_first_and_removes_nothing() {
        assert_eq!(serde_json::from_str::<PurgePool>("{}").unwrap(), PurgePool::default());
    }

    #[test]
    fn a_drain_must_say_until_when() {
        assert!(serde_json::from_str::<DrainPool>("{}").is_err());
        let drain = DrainPool { deadline_ms: DEADLINE_MS_MAX + 1 };
        assert_eq!(drain.check().unwrap_err().field, "deadline_ms");
    }

    #[test]
    fn an_answer_is_flat() {
        let operation = OperationView {
            operation: OperationKind::Reload,
            state: OperationState::Running,
            operation_id: 7,
            new_model_ref: Some("m".into()),
            error: None,
        };
        let answer = PoolAnswer { pool_id: "p".into(), operation };
        let text = serde_json::to_string(&answer).unwrap();
        let flat =
            r#"{"pool_id":"p","operation":"reload","state":"running","operation_id":7,"new_model_ref":"m"}"#;
        assert_eq!(text, flat);
    }
}
