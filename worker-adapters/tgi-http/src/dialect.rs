//! Reading the events of `/generate_stream`.

use adapter_api::{AdapterError, Finish, FinishReason, Usage};
use http_util::{ByteString, Dialect, HoldBack, TextSink};

use crate::{
    refusal::failure,
    wire::{Details, Event},
};

/// The state of one stream.
#[derive(Debug, Default)]
pub struct TgiDialect {
    hold: HoldBack,
}

impl TgiDialect {
    /// For an answer that these texts may end.
    pub fn new(stops: &[String]) -> Self {
        Self { hold: HoldBack::new(stops) }
    }

    fn end(&mut self, details: &Details<'_>, sink: &mut TextSink<'_>) -> Result<Finish, AdapterError> {
        let reason = match &*details.finish_reason {
            "length" => FinishReason::Length,
            "eos_token" | "stop_sequence" => FinishReason::Stop,
            _ => return Err(protocol("the finish reason is none of its own")),
        };
        if details.finish_reason == "stop_sequence" {
            self.hold.cut(sink);
        } else {
            self.hold.release(sink);
        }
        let usage = Usage { prompt: details.input_length, generated: details.generated_tokens, cached: None };
        Ok(Finish { reason, usage, ..Finish::default() })
    }
}

impl Dialect for TgiDialect {
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        let event: Event<'_> =
            serde_json::from_slice(data).map_err(|_json| protocol("an event is not JSON that fits"))?;
        if let Some(error) = &event.error {
            return Err(failure(error, event.error_type.as_deref().unwrap_or_default()));
        }
        let token = event.token.as_ref().ok_or_else(|| protocol("an event has no token"))?;
        let ByteString(text) = &token.text;
        if !token.special {
            self.hold.text(text, sink);
        }
        if event.generated_text.is_none() {
            return Ok(None);
        }
        let details = event.details.as_ref().ok_or_else(|| protocol("the last event has no details"))?;
        self.end(details, sink).map(Some)
    }
}

fn protocol(what: &str) -> AdapterError {
    AdapterError::Protocol { what: what.to_owned() }
}
