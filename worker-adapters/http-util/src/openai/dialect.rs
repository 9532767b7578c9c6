//! Reading a stream's events.

use adapter_api::{AdapterError, Finish, FinishReason};

use super::{
    refusal::failure,
    template::Template,
    wire::{Choice, Chunk, Usage},
};
use crate::{
    hold_back::HoldBack,
    json::ByteString,
    stream::{Dialect, TextSink},
};

/// The state of one stream.
#[derive(Debug, Default)]
pub struct OpenAiDialect {
    hold: HoldBack,
    finish: Finish,
    reason: Option<FinishReason>,
    /// Events with text, which stand in for a count where the engine gives none.
    texts: u32,
    counted: Option<u32>,
    /// The last event that was nothing but text.
    template: Template,
}

impl OpenAiDialect {
    /// For an engine that sends the stop text too: it is kept out of the answer.
    pub fn that_sends_stops(stops: &[String]) -> Self {
        Self { hold: HoldBack::new(stops), ..Self::default() }
    }

    fn choice(&mut self, choice: &Choice<'_>, sink: &mut TextSink<'_>) -> Result<(), AdapterError> {
        if choice.index != 0 {
            return Err(protocol("an event belongs to another answer"));
        }
        let said = choice.text.as_ref();
        let delta = choice.delta.as_ref().and_then(|delta| delta.content.as_ref());
        for ByteString(text) in said.into_iter().chain(delta) {
            self.text(text, sink)?;
        }
        match finish_mark(choice.finish_reason.as_deref())? {
            FinishMark::GoesOn => return Ok(()),
            FinishMark::Ended(FinishReason::Stop) => {
                self.hold.cut(sink);
                self.reason = Some(FinishReason::Stop);
            }
            FinishMark::Ended(FinishReason::Length) => {
                self.hold.release(sink);
                self.reason = Some(FinishReason::Length);
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8], sink: &mut TextSink<'_>) -> Result<(), AdapterError> {
        if text.is_empty() {
            return Ok(());
        }
        if self.reason.is_some() {
            return Err(protocol("text came after the finish reason"));
        }
        self.texts = self.texts.saturating_add(1);
        self.hold.text(text, sink);
        Ok(())
    }

    fn count(&mut self, usage: &Usage) {
        self.finish.usage.prompt = usage.prompt_tokens;
        self.finish.usage.cached = usage.prompt_tokens_details.as_ref().and_then(|more| more.cached_tokens);
        self.counted = Some(usage.completion_tokens);
    }

    fn done(&mut self) -> Result<Option<Finish>, AdapterError> {
        let reason = self.reason.ok_or(AdapterError::Lost)?;
        self.finish.reason = reason;
        self.finish.usage.generated = self.counted.unwrap_or(self.texts);
        Ok(Some(self.finish))
    }
}

impl Dialect for OpenAiDialect {
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        if let Some(text) = self.template.inside_of(data).filter(|text| text.plain) {
            self.text(text.written, sink)?;
            return Ok(None);
        }
        if data.trim_ascii() == b"[DONE]" {
            return self.done();
        }
        let chunk = match std::str::from_utf8(data).ok().and_then(Chunk::scanned) {
            Some(chunk) => chunk,
            None => {
                serde_json::from_slice(data).map_err(|_json| protocol("an event is not JSON that fits"))?
            }
        };
        if let Some(error) = &chunk.error {
            return Err(failure(error));
        }
        for choice in &chunk.choices {
            self.choice(choice, sink)?;
        }
        self.template.learn(data, &chunk);
        if let Some(usage) = &chunk.usage {
            self.count(usage);
        }
        let decode_ms = chunk.timings.and_then(|timings| timings.predicted_ms);
        self.finish.decode_ms = decode_ms.or(self.finish.decode_ms);
        Ok(None)
    }
}

/// What a finish reason says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FinishMark {
    /// Nothing: the answer goes on.
    GoesOn,
    /// The answer is whole.
    Ended(FinishReason),
}

/// Reads a finish reason. One that means no whole answer is an error.
fn finish_mark(reason: Option<&str>) -> Result<FinishMark, AdapterError> {
    match reason {
        // TGI writes an empty reason as long as there is none.
        None | Some("") => Ok(FinishMark::GoesOn),
        Some("length") => Ok(FinishMark::Ended(FinishReason::Length)),
        Some("stop" | "eos_token" | "stop_sequence" | "tool_calls" | "function_call") => {
            Ok(FinishMark::Ended(FinishReason::Stop))
        }
        // The engine was told to stop, and the answer is only a part.
        Some("abort") => Err(AdapterError::Lost),
        Some(_) => {
            Err(AdapterError::Failed { message: "it stopped for a reason that is no good end".to_owned() })
        }
    }
}

fn protocol(what: &str) -> AdapterError {
    AdapterError::Protocol { what: what.to_owned() }
}
