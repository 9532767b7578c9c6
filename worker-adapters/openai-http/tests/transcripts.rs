//! Recordings of servers that speak `OpenAI`'s dialect each in its own way, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them. What a recording says must not depend on how
//! the network cuts it.
#![cfg(test)]

use adapter_api::{AdapterError, Finish, FinishReason, TokenBatch, Usage};
use http_util::{Dialect, LineTooLong, SseDecoder, TextSink, Utf8Joiner, openai::OpenAiDialect};

const LLAMACPP: &[u8] = include_bytes!("transcripts/llamacpp_completion.sse");
const LLAMACPP_CHAT: &[u8] = include_bytes!("transcripts/llamacpp_chat.sse");
const TGI: &[u8] = include_bytes!("transcripts/tgi_completion.sse");

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

/// The recordings that are one whole answer, with what they say.
fn answers() -> Vec<(&'static [u8], &'static str, FinishReason, Usage)> {
    vec![
        (LLAMACPP, " 0 1 2 3", FinishReason::Length, usage(2, 4, Some(1))),
        (LLAMACPP_CHAT, "Once upon a time", FinishReason::Length, usage(18, 4, Some(17))),
        // An empty finish reason is none.
        (TGI, " 0 1 2", FinishReason::Length, usage(2, 3, None)),
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
fn the_engines_own_time_is_kept_where_it_tells_it() {
    let (_, finish) = read(OpenAiDialect::default(), [LLAMACPP]).unwrap();
    assert_eq!(finish.unwrap().decode_ms, Some(3.269));
}

fn say(events: &[&str]) -> Read {
    let body = format!("data: {}\n\n", events.join("\n\ndata: "));
    read(OpenAiDialect::default(), [body.as_bytes()])
}

#[test]
fn done_is_no_success_without_a_good_finish_reason() {
    let text = r#"{"choices":[{"index":0,"text":" one","finish_reason":null}]}"#;
    let abort = r#"{"choices":[{"index":0,"text":" two","finish_reason":"abort"}]}"#;
    let filter = r#"{"choices":[{"index":0,"text":"","finish_reason":"content_filter"}]}"#;
    assert_eq!(say(&[text, "[DONE]"]), Err(AdapterError::Lost));
    assert_eq!(say(&[text, abort, "[DONE]"]), Err(AdapterError::Lost));
    assert!(matches!(say(&[text, filter, "[DONE]"]), Err(AdapterError::Failed { .. })));
    let stop = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#;
    assert_eq!(say(&[text, stop]).unwrap(), (" one".to_owned(), None));
    // Without a count of the engine's own, events with text stand in for it.
    let (_, finish) = say(&[text, text, stop, "[DONE]"]).unwrap();
    assert_eq!(finish.unwrap().usage.generated, 2);
}

#[test]
fn another_answers_text_and_text_after_the_end_are_never_mixed_in() {
    let other = r#"{"choices":[{"index":1,"text":" one","finish_reason":null}]}"#;
    assert!(matches!(say(&[other]), Err(AdapterError::Protocol { .. })));
    let stop = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#;
    let late = r#"{"choices":[{"index":0,"text":" late","finish_reason":null}]}"#;
    assert!(matches!(say(&[stop, late]), Err(AdapterError::Protocol { .. })));
}

#[test]
fn an_error_inside_a_stream_ends_it_even_when_done_follows() {
    let error = r#"{"error":{"message":"the model crashed","type":"server_error","code":500}}"#;
    let crashed = AdapterError::Failed { message: "the model crashed".to_owned() };
    assert_eq!(say(&[error, "[DONE]"]), Err(crashed));
}
