//! Recordings of a llama.cpp server, and what the dialect makes of them.
//!
//! The bodies in `transcripts/` are as the server sent them, except that two last events were shortened.
//! What a recording says must not depend on how the network cuts it, nor on which of the dialect's two
//! ways of reading an event is taken.
#![cfg(test)]

use adapter_api::{AdapterError, Finish, FinishReason, TokenBatch, Usage};
use http_util::{
    Dialect, TextSink, Utf8Joiner,
    recording::{self, Read, ways_to_break_off, ways_to_cut},
};
use llamacpp_http::LlamaCppDialect;
use proptest::prelude::*;

const LIMIT: &[u8] = include_bytes!("transcripts/limit.sse");
const EOS: &[u8] = include_bytes!("transcripts/eos.sse");
const STOP_WORD: &[u8] = include_bytes!("transcripts/stop_word.sse");
const CUT_CHARACTERS: &[u8] = include_bytes!("transcripts/cut_characters.sse");
const CUT_INSIDE_CHARACTER: &[u8] = include_bytes!("transcripts/cut_inside_character.sse");
const ARRAY_PROMPT: &[u8] = include_bytes!("transcripts/array_prompt.sse");

/// Reads a body in these parts, as a stream does.
fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Read {
    recording::read(LlamaCppDialect::default(), parts)
}

fn usage(prompt: u32, generated: u32, cached: u32) -> Usage {
    Usage { prompt, generated, cached: Some(cached) }
}

/// The recordings that are one whole answer, with what they say.
fn answers() -> Vec<(&'static [u8], &'static str, FinishReason, Usage, bool)> {
    vec![
        (LIMIT, " 0 1 2 3 4", FinishReason::Length, usage(2, 5, 1), false),
        (EOS, "YZ", FinishReason::Stop, usage(1, 3, 0), false),
        (STOP_WORD, " 0 1 2 3", FinishReason::Stop, usage(2, 5, 1), false),
        (CUT_CHARACTERS, "éé日", FinishReason::Stop, usage(2, 8, 0), false),
        (CUT_INSIDE_CHARACTER, "é", FinishReason::Length, usage(2, 3, 1), false),
    ]
}

#[test]
fn a_recording_gives_its_text_its_reason_and_its_counts() {
    for (body, text, reason, usage, invalid_utf8) in answers() {
        let (read_text, finish) = read([body]).unwrap();
        let finish = finish.unwrap();
        assert_eq!(read_text, text);
        assert_eq!(
            (finish.reason, finish.usage, finish.invalid_utf8),
            (reason, usage, invalid_utf8),
            "{text}"
        );
    }
    let (_, finish) = read([LIMIT]).unwrap();
    assert_eq!(finish.unwrap().decode_ms, Some(3.573));
}

#[test]
fn a_recording_says_the_same_cut_at_each_byte_and_in_chunks_of_every_size() {
    for (body, text, ..) in answers() {
        let whole = read([body]);
        for parts in ways_to_cut(body) {
            assert_eq!(read(parts.iter().copied()), whole, "{text} cut before {} bytes", parts[0].len());
        }
    }
}

#[test]
fn a_recording_that_breaks_off_has_no_finish() {
    for (body, text, ..) in answers() {
        for begun in ways_to_break_off(body) {
            let (said, finish) = read([begun]).unwrap();
            assert!(text.starts_with(&said), "{said:?}");
            assert_eq!(finish, None, "{text} without all after byte {}", begun.len());
        }
    }
}

// The adapter sends one prompt and so has one answer; another's text must never be mixed into it.
#[test]
fn events_of_another_answer_are_an_error_and_null_is_not() {
    let error = read([ARRAY_PROMPT]).unwrap_err();
    assert_eq!(error, AdapterError::Protocol { what: "an event belongs to another answer".to_owned() });

    let events = std::str::from_utf8(ARRAY_PROMPT).unwrap().split_inclusive("\n\n");
    let ours: String = events.filter(|event| !event.contains(r#""index":1"#)).collect();
    assert!(ours.starts_with("data: null\n\n"));
    let (text, finish) = read([ours.as_bytes()]).unwrap();
    assert_eq!((text.as_str(), finish.map(|finish| finish.reason)), (" 0 1 2", Some(FinishReason::Length)));
}

// E17
#[test]
fn a_token_count_that_goes_backwards_is_an_error() {
    let event = |count: u32, space: &str| {
        format!(
            "data: {{{space}\"index\":0,\"content\":\"a\",\"tokens\":[5],\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":{count},\"tokens_evaluated\":2}}\n\n"
        )
    };
    for space in ["", " "] {
        let good = [event(3, ""), event(3, space), event(9, space)].concat();
        assert_eq!(read([good.as_bytes()]).unwrap().0, "aaa");
        let bad = [event(3, ""), event(2, space)].concat();
        assert!(matches!(read([bad.as_bytes()]), Err(AdapterError::Protocol { .. })));
    }
}

#[test]
fn an_error_inside_a_stream_ends_it_as_what_it_is() {
    let stream = |error: &str| {
        let first = &EOS[..EOS.windows(2).position(|window| window == b"\n\n").unwrap() + 2];
        [first, b"data: {\"error\":", error.as_bytes(), b"}\n\n"].concat()
    };
    let too_long = r#"{"code":400,"message":"too long","type":"exceed_context_size_error","n_ctx":4096}"#;
    let refused = read([stream(too_long).as_slice()]).unwrap_err();
    assert_eq!(refused, AdapterError::Refused { message: "too long".to_owned() });
    let broken =
        read([stream(r#"{"code":500,"message":"a\nb","type":"server_error"}"#).as_slice()]).unwrap_err();
    assert_eq!(broken, AdapterError::Failed { message: "a b".to_owned() });
}

/// An event in the shape that is read by hand, with `content` as it stands inside the JSON string.
fn event(content: &[u8], ids: &[u32], count: u32) -> Vec<u8> {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let mut event = b"{\"index\":0,\"content\":\"".to_vec();
    event.extend_from_slice(content);
    event.extend_from_slice(
        format!(
            "\",\"tokens\":[{}],\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":{count},\"tokens_evaluated\":2}}",
            ids.join(",")
        )
        .as_bytes(),
    );
    event
}

/// What one event says, alone.
fn say(data: &[u8]) -> Result<(Vec<String>, Option<Finish>), AdapterError> {
    let (mut batch, mut joiner) = (TokenBatch::new(), Utf8Joiner::default());
    let finish = LlamaCppDialect::default().event(data, &mut TextSink::new(&mut batch, &mut joiner))?;
    joiner.finish(&mut batch);
    Ok((batch.pieces().map(|piece| piece.text.to_owned()).collect(), finish))
}

/// The same event, which only the JSON parser can read: with one space or one field more.
fn detours(data: &[u8]) -> Vec<Vec<u8>> {
    let inside = &data[1..data.len() - 1];
    [("{ ", "}"), ("{", " }"), ("{", ",\"more\":[1,{}]}"), ("{\"more\":null,", "}"), ("{", "}\n")]
        .map(|(before, after)| [before.as_bytes(), inside, after.as_bytes()].concat())
        .to_vec()
}

proptest! {
    #[test]
    fn a_token_reads_the_same_by_hand_and_by_the_parser(
        text in any::<String>(),
        ids in prop::collection::vec(any::<u32>(), 0..4),
        count in any::<u32>(),
    ) {
        let quoted = serde_json::to_string(&text).unwrap();
        let data = event(&quoted.as_bytes()[1..quoted.len() - 1], &ids, count);
        let straight = say(&data);
        let pieces = if text.is_empty() { vec![] } else { vec![text] };
        prop_assert_eq!(&straight, &Ok((pieces, None)));
        for detour in detours(&data) {
            prop_assert_eq!(&say(&detour), &straight, "{}", String::from_utf8_lossy(&detour));
        }
    }

    #[test]
    fn any_bytes_in_a_token_read_the_same_by_hand_and_by_the_parser(
        content in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'u'), Just(0xC3), Just(0xA9)], 0..24),
        count in any::<u32>(),
    ) {
        let data = event(&content, &[1], count);
        let straight = say(&data);
        for detour in detours(&data) {
            prop_assert_eq!(&say(&detour), &straight, "{}", String::from_utf8_lossy(&detour));
        }
    }

    // E10
    #[test]
    fn no_bytes_make_the_dialect_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
        // The answer may be anything; that there is one is what counts.
        let _answer = (say(&data), say(&[b"{", data.as_slice()].concat()));
    }
}
