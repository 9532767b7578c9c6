//! What of `OpenAI`'s API is ours to write: errors and the list of models. Answers are the engine's own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of an answer that is an error, and the data of an event that is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiErrorBody {
    /// The error.
    pub error: OpenAiError,
}

/// An error in `OpenAI`'s words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiError {
    /// What went wrong, for people.
    pub message: String,
    /// What kind of error it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault, where one is.
    pub param: Option<String>,
    /// What went wrong, for programs.
    pub code: Option<String>,
}

/// `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiModels {
    /// Always `list`.
    pub object: String,
    /// The models that are ready now.
    pub data: Vec<OpenAiModel>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiModel {
    /// The name by which requests ask for it.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When the server first saw it, in seconds of Unix time.
    pub created: u64,
    /// Whose it is: the pools that serve it.
    pub owned_by: String,
    /// Tokens of context of one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u32>,
}
