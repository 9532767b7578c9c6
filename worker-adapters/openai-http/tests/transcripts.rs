//! Recordings of servers that speak `OpenAI`'s dialect each in its own way, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them. What a recording says must not depend on how
//! the network cuts it.
#![cfg(test)]

use adapter_api::{AdapterError, FinishReason, Usage};
use http_util::{
    openai::OpenAiDialect,
    recording::{Read, read, ways_to_break_off, ways_to_cut},
};

const LLAMACPP: &[u8] = include_bytes!("transcripts/llamacpp_completion.sse");
const LLAMACPP_CHAT: &[u8] = include_bytes!("transcripts/llamacpp_chat.sse");
const TGI: &[u8] = include_bytes!("transcripts/tgi_completion.sse");

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
        for parts in ways_to_cut(body) {
            let cut = read(OpenAiDialect::default(), parts.iter().copied());
            assert_eq!(cut, whole, "{text} cut before {} bytes", parts[0].len());
        }
    }
}

#[test]
fn a_recording_that_breaks_off_has_no_finish() {
    for (body, text, ..) in answers() {
        for begun in ways_to_break_off(body) {
            let (said, finish) = read(OpenAiDialect::default(), [begun]).unwrap();
            assert!(text.starts_with(&said), "{said:?}");
            assert_eq!(finish, None, "{text} without all after byte {}", begun.len());
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
