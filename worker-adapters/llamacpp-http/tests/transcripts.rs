//! Recordings of a llama.cpp server, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them, except that two last events were shortened.
//! What a recording says must not depend on how the network cuts it, nor on which of the dialect's two
//! ways of reading an event is taken.
#![cfg(test)]

use adapter_api::{AdapterError, Finish, FinishReason, TokenBatch, Usage};
use http_util::{Dialect, SseDecoder, TextSink, Utf8Joiner};
use llamacpp_http::LlamaCppDialect;
use proptest::prelude::*;

const LIMIT: &[u8] = include_bytes!("transcripts/limit.sse");
const EOS: &[u8] = include_bytes!("transcripts/eos.sse");
const STOP_WORD: &[u8] = include_bytes!("transcripts/stop_word.sse");
const CUT_CHARACTERS: &[u8] = include_bytes!("transcripts/cut_characters.sse");
const CUT_INSIDE_CHARACTER: &[u8] = include_bytes!("transcripts/cut_inside_character.sse");
const ARRAY_PROMPT: &[u8] = include_bytes!("transcripts/array_prompt.sse");

/// The text that came, and the finish if there was one.
type Read = Result<(String, Option<Finish>), AdapterError>;

/// Reads a body in these parts, as a stream does.
fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let (mut decoder, mut dialect) = (SseDecoder::default(), LlamaCppDialect::default());
    let (mut batch, mut joiner, mut finish) = (TokenBatch::new(), Utf8Joiner::default(), None);
    for part in parts {
        decoder.push(part, |data| {
            if finish.is_none() {
                finish = dialect.event(data, &mut TextSink::new(&mut batch, &mut joiner)).map_err(Cut)?;
            }
            Ok(())
        })?;
    }
    joiner.finish(&mut batch);
    Ok((batch.pieces().map(|piece| piece.text).collect(), finish))
}

/// Why a reading stopped.
struct Cut(AdapterError);

impl<E: std::error::Error> From<E> for Cut {
    fn from(error: E) -> Self {
        Self(AdapterError::Protocol { what: error.to_string() })
    }
}

fn usage(prompt: u32, generated: u32, cached: u32) -> Usage {
    Usage { prompt, generated, cached: Some(cached) }
}
