//! What the scanner reads of an event against what the parser reads.

use adapter_api::{Finish, Prompt, Relay, Route, TokenBatch, UsageEvent};
use proptest::{prelude::*, sample::select};

use super::{super::wire::Chunk, *};
use crate::{
    openai::RelayDialect,
    recording::with_a_fault,
    stream::{Dialect, TextSink},
    utf8::Utf8Joiner,
};

/// Events as engines write them, each of its own kind.
const USUAL: [&str; 12] = [
    r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1795455388,"id":"chatcmpl-yxXy","model":"/models/a.gguf","system_fingerprint":"b11434-unknown","object":"chat.completion.chunk"}"#,
    r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" upon"}}],"created":1795455388,"id":"chatcmpl-yxXy","model":"/models/a.gguf","system_fingerprint":"b11434-unknown","object":"chat.completion.chunk"}"#,
    r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"\n\"日\""}}],"created":1795455388,"id":"chatcmpl-yxXy","object":"chat.completion.chunk"}"#,
    r#"{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1795455388,"id":"chatcmpl-yxXy","object":"chat.completion.chunk","timings":{"cache_n":17,"prompt_n":1,"prompt_ms":1.69,"prompt_per_second":591.7159763313609,"predicted_n":4,"predicted_ms":3.403,"predicted_per_second":881.575080811049}}"#,
    r#"{"choices":[],"created":1795455388,"id":"chatcmpl-yxXy","usage":{"completion_tokens":4,"prompt_tokens":18,"total_tokens":22,"prompt_tokens_details":{"cached_tokens":17}},"timings":{"cache_n":17,"predicted_ms":3.403}}"#,
    r#"{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1795,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}"#,
    r#"{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1795,"model":"m","choices":[{"index":0,"delta":{"content":" a","reasoning_content":null},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#,
    r#"{"id":"cmpl-9","object":"text_completion","created":1795,"model":"m","choices":[{"index":0,"text":" 0","logprobs":null,"finish_reason":"stop","stop_reason":2}],"usage":null}"#,
    r#"{"object":"text_completion","id":"","created":1795,"model":"m","system_fingerprint":"3.3.6-sha","choices":[{"index":0,"text":" 0","logprobs":null,"finish_reason":""}],"usage":null}"#,
    r#"{"id":"x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]},"finish_reason":null}]}"#,
    r#"{"id": "x", "choices": [{"index": 0, "delta": {"role": "assistant"}}, {"index": 1, "text": ""}], "usage": {"prompt_tokens": 7, "prompt_tokens_details": null}}"#,
    r#"{"error":null,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{},"timings":{}}"#,
];

/// What an event says, in words that can be compared.
fn facts(event: &str, summary: &Summary<'_>) -> String {
    let Summary { ended, reason, choices, usage, decode_ms, says, lone_text: _ } = summary;
    let says = says.unwrap_or_else(|| said_by_the_parser(event.as_bytes()));
    format!("{ended} {reason:?} {choices} {usage:?} {decode_ms:?} {says:?}")
}

/// What is read of an event for a text, by the scanner if it takes the event, is what the parser reads.
fn chunk_agrees(event: &str) -> bool {
    let Some(scanned) = Chunk::scanned(event) else { return false };
    let parsed: Chunk<'_> = serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    assert_eq!(format!("{scanned:?}"), format!("{parsed:?}"), "{event}");
    true
}

/// Whether the scanner takes the event; if it does, the parser takes it, too, and reads the same.
fn agrees(event: &str) -> bool {
    chunk_agrees(event);
    let Some(scanned) = Summary::scanned(event) else { return false };
    let parsed = Summary::parsed(event.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {event}"));
    assert_eq!(facts(event, &scanned), facts(event, &parsed), "{event}");
    if let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(event) {
        let lone = chunk.lone_text().map(|text| text.0.as_ref());
        let unescaped = lone.filter(|text| !text.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)));
        assert_eq!(scanned.lone_text.map(str::as_bytes), unescaped, "{event}");
    }
    true
}

#[test]
fn the_events_of_engines_are_read_without_the_parser() {
    for event in USUAL {
        assert!(agrees(event), "{event}");
        // Only where the text is wanted must it be written without an escape.
        assert!(chunk_agrees(event) || event.contains(r#""content":"\n"#), "{event}");
    }
}

#[test]
fn errors_aborts_and_what_is_odd_are_left_to_the_parser() {
    let choice = |member: &str| format!(r#"{{"choices":[{{"index":0,{member}}}]}}"#);
    for odd in [
        r#"{"error":{"message":"no"}}"#.to_owned(),
        r#"{"error":"no","choices":[]}"#.to_owned(),
        r#"{"\u0065rror":"no"}"#.to_owned(),
        r#"{"choices":null}"#.to_owned(),
        r#"{"choices":[],"choices":[]}"#.to_owned(),
        r#"{"choices":[["stop"]]}"#.to_owned(),
        r#"{"usage":[1,2,null]}"#.to_owned(),
        r#"{"usage":{"prompt_tokens":-1}}"#.to_owned(),
        r#"{"usage":{"prompt_tokens":1.0}}"#.to_owned(),
        r#"{"usage":{"completion_tokens":4294967296}}"#.to_owned(),
        r#"{"timings":{"predicted_ms":"1"}}"#.to_owned(),
        choice(r#""finish_reason":"abort""#),
        choice(r#""finish_reason":"\u0061bort""#),
        choice(r#""finish_reason":1"#),
        choice(r#""delta":null"#),
        choice(r#""delta":{"content":"a","content":""}"#),
        choice(r#""delta":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}"#),
        choice(r#""text":"a","text":"b""#),
        r#"{"choices":[]"#.to_owned(),
        r#"{"choices":[]}}"#.to_owned(),
    ] {
        assert!(!agrees(&odd), "{odd}");
    }
}

/// Values for a member, most of them as they should be.
fn value() -> impl Strategy<Value = String> {
    let odd =
        ["null", "\"\"", "\"a\"", "\"\\n\"", "\"\\ud800\"", "7", "-0", "1.5", "1e3", "true", "[]", "{}"];
    let more = [
        "4294967296",
        "-1",
        "\"stop\"",
        "\"length\"",
        "\"abort\"",
        "[{}]",
        "[[]]",
        "{\"content\":\"\"}",
        "[1,]",
        "{\"cached_tokens\":5}",
        "{\"prompt_tokens\":3}",
        "{\"predicted_ms\":3.403}",
    ];
    select([odd, more].concat()).prop_map(str::to_owned)
}

/// An object of these members, most of them there once.
fn object(members: Vec<(&'static str, BoxedStrategy<String>)>) -> impl Strategy<Value = String> {
    let member = |(name, usual): (&'static str, BoxedStrategy<String>)| {
        let written = prop_oneof![12 => Just(name), 1 => Just("x"), 1 => Just("\\u0074ext")];
        let blank = || select(vec!["", "", "", " ", "\n"]);
        let value = prop_oneof![8 => usual, 1 => value()];
        let one = (blank(), written, value, blank())
            .prop_map(|(a, name, value, b)| format!("{a}\"{name}\":{b}{value}"));
        prop_oneof![6 => prop::collection::vec(one.clone(), 1..=1), 3 => Just(Vec::new()), 1 => prop::collection::vec(one, 2..=2)]
    };
    let members: Vec<_> = members.into_iter().map(member).collect();
    members.prop_map(|members| format!("{{{}}}", members.concat().join(",")))
}

fn texts(texts: &[&'static str]) -> BoxedStrategy<String> {
    select(texts.to_vec()).prop_map(str::to_owned).boxed()
}

fn event() -> impl Strategy<Value = String> {
    let text = || texts(&["\"\"", "null", "\" a\"", "\"日\"", "\"\\n\""]);
    let count = || texts(&["0", "7", "4294967295", "null"]);
    let delta = object(vec![
        ("role", texts(&["\"assistant\""])),
        ("content", text()),
        ("tool_calls", texts(&["[{\"index\":0}]", "null"])),
        ("reasoning", text()),
    ]);
    let choice = object(vec![
        ("index", texts(&["0", "1"])),
        ("delta", delta.boxed()),
        ("text", text()),
        ("finish_reason", texts(&["null", "null", "null", "\"\"", "\"stop\"", "\"length\""])),
        ("logprobs", texts(&["null"])),
    ]);
    let choices = prop::collection::vec(choice, 0..3).prop_map(|all| format!("[{}]", all.join(",")));
    let details = object(vec![("cached_tokens", count())]);
    let usage = object(vec![
        ("prompt_tokens", count()),
        ("completion_tokens", count()),
        ("prompt_tokens_details", details.boxed()),
    ]);
    let timings = object(vec![("predicted_ms", texts(&["3.403", "1", "null", "881.575080811049"]))]);
    let optional =
        |usual: BoxedStrategy<String>| prop_oneof![2 => usual, 1 => Just("null".to_owned())].boxed();
    object(vec![
        ("id", texts(&["\"chatcmpl-1\""])),
        ("choices", choices.boxed()),
        ("usage", optional(usage.boxed())),
        ("timings", optional(timings.boxed())),
        ("error", texts(&["null", "null", "null", "null", "null", "{\"message\":\"no\"}"])),
    ])
}

/// What becomes of these events: what is handed on, and how it ends.
fn relayed(events: &[String], usage: UsageEvent) -> (Vec<String>, Result<Option<Finish>, AdapterError>) {
    let relay = Relay {
        route: Route::ChatCompletions,
        members: Prompt::new(""),
        usage,
        answers: 1,
        max_tokens: None,
    };
    let mut dialect = RelayDialect::new(&relay);
    let (mut batch, mut joiner) = (TokenBatch::new(), Utf8Joiner::default());
    let mut end = Ok(None);
    for event in events {
        end = dialect.event(event.as_bytes(), &mut TextSink::new(&mut batch, &mut joiner));
        if end != Ok(None) {
            break;
        }
    }
    (batch.pieces().map(|piece| piece.text.to_owned()).collect(), end)
}

proptest! {
    #[test]
    fn an_event_is_read_as_the_parser_reads_it(event in event()) {
        agrees(&event);
    }

    #[test]
    fn an_event_with_a_fault_is_read_as_the_parser_reads_it(
        usual in select(USUAL.to_vec()),
        place in any::<prop::sample::Index>(),
        put in select(" \n\"\\{}[]:,0-1.enu\u{1}é".chars().collect::<Vec<_>>()),
        lose in 0..3_usize,
    ) {
        let at = place.index(usual.chars().count() - 3);
        for event in with_a_fault(usual, at, put, lose) {
            agrees(&event);
        }
    }

    /// A name with an escape makes the scanner leave an event to the parser, and changes nothing else.
    #[test]
    fn a_stream_is_relayed_the_same_in_both_ways(
        mut events in prop::collection::vec(
            prop_oneof![2 => event(), 3 => select(USUAL.to_vec()).prop_map(str::to_owned)], 0..12
        ),
        again in 0..4_usize,
        wanted in any::<bool>(),
    ) {
        let repeated: Vec<_> = events.iter().flat_map(|event| vec![event.clone(); again + 1]).collect();
        events = repeated;
        events.push("[DONE]".to_owned());
        let usage = if wanted { UsageEvent::Wanted } else { UsageEvent::Withheld };
        let (handed_on, end) = relayed(&events, usage);
        let marked = |event: &String| match event.strip_prefix('{') {
            Some(rest) if rest.trim_start().starts_with('}') => event.replacen('{', r#"{"\u0078":0"#, 1),
            Some(_) => event.replacen('{', r#"{"\u0078":0,"#, 1),
            None => event.clone(),
        };
        let marked_events: Vec<_> = events.iter().map(marked).collect();
        let (by_the_parser, parsed_end) = relayed(&marked_events, usage);
        prop_assert_eq!(handed_on.iter().map(marked).collect::<Vec<_>>(), by_the_parser);
        prop_assert_eq!(end, parsed_end);
    }
}
