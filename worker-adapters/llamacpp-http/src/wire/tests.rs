//! What the scanner reads of an event against what the parser reads.

use http_util::{SseDecoder, recording::with_a_fault};
use proptest::{prelude::*, sample::select};

use super::*;

const RECORDINGS: [&[u8]; 5] = [
    include_bytes!("../../tests/transcripts/limit.sse"),
    include_bytes!("../../tests/transcripts/eos.sse"),
    include_bytes!("../../tests/transcripts/stop_word.sse"),
    include_bytes!("../../tests/transcripts/array_prompt.sse"),
    include_bytes!("../../tests/transcripts/cut_characters.sse"),
];
/// The last event as it comes when only some of its fields were asked for.
const TRIMMED: &str = r#"{"content":"","index":0,"stop":true,"stop_type":"limit","timings/cache_n":1,"timings/predicted_ms":3.573,"tokens_evaluated":2,"tokens_predicted":5,"truncated":false}"#;

fn recorded() -> Vec<String> {
    let mut events = vec![TRIMMED.to_owned()];
    for recording in RECORDINGS {
        let mut add = |data: &[u8]| {
            events.extend(std::str::from_utf8(data).ok().filter(|it| it.starts_with('{')).map(str::to_owned));
            Ok::<_, http_util::LineTooLong>(())
        };
        SseDecoder::default().push(recording, &mut add).unwrap();
    }
    events
}

/// Whether the scanner takes the event; if it does, the parser takes it, too, and reads the same.
fn agrees(event: &str) -> bool {
    let Some(scanned) = Chunk::scanned(event) else { return false };
    let parsed: Chunk<'_> = serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    assert_eq!(format!("{scanned:?}"), format!("{parsed:?}"), "{event}");
    true
}

#[test]
fn recorded_events_are_read_without_the_parser() {
    let events = recorded();
    assert!(events.iter().filter(|event| event.contains(r#""stop":true"#)).count() >= RECORDINGS.len());
    for event in events {
        // Only the text itself may have an escape in it.
        assert!(agrees(&event) || event.starts_with(r#"{"index":0,"content":"\"#), "{event}");
    }
}

#[test]
fn errors_and_what_is_odd_are_left_to_the_parser() {
    for odd in [
        r#"{"error":{"code":500,"message":"no","type":"server_error"}}"#,
        r#"{"\u0069ndex":1}"#,
        r#"{"content":"\n"}"#,
        r#"{"content":null}"#,
        r#"{"stop":1}"#,
        r#"{"stop":"true"}"#,
        r#"{"stop":true,"stop":false}"#,
        r#"{"index":-1}"#,
        r#"{"index":-0}"#,
        r#"{"tokens_predicted":1.0}"#,
        r#"{"tokens_predicted":4294967296}"#,
        r#"{"timings":[1,2.0]}"#,
        r#"{"timings/cache_n":1e1}"#,
        r#"{"stop":true"#,
        r#"{"stop":true}}"#,
    ] {
        assert!(!agrees(odd), "{odd}");
    }
    for usual in
        ["{}", r#"{"error":null,"timings":null,"stop_type":null}"#, r#"{ "timings" : {"cache_n":-1} }"#]
    {
        assert!(agrees(usual), "{usual}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_event_with_a_fault_is_read_as_the_parser_reads_it(
        recorded in select(recorded()),
        place in any::<prop::sample::Index>(),
        put in select(" \n\"\\{}[]:,0-1.enu\u{1}é".chars().collect::<Vec<_>>()),
        lose in 0..3_usize,
    ) {
        let at = place.index(recorded.chars().count() - 3);
        for event in with_a_fault(&recorded, at, put, lose) {
            agrees(&event);
        }
    }

    #[test]
    fn members_of_every_kind_are_read_as_the_parser_reads_them(
        members in prop::collection::vec((
            select(vec![
                "index", "content", "stop", "stop_type", "tokens_predicted", "tokens_evaluated", "timings",
                "timings/cache_n", "timings/predicted_ms", "error", "x",
            ]),
            select(vec![
                "null", "true", "false", "0", "7", "-7", "4294967295", "1.5", "881.575080811049", "1e999", "\"\"",
                "\"a\"", "\"日\"", "\"\\n\"", "[]", "{}", "{\"cache_n\":3,\"predicted_ms\":0.1}", "{\"cache_n\":null}",
                "{\"message\":\"a\"}",
            ]),
        ), 0..5)
    ) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        agrees(&format!("{{{}}}", members.join(",")));
    }
}
