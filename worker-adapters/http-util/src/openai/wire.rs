//! `OpenAI`'s stream events, as far as they are used. Private to this module's parent.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    json::ByteString,
    scan::{Member, Scanner},
};

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
    /// Reads an event of the usual kind. `None` for any other, and for one that is an error: the parser takes all
    /// that fit, and says of the rest that they do not.
    pub(super) fn scanned(event: &'a str) -> Option<Self> {
        let mut choices = Vec::new();
        let mut all = Member::default();
        let (mut usage, mut timings) = (Member::default(), Member::default());
        let mut error = Member::<()>::default();
        Scanner::read(event, |scanner| {
            scanner.object(|name, scanner| match name {
                "choices" => all.read(scanner, |scanner| {
                    scanner.array(|scanner| {
                        choices.push(Choice::scanned(scanner)?);
                        Some(())
                    })
                }),
                "usage" => usage.read_unless_null(scanner, Usage::scanned),
                "timings" => timings.read_unless_null(scanner, Timings::scanned),
                "error" => error.read_unless_null(scanner, |_| None),
                _ => scanner.skip(),
            })
        })?;
        Some(Self { choices, usage: usage.value(), timings: timings.value(), error: None })
    }

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

impl<'a> Choice<'a> {
    fn scanned(scanner: &mut Scanner<'a>) -> Option<Self> {
        let (mut index, mut text) = (Member::default(), Member::default());
        let (mut delta, mut finish_reason) = (Member::default(), Member::default());
        scanner.object(|name, scanner| match name {
            "index" => index.read(scanner, Scanner::integer),
            "text" => text.read_unless_null(scanner, text_scanned),
            "delta" => delta.read_unless_null(scanner, Delta::scanned),
            "finish_reason" => finish_reason.read_unless_null(scanner, Scanner::string_as_written),
            _ => scanner.skip(),
        })?;
        Some(Self {
            index: index.value().unwrap_or_default(),
            text: text.value(),
            delta: delta.value(),
            finish_reason: finish_reason.value().map(Cow::Borrowed),
        })
    }
}

fn text_scanned<'a>(scanner: &mut Scanner<'a>) -> Option<ByteString<'a>> {
    Some(ByteString(Cow::Borrowed(scanner.string_as_written()?.as_bytes())))
}

/// What a message grows by.
#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<ByteString<'a>>,
}

impl<'a> Delta<'a> {
    fn scanned(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut content = Member::default();
        scanner.object(|name, scanner| match name {
            "content" => content.read_unless_null(scanner, text_scanned),
            _ => scanner.skip(),
        })?;
        Some(Self { content: content.value() })
    }
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

impl Usage {
    pub(super) fn scanned(scanner: &mut Scanner<'_>) -> Option<Self> {
        let (mut prompt, mut completion) = (Member::default(), Member::default());
        let mut details = Member::default();
        scanner.object(|name, scanner| match name {
            "prompt_tokens" => prompt.read(scanner, Scanner::integer),
            "completion_tokens" => completion.read(scanner, Scanner::integer),
            "prompt_tokens_details" => details.read_unless_null(scanner, PromptDetails::scanned),
            _ => scanner.skip(),
        })?;
        Some(Self {
            prompt_tokens: prompt.value().unwrap_or_default(),
            completion_tokens: completion.value().unwrap_or_default(),
            prompt_tokens_details: details.value(),
        })
    }
}

/// How the prompt was computed.
#[derive(Debug, Deserialize)]
pub(super) struct PromptDetails {
    pub(super) cached_tokens: Option<u32>,
}

impl PromptDetails {
    fn scanned(scanner: &mut Scanner<'_>) -> Option<Self> {
        let mut cached = Member::default();
        scanner.object(|name, scanner| match name {
            "cached_tokens" => cached.read_unless_null(scanner, Scanner::integer),
            _ => scanner.skip(),
        })?;
        Some(Self { cached_tokens: cached.value() })
    }
}

/// llama.cpp's own times.
#[derive(Debug, Deserialize)]
pub(super) struct Timings {
    pub(super) predicted_ms: Option<f64>,
}

impl Timings {
    pub(super) fn scanned(scanner: &mut Scanner<'_>) -> Option<Self> {
        let mut predicted_ms = Member::default();
        scanner.object(|name, scanner| match name {
            "predicted_ms" => predicted_ms.read_unless_null(scanner, Scanner::float),
            _ => scanner.skip(),
        })?;
        Some(Self { predicted_ms: predicted_ms.value() })
    }
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
