//! Handing a call on: its members as the client wrote them, its answer as the engine writes it.
//!
//! Of an answer's events only what decides is read: whether it is an error, why an answer ended, what was
//! counted. The event itself goes on untouched. Events that only name the speaker wait for the first one
//! that says something, so that a call may still be tried elsewhere as long as nothing was said.

use std::borrow::Cow;

use adapter_api::{AdapterError, Finish, FinishReason, Relay, Route, UsageEvent};
use memchr::memchr2;
use serde::Deserialize;
use serde_json::Value;

use super::{
    refusal::failure,
    template::Template,
    wire::{Seen, SeenDelta, Usage},
};
use crate::stream::{Dialect, TextSink};

/// The body of a relayed call: the adapter's members, then the client's.
///
/// `own` is what an engine needs beside, as JSON members with a comma behind each.
pub fn relay_body(relay: &Relay, model: &str, own: &str) -> Vec<u8> {
    let model = Value::from(model);
    let streamed = match relay.route {
        Route::Embeddings => "",
        Route::ChatCompletions | Route::Completions => {
            r#""stream":true,"stream_options":{"include_usage":true},"#
        }
    };
    format!(r#"{{{own}{streamed}"model":{model},{}}}"#, relay.members.expose()).into_bytes()
}

/// The state of one relayed stream.
#[derive(Debug)]
pub struct RelayDialect {
    usage: UsageEvent,
    answers: u32,
    ended: u32,
    finish: Finish,
    spoke: Spoke,
    /// Events that said nothing yet.
    held: Vec<String>,
    counted: Option<u32>,
    said: u32,
    /// The last event that was nothing but text.
    template: Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoke {
    NotYet,
    Yes,
}

/// More events than these that say nothing are handed on all the same.
const HELD_MAX: usize = 32;

impl RelayDialect {
    /// For the answer to this call.
    pub fn new(relay: &Relay) -> Self {
        Self {
            usage: relay.usage,
            answers: relay.answers,
            ended: 0,
            finish: Finish::default(),
            spoke: Spoke::NotYet,
            held: Vec::new(),
            counted: None,
            said: 0,
            template: Template::default(),
        }
    }

    fn hand_on(&mut self, data: &[u8], says_something: Spoke, sink: &mut TextSink<'_>) {
        let document = one_line(data);
        if self.spoke == Spoke::NotYet && says_something == Spoke::NotYet && self.held.len() < HELD_MAX {
            self.held.push(document.into_owned());
            return;
        }
        self.spoke = Spoke::Yes;
        for earlier in self.held.drain(..) {
            sink.document(&earlier);
        }
        self.said = self.said.saturating_add(1);
        sink.document(&document);
    }

    /// The event itself, if it is the last one with another text and so says nothing that matters here.
    fn another_text<'a>(&mut self, data: &'a [u8]) -> Option<&'a str> {
        if self.spoke == Spoke::NotYet {
            return None;
        }
        self.template.inside_of(data)?;
        std::str::from_utf8(data).ok()
    }

    fn count(&mut self, usage: &Usage) {
        self.finish.usage.prompt = usage.prompt_tokens;
        self.finish.usage.cached = usage.prompt_tokens_details.as_ref().and_then(|more| more.cached_tokens);
        self.counted = Some(usage.completion_tokens);
    }

    fn done(&mut self, sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        if self.ended < self.answers {
            return Err(AdapterError::Lost);
        }
        for earlier in self.held.drain(..) {
            sink.document(&earlier);
        }
        self.finish.usage.generated = self.counted.unwrap_or(self.said);
        Ok(Some(self.finish))
    }
}

impl Dialect for RelayDialect {
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        if let Some(document) = self.another_text(data) {
            self.said = self.said.saturating_add(1);
            sink.document(document);
            return Ok(None);
        }
        if data.trim_ascii() == b"[DONE]" {
            return self.done(sink);
        }
        if data.first() != Some(&b'{') {
            // llama.cpp sends `null` between the answers to several prompts.
            return Ok(None);
        }
        let seen: Seen<'_> = serde_json::from_slice(data)
            .map_err(|_json| AdapterError::Protocol { what: "an event is not JSON that fits".to_owned() })?;
        if let Some(error) = &seen.error {
            return Err(failure(error));
        }
        for choice in &seen.choices {
            self.finish.reason = match choice.finish_reason.as_deref() {
                None | Some("") => continue,
                // The engine was told to stop, and the answer is only a part.
                Some("abort") => return Err(AdapterError::Lost),
                Some("length") => FinishReason::Length,
                // Whatever else it says is for the client to judge.
                Some(_) => FinishReason::Stop,
            };
            self.ended = self.ended.saturating_add(1);
        }
        if let Some(usage) = &seen.usage {
            self.count(usage);
            if seen.choices.is_empty() && self.usage == UsageEvent::Withheld {
                return Ok(None);
            }
        }
        let decode_ms = seen.timings.as_ref().and_then(|timings| timings.predicted_ms);
        self.finish.decode_ms = decode_ms.or(self.finish.decode_ms);
        let says_something = if self.spoke == Spoke::Yes { Spoke::Yes } else { says_something(data, &seen) };
        self.template.learn_unparsed(data);
        self.hand_on(data, says_something, sink);
        Ok(None)
    }
}

/// Whether an event is more than the announcement of a speaker.
fn says_something(data: &[u8], seen: &Seen<'_>) -> Spoke {
    #[derive(Deserialize)]
    struct Deltas<'a> {
        #[serde(borrow)]
        choices: Vec<SeenDelta<'a>>,
    }
    let ended =
        seen.choices.iter().any(|choice| choice.finish_reason.as_deref().is_some_and(|it| !it.is_empty()));
    let deltas = serde_json::from_slice::<Deltas<'_>>(data);
    let silent = deltas.is_ok_and(|deltas| deltas.choices.iter().all(SeenDelta::is_silent));
    if silent && !ended { Spoke::NotYet } else { Spoke::Yes }
}

/// The event as text on one line. Line ends between JSON tokens mean nothing, and inside a JSON string
/// there can be none.
pub(super) fn one_line(data: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(data);
    match memchr2(b'\n', b'\r', data) {
        None => text,
        Some(_) => Cow::Owned(text.replace(['\n', '\r'], " ")),
    }
}
