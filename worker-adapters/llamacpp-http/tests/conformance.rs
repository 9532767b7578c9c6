//! The suite of the seam, run against an engine that plays llama.cpp's answers byte by byte.
#![cfg(test)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use adapter_api::{
    WorkerAdapter,
    conformance::{API_KEY, Behaviour, Harness, run},
};
use async_trait::async_trait;
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;
use mock::wire::{
    Act, Ending, Script, ScriptedEngine, answer, body_end, completion, last, stream_head, token, token_bytes,
};

#[derive(Debug, Default)]
struct WireHarness {
    /// All that were started; one answer each.
    engines: Mutex<Vec<Arc<ScriptedEngine>>>,
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The answer's beginning: its head, and one event for each text.
fn begun(behaviour: Behaviour) -> Script {
    let tokens = behaviour.texts().iter().enumerate().map(|(index, text)| token(&json(text), index + 1));
    std::iter::once(stream_head()).chain(tokens).collect()
}

/// An event for each part of a text that is cut inside its characters. Only the first counts a token,
/// since the engine counts what it made, not what it could show.
fn cut_characters() -> Script {
    let texts = Behaviour::CutCharacters.texts();
    let mut script = vec![stream_head()];
    for (index, text) in texts.iter().enumerate() {
        for part in text.as_bytes().chunks(2) {
            script.push(Act::Chunk(token_bytes(part, index + 1)));
        }
    }
    script.extend([last(Ending::Eos, texts.len()), body_end()]);
    script
}

fn refused(status: &str, kind: &str, message: &str) -> Script {
    let body = format!(r#"{{"error":{{"code":0,"message":"{message}","type":"{kind}"}}}}"#);
    vec![Act::Send(answer(status, &body).into_bytes()), Act::Close]
}

fn script(behaviour: Behaviour) -> Script {
    let texts: Vec<String> = behaviour.texts().iter().map(|text| json(text)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let then = |acts: Vec<Act>| [begun(behaviour), acts].concat();
    match behaviour {
        Behaviour::Good | Behaviour::Escapes => completion(&texts, Ending::Eos),
        Behaviour::Limit => completion(&texts, Ending::Limit),
        Behaviour::CutCharacters => cut_characters(),
        Behaviour::TalksOn => {
            let count = texts.len();
            then(vec![
                last(Ending::Eos, count),
                token(" four", count + 1),
                last(Ending::Limit, count + 1),
                body_end(),
            ])
        }
        Behaviour::DiesBeforeFirstToken | Behaviour::DiesAfterTokens => {
            // What was sent must arrive before the reset overtakes it.
            then(vec![Act::Pause(Duration::from_millis(100)), Act::Reset])
        }
        Behaviour::EndsWithoutMarker => then(vec![body_end()]),
        Behaviour::Garbage => then(vec![Act::Chunk(b"data: {\"index\":0,]\n\n".to_vec()), Act::UntilGone]),
        Behaviour::EndlessLine => {
            let part = vec![b'x'; 64 * 1024];
            then(vec![Act::Repeat(
                format!("10000\r\n{}\r\n", String::from_utf8(part).unwrap()).into(),
                1_000,
            )])
        }
        Behaviour::Stalls => then(vec![Act::UntilGone]),
        Behaviour::Refuses => refused("400 Bad Request", "invalid_request_error", "the grammar is\\nwrong"),
        Behaviour::Busy => refused("503 Service Unavailable", "unavailable_error", "no slot available"),
        Behaviour::Loading => refused("503 Service Unavailable", "unavailable_error", "Loading model"),
    }
}

#[async_trait]
impl Harness for WireHarness {
    async fn adapter(&self, behaviour: Behaviour) -> Arc<dyn WorkerAdapter> {
        let engine = Arc::new(ScriptedEngine::start(2).await.unwrap());
        engine.push(script(behaviour));
        let timeouts = HttpTimeouts {
            connect: Duration::from_secs(5),
            question: Duration::from_secs(5),
            silence: Duration::from_secs(1),
        };
        let http = EngineHttp::new(engine.url().parse().unwrap(), Some(API_KEY), timeouts).unwrap();
        self.engines.lock().unwrap().push(engine);
        Arc::new(LlamaCpp::new(http))
    }

    fn can_show(&self, _: Behaviour) -> bool {
        true
    }

    async fn is_generating(&self) -> bool {
        self.engines.lock().unwrap().last().is_some_and(|engine| engine.completions() > 0)
    }
}

#[tokio::test]
async fn llamacpp_keeps_the_promises_of_an_adapter() {
    let harness = WireHarness::default();
    run(&harness).await;
    let engines = harness.engines.lock().unwrap();
    // Each behaviour once, and the one that is dropped while it is well.
    assert_eq!(engines.len(), Behaviour::ALL.len() + 1);
    let seen = engines.iter().flat_map(|engine| engine.seen());
    assert_eq!(seen.filter(|seen| seen.head.contains(API_KEY)).count(), engines.len());
}
