//! Handing a call on: its members as the client wrote them, its answer as the engine writes it.
//!
//! Of an answer's events only what decides is read: whether it is an error, why an answer ended, what was
//! counted. The event itself goes on untouched. Events that only name the speaker wait for the first one
//! that says something, so that a call may still be tried elsewhere as long as nothing was said.

use std::borrow::Cow;

use adapter_api::{AdapterError, Finish, Relay, Route, UsageEvent};
use memchr::memchr2;
use serde_json::Value;

use super::{
    summary::{Says, Summary, said_by_the_parser},
    template::Template,
    wire::Usage,
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

    fn hand_on(&mut self, document: Cow<'_, str>, says: Says, sink: &mut TextSink<'_>) {
        if self.spoke == Spoke::NotYet && says == Says::Nothing && self.held.len() < HELD_MAX {
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

    /// Reads an event in the quickest way that takes it, and learns from it.
    fn read<'a>(&mut self, data: &'a [u8], text: Option<&'a str>) -> Result<Summary<'a>, AdapterError> {
        if let Some(summary) = text.and_then(Summary::scanned) {
            self.template.learn_text(data, summary.lone_text);
            return Ok(summary);
        }
        let summary = Summary::parsed(data)?;
        self.template.learn_unparsed(data);
        Ok(summary)
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
        let text = std::str::from_utf8(data).ok();
        let summary = self.read(data, text)?;
        self.ended = self.ended.saturating_add(summary.ended);
        self.finish.reason = summary.reason.unwrap_or(self.finish.reason);
        if let Some(usage) = &summary.usage {
            self.count(usage);
            if summary.choices == 0 && self.usage == UsageEvent::Withheld {
                return Ok(None);
            }
        }
        self.finish.decode_ms = summary.decode_ms.or(self.finish.decode_ms);
        let says = match self.spoke {
            Spoke::Yes => Says::Something,
            Spoke::NotYet => summary.says.unwrap_or_else(|| said_by_the_parser(data)),
        };
        self.hand_on(text.map_or_else(|| one_line(data), without_line_ends), says, sink);
        Ok(None)
    }
}

/// A document as text on one line.
pub(super) fn one_line(data: &[u8]) -> Cow<'_, str> {
    // The lossy way looks at each byte, and is needed only where a character is broken.
    match std::str::from_utf8(data) {
        Ok(text) => without_line_ends(text),
        Err(_) => Cow::Owned(without_line_ends(&String::from_utf8_lossy(data)).into_owned()),
    }
}

/// Line ends between JSON tokens mean nothing, and inside a JSON string there can be none.
fn without_line_ends(text: &str) -> Cow<'_, str> {
    match memchr2(b'\n', b'\r', text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.replace(['\n', '\r'], " ")),
    }
}
