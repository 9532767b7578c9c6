//! llama.cpp's JSON, as far as it is used. Private to this crate.

use std::borrow::Cow;

use adapter_api::{CacheUse, Generate, Message, OutputShape};
use http_util::{ByteString, Member, Scanner};
use serde::{Deserialize, Serialize};

/// `POST /completion`.
#[expect(clippy::struct_excessive_bools, reason = "the engine names these fields")]
#[derive(Debug, Serialize)]
pub(crate) struct CompletionRequest<'a> {
    prompt: &'a str,
    n_predict: u32,
    stream: bool,
    cache_prompt: bool,
    sse_ping_interval: u32,
    /// Trims the last event, which would repeat the whole prompt otherwise.
    response_fields: [&'static str; 9],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    /// An empty schema: any JSON value.
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<EmptySchema>,
}

/// `{}`.
#[derive(Debug, Serialize)]
struct EmptySchema {}

/// Seconds between signs of life; it is also how soon a stopping engine ends its streams.
const PING_INTERVAL_S: u32 = 2;
/// The same wish for a call that is handed on, as a JSON member.
pub(crate) const RELAY_MEMBERS: &str = r#""sse_ping_interval":2,"#;

impl<'a> CompletionRequest<'a> {
    pub(crate) fn of(order: &'a Generate, prompt: &'a str) -> Self {
        Self {
            prompt,
            n_predict: order.max_tokens,
            stream: true,
            cache_prompt: order.cache == CacheUse::Reuse,
            sse_ping_interval: PING_INTERVAL_S,
            response_fields: [
                "index",
                "content",
                "stop",
                "stop_type",
                "tokens_predicted",
                "tokens_evaluated",
                "truncated",
                "timings/cache_n",
                "timings/predicted_ms",
            ],
            seed: order.sampling.seed,
            temperature: order.sampling.temperature,
            top_p: order.sampling.top_p,
            top_k: order.sampling.top_k,
            min_p: order.sampling.min_p,
            presence_penalty: order.sampling.presence_penalty,
            frequency_penalty: order.sampling.frequency_penalty,
            repeat_penalty: order.sampling.repeat_penalty,
            stop: &order.sampling.stop,
            json_schema: (order.shape == OutputShape::Json).then_some(EmptySchema {}),
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Plain fields with string keys; JSON can say all of it.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// `POST /apply-template`.
#[derive(Debug, Serialize)]
pub(crate) struct TemplateRequest<'a> {
    messages: Vec<Turn<'a>>,
}

/// One message of a conversation.
#[derive(Debug, Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> TemplateRequest<'a> {
    pub(crate) fn of(messages: &'a [Message]) -> Self {
        let turn =
            |message: &'a Message| Turn { role: message.role.as_str(), content: message.content.expose() };
        Self { messages: messages.iter().map(turn).collect() }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Plain strings; JSON can say all of it.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What `/apply-template` answers.
#[derive(Debug, Deserialize)]
pub(crate) struct AppliedTemplate {
    pub(crate) prompt: String,
}

/// One event of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(default)]
    pub(crate) index: u32,
    #[serde(borrow, default)]
    pub(crate) content: ByteString<'a>,
    #[serde(default)]
    pub(crate) stop: bool,
    #[serde(borrow)]
    pub(crate) stop_type: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) tokens_predicted: u32,
    #[serde(default)]
    pub(crate) tokens_evaluated: u32,
    pub(crate) timings: Option<Timings>,
    // A trimmed last event carries the two timings under their paths.
    #[serde(rename = "timings/cache_n")]
    pub(crate) cache_n: Option<i64>,
    #[serde(rename = "timings/predicted_ms")]
    pub(crate) predicted_ms: Option<f64>,
    #[serde(borrow)]
    pub(crate) error: Option<EngineError<'a>>,
}

impl<'a> Chunk<'a> {
    /// Reads an event of the usual kind. `None` for any other, and for one that is an error: the parser takes all
    /// that fit, and says of the rest that they do not.
    pub(crate) fn scanned(event: &'a str) -> Option<Self> {
        let (mut index, mut predicted, mut evaluated) =
            (Member::default(), Member::default(), Member::default());
        let (mut content, mut stop, mut stop_type) =
            (Member::default(), Member::default(), Member::default());
        let (mut timings, mut cache_n, mut predicted_ms) =
            (Member::default(), Member::default(), Member::default());
        let mut error = Member::<()>::default();
        Scanner::read(event, |scanner| {
            scanner.object(|name, scanner| match name {
                "index" => index.read(scanner, Scanner::integer),
                "content" => content.read(scanner, Scanner::string_as_written),
                "stop" => stop.read(scanner, |scanner| scanner.raw()?.parse().ok()),
                "stop_type" => stop_type.read_unless_null(scanner, Scanner::string_as_written),
                "tokens_predicted" => predicted.read(scanner, Scanner::integer),
                "tokens_evaluated" => evaluated.read(scanner, Scanner::integer),
                "timings" => timings.read_unless_null(scanner, Timings::scanned),
                "timings/cache_n" => cache_n.read_unless_null(scanner, Scanner::integer),
                "timings/predicted_ms" => predicted_ms.read_unless_null(scanner, Scanner::float),
                "error" => error.read_unless_null(scanner, |_| None),
                _ => scanner.skip(),
            })
        })?;
        Some(Self {
            index: index.value().unwrap_or_default(),
            content: ByteString(Cow::Borrowed(content.value().unwrap_or_default().as_bytes())),
            stop: stop.value().unwrap_or_default(),
            stop_type: stop_type.value().map(Cow::Borrowed),
            tokens_predicted: predicted.value().unwrap_or_default(),
            tokens_evaluated: evaluated.value().unwrap_or_default(),
            timings: timings.value(),
            cache_n: cache_n.value(),
            predicted_ms: predicted_ms.value(),
            error: None,
        })
    }
}

impl Timings {
    fn scanned(scanner: &mut Scanner<'_>) -> Option<Self> {
        let (mut cache_n, mut predicted_ms) = (Member::default(), Member::default());
        scanner.object(|name, scanner| match name {
            "cache_n" => cache_n.read_unless_null(scanner, Scanner::integer),
            "predicted_ms" => predicted_ms.read_unless_null(scanner, Scanner::float),
            _ => scanner.skip(),
        })?;
        Some(Self { cache_n: cache_n.value(), predicted_ms: predicted_ms.value() })
    }
}

/// Times of one piece of work.
#[derive(Debug, Deserialize)]
pub(crate) struct Timings {
    pub(crate) cache_n: Option<i64>,
    pub(crate) predicted_ms: Option<f64>,
}

/// What an error says.
#[derive(Debug, Deserialize)]
pub(crate) struct EngineError<'a> {
    #[serde(borrow, default)]
    pub(crate) message: Cow<'a, str>,
    #[serde(borrow, rename = "type", default)]
    pub(crate) kind: Cow<'a, str>,
}

/// The body of an answer that is an error.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorAnswer<'a> {
    #[serde(borrow)]
    pub(crate) error: EngineError<'a>,
}

/// `GET /props`.
#[derive(Debug, Deserialize)]
pub(crate) struct Props {
    pub(crate) total_slots: Option<u32>,
    pub(crate) default_generation_settings: Option<GenerationSettings>,
    pub(crate) model_path: Option<String>,
    pub(crate) model_alias: Option<String>,
    pub(crate) build_info: Option<String>,
}

/// The part of the settings that says how long a slot's context is.
#[derive(Debug, Deserialize)]
pub(crate) struct GenerationSettings {
    pub(crate) n_ctx: Option<u32>,
}

/// `GET /v1/models`.
#[derive(Debug, Deserialize)]
pub(crate) struct Models {
    #[serde(default)]
    pub(crate) data: Vec<Model>,
}

/// One loaded model.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
}

/// One entry of `GET /slots`.
#[derive(Debug, Deserialize)]
pub(crate) struct Slot {
    #[serde(default)]
    pub(crate) is_processing: bool,
}

#[cfg(test)]
mod tests;
