//! What an engine streams is read the same however it is cut, whichever of two ways a token is read, and never taken for
//! an end that was not said.
#![no_main]

use adapter_api::{AdapterError, Finish, Prompt, Relay, Route, UsageEvent};
use http_util::{
    SseDecoder,
    openai::{OpenAiDialect, RelayDialect},
    recording::{self, Read},
};
use libfuzzer_sys::fuzz_target;
use llamacpp_http::LlamaCppDialect;
use orchestratord_fuzz::{parts, seeded};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tgi_http::TgiDialect;

fuzz_target!(|data: &[u8]| {
    let Some((seed, body)) = seeded(data) else { return };
    let engine = Engine::ALL[usize::try_from(seed >> 8).unwrap_or(0) % Engine::ALL.len()];
    let whole = engine.read(vec![body]);
    assert_eq!(whole, engine.read(parts(seed, body)), "{engine:?}: the cuts changed what was said");
    let events = events(body);
    match &whole {
        Ok((_, Some(finish))) => engine.must_have_ended(finish, &events),
        Ok((_, None)) => {}
        Err(error) => must_be_the_engines(error),
    }
    if let (Engine::Relay | Engine::RelayOfTwo, Ok((documents, _))) = (engine, &whole) {
        let mut each = serde_json::Deserializer::from_str(documents).into_iter::<IgnoredAny>();
        assert!(each.all(|it| it.is_ok()), "handed on, and no JSON: {documents:?}");
    }
    if engine == Engine::LlamaCpp {
        let slowly: Vec<u8> = events.iter().flat_map(|event| event_that_differs_in_a_blank(event)).collect();
        let quickly: Vec<u8> = events.iter().flat_map(|event| as_event(event)).collect();
        assert_eq!(engine.read(vec![&quickly]), engine.read(vec![&slowly]), "the two ways of reading differ");
    }
    if body.len() < http_util::LINE_BYTES_MAX / 2 {
        let parsed: Vec<u8> = events.iter().flat_map(|event| event_for_the_parser(event)).collect();
        let scanned: Vec<u8> = events.iter().flat_map(|event| as_event(event)).collect();
        let (scanned, parsed) = (engine.read(vec![&scanned]), engine.read(vec![&parsed]));
        assert_eq!(unmarked(scanned), unmarked(parsed), "{engine:?}: the parser reads something else");
    }
});

/// A member with an escape in its name, which no scanner takes.
const MARK: &str = r#""\u0078":0"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    LlamaCpp,
    OpenAi,
    OpenAiWithStops,
    Tgi,
    TgiWithStops,
    Relay,
    RelayOfTwo,
}

impl Engine {
    const ALL: [Self; 7] = [
        Self::LlamaCpp,
        Self::OpenAi,
        Self::OpenAiWithStops,
        Self::Tgi,
        Self::TgiWithStops,
        Self::Relay,
        Self::RelayOfTwo,
    ];

    fn read(self, parts: Vec<&[u8]>) -> Read {
        let stops = ["END".to_owned(), " 4".to_owned(), "é".to_owned()];
        match self {
            Self::LlamaCpp => recording::read(LlamaCppDialect::default(), parts),
            Self::OpenAi => recording::read(OpenAiDialect::default(), parts),
            Self::OpenAiWithStops => recording::read(OpenAiDialect::that_sends_stops(&stops), parts),
            Self::Tgi => recording::read(TgiDialect::default(), parts),
            Self::TgiWithStops => recording::read(TgiDialect::new(&stops), parts),
            Self::Relay => recording::read(RelayDialect::new(&call(1, UsageEvent::Wanted)), parts),
            Self::RelayOfTwo => recording::read(RelayDialect::new(&call(2, UsageEvent::Withheld)), parts),
        }
    }

    /// Holds an end against the events: an engine must have said it.
    fn must_have_ended(self, finish: &Finish, events: &[Vec<u8>]) {
        let ended = match self {
            Self::LlamaCpp => events.iter().any(|event| says(event, |it: &Stopped| it.stop)),
            Self::OpenAi | Self::OpenAiWithStops | Self::Relay | Self::RelayOfTwo => {
                let reason = |it: &Choices| it.choices.iter().any(Choice::has_reason);
                events.iter().any(|event| event.trim_ascii() == b"[DONE]")
                    && events.iter().any(|event| says(event, reason))
            }
            Self::Tgi | Self::TgiWithStops => {
                events.iter().any(|event| says(event, |it: &Generated| it.generated_text.is_some()))
            }
        };
        assert!(ended, "{self:?} gave {finish:?}, and the engine did not");
    }
}

/// llamacpp's mark of an end.
#[derive(Deserialize)]
struct Stopped {
    stop: bool,
}

/// Half of the mark of those that speak `OpenAI`'s dialect.
#[derive(Deserialize)]
struct Choices {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<String>,
}

impl Choice {
    fn has_reason(&self) -> bool {
        self.finish_reason.as_ref().is_some_and(|reason| !reason.is_empty())
    }
}

/// TGI's mark of an end.
#[derive(Deserialize)]
struct Generated {
    generated_text: Option<IgnoredAny>,
}

fn says<T: DeserializeOwned>(event: &[u8], what: impl Fn(&T) -> bool) -> bool {
    // Raw control characters are taken from engines, though they are no JSON.
    let event: Vec<u8> = event.iter().map(|byte| (*byte).max(b' ')).collect();
    serde_json::from_slice(&event).is_ok_and(|it| what(&it))
}

fn call(answers: u32, usage: UsageEvent) -> Relay {
    Relay { route: Route::ChatCompletions, members: Prompt::new(""), usage, answers, max_tokens: None }
}

/// An error in what was read is never a silence or a refused connection, and what it quotes is short and clean.
fn must_be_the_engines(error: &AdapterError) {
    let told = error.to_string();
    assert!(told.len() < 1_024 && !told.contains(char::is_control), "{told:?}");
    let of_transport = matches!(error, AdapterError::Unreachable { .. } | AdapterError::Silent { .. });
    assert!(!of_transport, "{error:?}");
}

fn events(body: &[u8]) -> Vec<Vec<u8>> {
    let (mut decoder, mut events) = (SseDecoder::default(), Vec::new());
    let whole = decoder.push(body, |data| {
        events.push(data.to_vec());
        Ok::<_, http_util::LineTooLong>(())
    });
    assert!(whole.is_ok() || body.len() > http_util::LINE_BYTES_MAX);
    events
}

fn as_event(data: &[u8]) -> Vec<u8> {
    // An event of several lines had a line end between them.
    let lines: Vec<_> =
        data.split(|byte| *byte == b'\n').map(|line| [b"data: ".as_slice(), line, b"\n"].concat()).collect();
    [lines.concat().as_slice(), b"\n"].concat()
}

/// The same JSON, which the short way of reading does not take.
fn event_that_differs_in_a_blank(data: &[u8]) -> Vec<u8> {
    match data.split_first() {
        Some((b'{', rest)) => as_event(&[b"{ ".as_slice(), rest].concat()),
        _ => as_event(data),
    }
}

/// The same JSON with one member more, which makes every reader leave it to the parser.
fn event_for_the_parser(data: &[u8]) -> Vec<u8> {
    match data.split_first() {
        Some((b'{', rest)) if rest.trim_ascii_start().first() == Some(&b'}') => {
            as_event(&[b"{", MARK.as_bytes(), rest].concat())
        }
        Some((b'{', rest)) => as_event(&[b"{", MARK.as_bytes(), b",", rest].concat()),
        _ => as_event(data),
    }
}

/// What was read, without the member that was put in.
fn unmarked(read: Read) -> Read {
    read.map(|(text, finish)| (text.replace(&format!("{MARK},"), "").replace(MARK, ""), finish))
}
