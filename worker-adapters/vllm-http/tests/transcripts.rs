//! Recordings of a vLLM server, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them. What a recording says must not depend on how
//! the network cuts it.
#![cfg(test)]

use adapter_api::{AdapterError, FinishReason, Usage};
use http_util::{
    openai::OpenAiDialect,
    recording::{read, ways_to_break_off, ways_to_cut},
};

const LIMIT: &[u8] = include_bytes!("transcripts/limit.sse");
const USAGE: &[u8] = include_bytes!("transcripts/usage.sse");
const EOS: &[u8] = include_bytes!("transcripts/eos.sse");
const STOP: &[u8] = include_bytes!("transcripts/stop.sse");
const CHAT: &[u8] = include_bytes!("transcripts/chat.sse");

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
fn an_engine_that_died_or_was_told_to_stop_gives_no_good_end() {
    let begun = &LIMIT[..LIMIT.windows(2).position(|window| window == b"\n\n").unwrap() + 2];
    let dead = br#"data: {"error": {"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}"#;
    let died = [begun, dead, b"\n\ndata: [DONE]\n\n"].concat();
    let failed = AdapterError::Failed { message: "EngineCore encountered an issue.".to_owned() };
    assert_eq!(read(OpenAiDialect::default(), [died.as_slice()]), Err(failed));
    let aborted = String::from_utf8(LIMIT.to_vec()).unwrap().replace("\"length\"", "\"abort\"");
    assert_eq!(read(OpenAiDialect::default(), [aborted.as_bytes()]), Err(AdapterError::Lost));
}
