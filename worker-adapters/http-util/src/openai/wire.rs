//! `OpenAI`'s stream events, as far as they are used. Private to this module's parent.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

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

impl<'a> Chunk<'a> {
    /// The text of an event that says nothing else that matters.
    pub(super) fn lone_text(&self) -> Option<&ByteString<'a>> {
        let [choice] = self.choices.as_slice() else { return None };
        let goes_on = choice.finish_reason.as_deref().is_none_or(str::is_empty);
        let says_more = self.usage.is_some() || self.timings.is_some() || self.error.is_some();
        if says_more || !goes_on {
            return None;
        }
        match (&choice.text, choice.delta.as_ref().and_then(|delta| delta.content.as_ref())) {
            (Some(text), None) | (None, Some(text)) => Some(text),
            _ => None,
        }
    }
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

/// What of a relayed event is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Seen<'a> {
    #[serde(borrow, default)]
    pub(super) choices: Vec<SeenChoice<'a>>,
    pub(super) usage: Option<Usage>,
    pub(super) timings: Option<Timings>,
    pub(super) error: Option<Value>,
}

/// What of one answer's part is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct SeenChoice<'a> {
    #[serde(borrow)]
    pub(super) finish_reason: Option<Cow<'a, str>>,
}

/// The same part, as long as it is not known whether anything was said.
#[derive(Debug, Deserialize)]
pub(super) struct SeenDelta<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl SeenDelta<'_> {
    /// Whether it names the speaker and nothing else.
    pub(super) fn is_silent(&self) -> bool {
        let empty = |value: &RawValue| matches!(value.get(), "null" | "\"\"");
        let said = self.delta.iter().any(|(name, value)| name != "role" && !empty(value));
        !said && self.text.is_none_or(empty)
    }
}
