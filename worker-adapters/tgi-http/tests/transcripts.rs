//! Recordings of a TGI router, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them. What a recording says must not depend on how
//! the network cuts it.
#![cfg(test)]

use adapter_api::{AdapterError, FinishReason, Usage};
use http_util::{
    openai::OpenAiDialect,
    recording::{read, ways_to_break_off, ways_to_cut},
};
use tgi_http::TgiDialect;

const LIMIT: &[u8] = include_bytes!("transcripts/limit.sse");
const EOS: &[u8] = include_bytes!("transcripts/eos.sse");
const STOP: &[u8] = include_bytes!("transcripts/stop.sse");
const VALIDATION: &[u8] = include_bytes!("transcripts/validation.sse");
const CHAT: &[u8] = include_bytes!("transcripts/chat.sse");
const CHAT_STOP: &[u8] = include_bytes!("transcripts/chat_stop.sse");

fn usage(prompt: u32, generated: u32, cached: Option<u32>) -> Usage {
    Usage { prompt, generated, cached }
}

/// The recordings that are one whole answer, with what they say.
fn answers() -> Vec<(&'static [u8], &'static str, FinishReason, Usage)> {
    vec![
        (LIMIT, " 0 1 2 3", FinishReason::Length, usage(2, 4, None)),
        // The end mark is a token of the model's and no text.
        (EOS, "YZ", FinishReason::Stop, usage(1, 3, None)),
        (STOP, " 0 1 2 3", FinishReason::Stop, usage(2, 5, None)),
    ]
}

fn dialect() -> TgiDialect {
    TgiDialect::new(&[" 4".to_owned()])
}

fn chat() -> OpenAiDialect {
    OpenAiDialect::that_sends_stops(&[" 2".to_owned()])
}

#[test]
fn a_recording_gives_its_text_its_reason_and_its_counts() {
    for (body, text, reason, usage) in answers() {
        let (read_text, finish) = read(dialect(), [body]).unwrap();
        let finish = finish.unwrap();
        assert_eq!((read_text.as_str(), finish.reason, finish.usage), (text, reason, usage));
    }
}

#[test]
fn a_recording_says_the_same_cut_at_each_byte_and_in_chunks_of_every_size() {
    for (body, text, ..) in answers() {
        let whole = read(dialect(), [body]);
        for parts in ways_to_cut(body) {
            let cut = read(dialect(), parts.iter().copied());
            assert_eq!(cut, whole, "{text} cut before {} bytes", parts[0].len());
        }
    }
}

#[test]
fn a_recording_that_breaks_off_has_no_finish() {
    for (body, text, ..) in answers() {
        for begun in ways_to_break_off(body) {
            let (said, finish) = read(dialect(), [begun]).unwrap();
            assert!(text.starts_with(&said), "{said:?}");
            assert_eq!(finish, None, "{text} without all after byte {}", begun.len());
        }
    }
}

#[test]
fn what_begins_a_stop_text_is_still_text_when_the_limit_ends_the_answer() {
    let stops = [" 3 and more".to_owned()];
    let (text, finish) = read(TgiDialect::new(&stops), [LIMIT]).unwrap();
    assert_eq!((text.as_str(), finish.unwrap().reason), (" 0 1 2 3", FinishReason::Length));
}

#[test]
fn a_conversation_ends_before_its_stop_text_at_every_cut() {
    for at in 1..CHAT_STOP.len() {
        let (text, finish) = read(chat(), CHAT_STOP.chunks(at)).unwrap();
        assert_eq!((text.as_str(), finish.unwrap().reason), (" 0 1", FinishReason::Stop), "chunks of {at}");
        let (text, finish) = read(chat(), CHAT.chunks(at)).unwrap();
        let finish = finish.unwrap();
        assert_eq!((text.as_str(), finish.reason), (" 0 1 2", FinishReason::Length), "chunks of {at}");
        assert_eq!(finish.usage, usage(18, 3, None));
    }
}

#[test]
fn an_error_event_is_told_by_its_kind() {
    let message = "Input validation error: `temperature` must be strictly positive".to_owned();
    assert_eq!(read(dialect(), [VALIDATION]), Err(AdapterError::Refused { message }));
    let said = |kind: &str| {
        let event = format!("data:{{\"error\":\"why\",\"error_type\":\"{kind}\"}}\n\n");
        read(dialect(), [event.as_bytes()]).unwrap_err()
    };
    assert_eq!(said("overloaded"), AdapterError::Busy { retry_after: None });
    for kind in ["generation", "incomplete_generation_stream", "new"] {
        assert_eq!(said(kind), AdapterError::Failed { message: "why".to_owned() }, "{kind}");
    }
}

#[test]
fn an_event_that_is_neither_a_token_nor_a_whole_end_breaks_the_protocol() {
    for event in [
        "{}",
        "null",
        "[DONE]",
        r#"{"token":{"text":"a"},"generated_text":"a","details":null}"#,
        r#"{"token":{"text":"a"},"generated_text":"a","details":{"finish_reason":"boredom"}}"#,
    ] {
        let body = format!("data: {event}\n\n");
        let broken = read(dialect(), [body.as_bytes()]);
        assert!(matches!(broken, Err(AdapterError::Protocol { .. })), "{event}: {broken:?}");
    }
}
