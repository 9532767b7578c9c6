//! Whole runs over real sockets: against the cheap engine, and against a server that plays a script.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::engine::{Engine, serve};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn plan(target: SocketAddr, mode: Mode, tokens: u32) -> Plan {
    Plan {
        target,
        mode,
        model: DEFAULT_MODEL.to_owned(),
        prompt: DEFAULT_PROMPT.into(),
        streams: 3,
        tokens,
        until: Until::Rounds(4),
        timeout: Duration::from_secs(30),
    }
}

async fn load(plan: Plan) -> Tally {
    Fleet::connect(plan).await.unwrap().run().await.unwrap()
}

#[tokio::test]
async fn cheap_engine_streams_what_was_asked_for_over_kept_connections() {
    let (listener, target) = listener().await;
    let mut engine = JoinSet::new();
    engine.spawn(serve(listener, Engine::new(0, 2)));
    for (mode, tokens) in [(Mode::Raw, 1), (Mode::Raw, 700), (Mode::Openai, 1), (Mode::Openai, 700)] {
        let tally = load(plan(target, mode, tokens)).await;
        assert!(tally.first_error.is_none(), "{:?}", tally.first_error);
        assert_eq!((tally.tasks, tally.tokens), (12, 12 * u64::from(tokens)));
    }
}

#[tokio::test]
async fn paced_engine_takes_the_time_that_the_pace_says() {
    let (listener, target) = listener().await;
    let mut engine = JoinSet::new();
    engine.spawn(serve(listener, Engine::new(500, 3)));
    let tally = load(Plan { until: Until::Rounds(1), ..plan(target, Mode::Raw, 51) }).await;
    assert!(tally.first_error.is_none(), "{:?}", tally.first_error);
    assert_eq!(tally.tokens, 153);
    assert!(tally.wall >= Duration::from_millis(100), "{:?}", tally.wall);
}

#[tokio::test]
async fn time_limit_ends_the_loop_after_at_least_one_task_each() {
    let (listener, target) = listener().await;
    let mut engine = JoinSet::new();
    engine.spawn(serve(listener, Engine::new(0, 3)));
    let tally = load(Plan { until: Until::Elapsed(Duration::ZERO), ..plan(target, Mode::Raw, 5) }).await;
    assert_eq!((tally.tasks, tally.errors), (3, 0));
}

#[tokio::test]
async fn engine_that_refuses_fails_the_run_with_its_own_words() {
    let (listener, target) = listener().await;
    let mut engine = JoinSet::new();
    engine.spawn(serve(listener, Engine::new(0, 3)));
    let tally = load(plan(target, Mode::Native, 5)).await;
    assert_eq!((tally.tasks, tally.errors), (0, 3));
    let error = tally.first_error.unwrap().to_string();
    assert!(error.contains("404") && error.contains("File Not Found"), "{error}");
}

/// Answers tasks as orchestratord does, in writes of `piece` bytes.
async fn play(listener: TcpListener, piece: usize, last: &'static str) -> ! {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _peer) = listener.accept().await.unwrap();
        connections.spawn(play_one(stream, piece, last));
    }
}

async fn play_one(mut stream: TcpStream, piece: usize, last: &'static str) {
    stream.set_nodelay(true).unwrap();
    let events = "id: 0\nevent: started\ndata: {\"queue_position\":0}\n\n\
        id: 1\nevent: token\ndata: {\"t\":\" 0\",\"i\":0}\n\n: keep-alive\n\n\
        id: 2\nevent: token\ndata: {\"t\":\" 1\",\"i\":1}\n\nid: 3\nevent: metrics\ndata: {}\n\n"
        .to_owned()
        + last;
    let body = r#"{"job_id":"0193-7c","task_id":"0193-7c","queue_position":0}"#;
    let accepted = format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let healthy = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let (first, second) = events.split_at(70);
    let streamed =
        format!("{head}{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let mut asked = Vec::new();
    while stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&asked);
        let answer = if text.starts_with("POST /v2/tasks ") && text.ends_with('}') {
            assert!(text.contains("\"model_ref\":\"cheap-counter.gguf\""), "{text}");
            assert!(
                text.contains("\"max_tokens\":2") && text.contains("\"durability\":\"memory\""),
                "{text}"
            );
            &accepted
        } else if text.starts_with("GET /health ") && text.ends_with("\r\n\r\n") {
            &healthy
        } else if text.starts_with("GET /v2/tasks/0193-7c/events ") && text.ends_with("\r\n\r\n") {
            &streamed
        } else {
            continue;
        };
        asked.clear();
        for part in answer.as_bytes().chunks(piece) {
            stream.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

const END: &str = "id: 4\nevent: end\ndata: {\"tokens_in\":2,\"tokens_out\":2}\n\n";

#[tokio::test]
async fn native_task_is_submitted_and_read_to_its_end_however_the_bytes_arrive() {
    for piece in [1, 7, 100, 10_000] {
        let (listener, target) = listener().await;
        let mut server = JoinSet::new();
        server.spawn(play(listener, piece, END));
        let tally = load(plan(target, Mode::Native, 2)).await;
        assert!(tally.first_error.is_none(), "{:?}", tally.first_error);
        assert_eq!((tally.tasks, tally.tokens), (12, 24));
    }
}

#[tokio::test]
async fn native_stream_that_ends_with_an_error_event_fails_the_run() {
    let (listener, target) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(play(listener, 100, "id: 4\nevent: error\ndata: {\"code\":\"WORKER_RESET\"}\n\n"));
    let tally = load(plan(target, Mode::Native, 2)).await;
    assert_eq!((tally.tasks, tally.errors), (0, 3));
    assert!(tally.first_error.unwrap().to_string().contains("WORKER_RESET"));
}

#[tokio::test]
async fn stream_with_another_count_than_asked_for_fails_the_run() {
    let (listener, target) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(serve(listener, Engine::new(0, 3)));
    // The engine's context is 32,768 tokens; it ends there, properly.
    let tally = load(Plan { streams: 1, ..plan(target, Mode::Raw, 40_000) }).await;
    assert!(tally.first_error.unwrap().to_string().contains("32768 tokens came"));
}

#[test]
fn url_that_is_no_address_is_refused_by_name() {
    assert_eq!(address("http://127.0.0.1:80/").unwrap().port(), 80);
    assert!(address("127.0.0.1:80").unwrap_err().to_string().contains("--url"));
    assert!(address("http://127.0.0.1").unwrap_err().to_string().contains("--url"));
}

#[tokio::test]
async fn task_for_which_there_is_no_room_is_told_from_one_that_failed() {
    let (listener, target) = listener().await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nfull");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut client = NativeClient::with_priority(&plan(target, Mode::Native, 2), "batch");
    let mut connection = Connection::open(target).await.unwrap();
    let first = client.submit(&mut connection).await.unwrap();
    assert!(matches!(first, Submitted::Refused(text) if text == "full"));
    let second = client.submit(&mut connection).await.unwrap_err().to_string();
    assert!(second.contains("503"), "{second}");
}
