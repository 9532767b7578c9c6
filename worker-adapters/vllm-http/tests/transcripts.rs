//! Recordings of a vLLM server, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them. What a recording says must not depend on how
//! the network cuts it.
#![cfg(test)]

use adapter_api::{AdapterError, Finish, FinishReason, TokenBatch, Usage};
use http_util::{Dialect, LineTooLong, SseDecoder, TextSink, Utf8Joiner, openai::OpenAiDialect};

const LIMIT: &[u8] = include_bytes!("transcripts/limit.sse");
const USAGE: &[u8] = include_bytes!("transcripts/usage.sse");
const EOS: &[u8] = include_bytes!("transcripts/eos.sse");
const STOP: &[u8] = include_bytes!("transcripts/stop.sse");
const CHAT: &[u8] = include_bytes!("transcripts/chat.sse");

/// The text that came, and the finish if there was one.
type Read = Result<(String, Option<Finish>), AdapterError>;

/// Reads a body in these parts, as a stream does.
fn read<'a>(mut dialect: impl Dialect, parts: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut decoder = SseDecoder::default();
    let (mut batch, mut joiner, mut finish) = (TokenBatch::new(), Utf8Joiner::default(), None);
    for part in parts {
        decoder
            .push(part, |data| {
                if finish.is_none() {
                    finish = dialect.event(data, &mut TextSink::new(&mut batch, &mut joiner)).map_err(Cut)?;
                }
                Ok(())
            })
            .map_err(|Cut(error)| error)?;
    }
    joiner.finish(&mut batch);
    Ok((batch.pieces().map(|piece| piece.text).collect(), finish))
}

/// Why a reading stopped.
struct Cut(AdapterError);

impl From<LineTooLong> for Cut {
    fn from(error: LineTooLong) -> Self {
        Self(AdapterError::Protocol { what: error.to_string() })
    }
}

fn usage(prompt: u32, generated: u32, cached: Option<u32>) -> Usage {
    Usage { prompt, generated, cached }
}

/// The recordings that are one whole answer, with what they say. Only those that were asked for usage
/// tell the engine's own count.
fn answers() -> Vec<(&'static [u8], &'static str, FinishReason, Usage)> {
    vec![
        (LIMIT, " 0 1 2 3 4", FinishReason::Length, usage(0, 5, None)),
        (USAGE, " 0 1 2 3 4", FinishReason::Length, usage(2, 5, None)),
        (EOS, "YZ", FinishReason::Stop, usage(0, 2, None)),
        (STOP, " 0 1 2 3", FinishReason::Stop, usage(0, 5, None)),
        (CHAT, "Once upon a bird", FinishReason::Length, usage(18, 4, None)),
    ]
}

#[test]
fn a_recording_gives_its_text_its_reason_and_its_counts() {
    for (body, text, reason, usage) in answers() {
        let (read_text, finish) = read(OpenAiDialect::default(), [body]).unwrap();
        let finish = finish.unwrap();
        assert_eq!((read_text.as_str(), finish.reason, finish.usage), (text, reason, usage));
    }
}

#[test]
fn a_recording_says_the_same_cut_at_each_byte_and_in_chunks_of_every_size() {
    for (body, text, ..) in answers() {
        let whole = read(OpenAiDialect::default(), [body]);
        for at in 1..body.len() {
            let (left, right) = body.split_at(at);
            assert_eq!(read(OpenAiDialect::default(), [left, right]), whole, "{text} cut at {at}");
            assert_eq!(read(OpenAiDialect::default(), body.chunks(at)), whole, "{text} in chunks of {at}");
        }
    }
}

#[test]
fn a_recording_that_breaks_off_has_no_finish() {
    for (body, text, ..) in answers() {
        let marker = body.windows(6).rposition(|window| window == b"\ndata:").unwrap();
        for end in (0..=marker).step_by(7).chain([marker, body.len() - 1]) {
            let (begun, finish) = read(OpenAiDialect::default(), [&body[..end]]).unwrap();
            assert!(text.starts_with(&begun), "{begun:?}");
            assert_eq!(finish, None, "{text} without all after byte {end}");
        }
    }
}

#[test]
fn an_engine_that_died_or_was_told_to_stop_gives_no_good_end() {
    let begun = &LIMIT[..LIMIT.windows(2).position(|window| window == b"\n\n").unwrap() + 2];
    let dead = br#"data: {"error": {"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}"#;
    let died = [begun, dead, b"\n\ndata: [DONE]\n\n"].concat();
    let failed = AdapterError::Failed { message: "EngineCore encountered an issue.".to_owned() };
    assert_eq!(read(OpenAiDialect::default(), [died.as_slice()]), Err(failed));
    let aborted = String::from_utf8(LIMIT.to_vec()).unwrap().replace("\"length\"", "\"abort\"");
    assert_eq!(read(OpenAiDialect::default(), [aborted.as_bytes()]), Err(AdapterError::Lost));
}
