//! `OpenAI`'s stream events, as far as they are used. Private to this module's parent.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::json::ByteString;

/// One event of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) usage: Option<Usage>,
    pub(super) timings: Option<Timings>,
    /// An object by the book; some servers write a text here.
    pub(super) error: Option<Value>,
}

/// One answer's part of an event.
#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    /// Where completions put their text.
    #[serde(borrow)]
    pub(super) text: Option<ByteString<'a>>,
    /// Where chat completions put theirs.
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Cow<'a, str>>,
}

/// What a message grows by.
#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<ByteString<'a>>,
}

/// Token counts.
#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) prompt_tokens: u32,
    #[serde(default)]
    pub(super) completion_tokens: u32,
    pub(super) prompt_tokens_details: Option<PromptDetails>,
}

/// How the prompt was computed.
#[derive(Debug, Deserialize)]
pub(super) struct PromptDetails {
    pub(super) cached_tokens: Option<u32>,
}

/// llama.cpp's own times.
#[derive(Debug, Deserialize)]
pub(super) struct Timings {
    pub(super) predicted_ms: Option<f64>,
}
