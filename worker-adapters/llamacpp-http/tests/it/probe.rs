//! Asking the engine how it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use adapter_api::{AdapterError, WorkerAdapter, Workload};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::adapter;

const PROPS: &str = include_str!("../transcripts/props.json");
const MODELS: &str = include_str!("../transcripts/models.json");
const LOADING: &str = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;

#[derive(Debug, Default)]
struct Answers {
    by_path: BTreeMap<&'static str, (u16, String)>,
    /// The requests that came: path, and whether they held the key.
    asked: Vec<(String, bool)>,
}

/// Answers questions from a table that a test may change at any time.
struct Questioned {
    url: String,
    answers: Arc<Mutex<Answers>>,
    accepting: JoinHandle<()>,
}

impl Questioned {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(Answers::default()));
        let accepting = accept(listener, Arc::clone(&answers));
        let engine = Self { url, answers, accepting };
        engine.set("/health", 200, r#"{"status":"ok"}"#);
        engine.set("/props", 200, PROPS);
        engine.set("/v1/models", 200, MODELS);
        engine.set("/slots", 200, r#"[{"id":0,"is_processing":true},{"id":1,"is_processing":false}]"#);
        engine
    }

    fn set(&self, path: &'static str, status: u16, body: &str) {
        self.answers.lock().unwrap().by_path.insert(path, (status, body.to_owned()));
    }

    /// The paths that were asked for since the last call.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut self.answers.lock().unwrap().asked);
        asked.into_iter().map(|(path, _)| path).collect()
    }
}

impl Drop for Questioned {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test double has no tracker; it ends with its owner")]
fn accept(listener: TcpListener, answers: Arc<Mutex<Answers>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // One question for each connection, so one after the other is enough.
            drop(tokio::time::timeout(Duration::from_secs(5), reply(socket, &answers)).await);
        }
    })
}

async fn reply(socket: TcpStream, answers: &Mutex<Answers>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = {
        let mut answers = answers.lock().unwrap();
        answers.asked.push((path.clone(), head.to_lowercase().contains("authorization: bearer k-1\r\n")));
        answers.by_path.get(path.as_str()).cloned().unwrap_or((404, String::new()))
    };
    let head =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await
}

/// What a first look asks for.
const EVERYTHING: [&str; 6] = ["/health", "/props", "/v1/models", "/v1/embeddings", "/v1/rerank", "/slots"];

#[tokio::test]
async fn a_first_look_learns_all_that_the_engine_tells() {
    let engine = Questioned::start().await;
    let report = adapter(&engine.url, None).probe().await.unwrap();
    assert_eq!(report.version.as_deref(), Some("b11434-unknown"));
    assert_eq!(report.models, ["/models/tiny-counter.gguf", "tiny-counter.gguf"]);
    assert_eq!((report.slots_total, report.slots_busy, report.ctx_max), (Some(4), Some(1), Some(4_096)));
    assert_eq!(report.vram_free_bytes, None);
}

#[tokio::test]
async fn a_model_answers_to_its_id_its_aliases_its_path_and_its_file_name() {
    let engine = Questioned::start().await;
    engine.set("/v1/models", 200, r#"{"data":[{"id":"small","aliases":["small","org/tiny"]}]}"#);
    engine.set("/props", 200, r#"{"total_slots":1,"model_alias":"small","model_path":"/m/q4/tiny.gguf"}"#);
    let report = adapter(&engine.url, None).probe().await.unwrap();
    assert_eq!(report.models, ["small", "org/tiny", "tiny", "/m/q4/tiny.gguf", "tiny.gguf"]);
    assert_eq!((report.version, report.ctx_max), (None, None));
}

#[tokio::test]
async fn what_cannot_change_is_asked_once_while_the_engine_is_up() {
    let engine = Questioned::start().await;
    let adapter = adapter(&engine.url, None);
    let first = adapter.probe().await.unwrap();
    assert_eq!(engine.asked(), EVERYTHING);
    engine.set("/slots", 200, "[]");
    let second = adapter.probe().await.unwrap();
    assert_eq!(engine.asked(), ["/health", "/slots"]);
    assert_eq!((first.slots_busy, second.slots_busy), (Some(1), Some(0)));
    assert_eq!(first.models, second.models);
}

#[tokio::test]
async fn after_the_engine_was_away_everything_is_asked_again() {
    let engine = Questioned::start().await;
    let adapter = adapter(&engine.url, None);
    adapter.probe().await.unwrap();
    engine.set("/health", 503, LOADING);
    assert!(adapter.probe().await.is_err());
    engine.set("/health", 200, "{}");
    engine.set("/props", 200, r#"{"total_slots":2,"model_path":"/m/other.gguf"}"#);
    engine.set("/v1/models", 200, r#"{"data":[]}"#);
    engine.asked();
    let report = adapter.probe().await.unwrap();
    assert_eq!(engine.asked(), EVERYTHING);
    assert_eq!((report.slots_total, report.models[1].as_str()), (Some(2), "other.gguf"));
}

#[tokio::test]
async fn a_route_that_misses_its_fields_is_on_and_one_that_is_not_supported_is_off() {
    let engine = Questioned::start().await;
    let off = r#"{"error":{"message":"off","type":"not_supported_error","code":501}}"#;
    let on = r#"{"error":{"message":"input is missing","type":"invalid_request_error","code":400}}"#;
    engine.set("/v1/embeddings", 400, on);
    engine.set("/v1/rerank", 501, off);
    let report = adapter(&engine.url, None).probe().await.unwrap();
    assert_eq!(report.workloads, Some(vec![Workload::Completion, Workload::Embedding]));
}

#[tokio::test]
async fn an_engine_that_still_loads_is_unreachable_and_says_why() {
    let engine = Questioned::start().await;
    engine.set("/health", 503, LOADING);
    let Err(AdapterError::Unreachable { reason }) = adapter(&engine.url, None).probe().await else {
        panic!("a loading engine is not usable");
    };
    assert!(reason.contains("loading"), "{reason}");
    assert_eq!(engine.asked(), ["/health"]);
}

#[tokio::test]
async fn an_engine_that_keeps_its_slots_to_itself_is_still_usable() {
    let engine = Questioned::start().await;
    engine.set("/slots", 501, r#"{"error":{"message":"off","type":"not_supported_error","code":501}}"#);
    assert_eq!(adapter(&engine.url, None).probe().await.unwrap().slots_busy, None);
}

#[tokio::test]
async fn an_engine_that_answers_nonsense_is_not_usable() {
    let engine = Questioned::start().await;
    for (path, body) in
        [("/props", "[]"), ("/props", r#"{"total_slots":-1}"#), ("/props", ""), ("/v1/models", "{")]
    {
        engine.set("/props", 200, PROPS);
        engine.set("/v1/models", 200, MODELS);
        engine.set(path, 200, body);
        let error = adapter(&engine.url, None).probe().await.unwrap_err();
        let AdapterError::Protocol { what } = &error else { panic!("{path} {body:?}: {error:?}") };
        assert!(what.contains(path), "{what}");
    }
}

#[tokio::test]
async fn every_question_holds_the_key_when_there_is_one() {
    let engine = Questioned::start().await;
    adapter(&engine.url, Some("k-1")).probe().await.unwrap();
    let asked = std::mem::take(&mut engine.answers.lock().unwrap().asked);
    assert_eq!(asked.len(), EVERYTHING.len());
    assert!(asked.iter().all(|(_, with_key)| *with_key), "{asked:?}");
}
