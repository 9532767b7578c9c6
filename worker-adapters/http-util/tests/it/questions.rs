//! Small questions, and engines that answer them with anything but what was asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use adapter_api::AdapterError;
use http_util::{EngineHttp, HttpTimeouts, StreamRefused};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{NO_SILENCE, client};

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Health {
    status: String,
}

/// How a question is answered.
#[derive(Debug, Clone)]
enum Answer {
    /// With these bytes, then the connection closes.
    Once(Vec<u8>),
    /// With a head, then with the same bytes for ever.
    Endless(&'static str, Vec<u8>),
    /// With a head, then with a byte now and then.
    Trickle(&'static str),
}

/// An engine that answers every question in one way.
struct Answering {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Answering {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let accepting = accept(listener, answer, Arc::clone(&heads));
        Self { url, heads, accepting }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test double has no tracker; it ends with its owner")]
fn accept(listener: TcpListener, answer: Answer, heads: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that leaves is what many of these tests want.
            drop(timeout(Duration::from_secs(20), reply(socket, &answer, &heads)).await);
        }
    })
}

async fn reply(mut socket: TcpStream, answer: &Answer, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    // A posted question ends with the body that these tests post.
    while !head.ends_with(b"\r\n\r\n{}") && (head.starts_with(b"POST") || !head.ends_with(b"\r\n\r\n")) {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    heads.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    match answer {
        Answer::Once(bytes) => {
            socket.write_all(bytes).await?;
            socket.shutdown().await
        }
        Answer::Endless(head, bytes) => {
            socket.write_all(head.as_bytes()).await?;
            loop {
                socket.write_all(bytes).await?;
            }
        }
        Answer::Trickle(head) => {
            socket.write_all(head.as_bytes()).await?;
            loop {
                socket.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn said(status: &str, body: &str) -> Answer {
    Answer::Once(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into())
}

async fn ask(answer: Answer) -> Result<Health, AdapterError> {
    let engine = Answering::start(answer).await;
    timeout(NO_SILENCE, client(&engine.url, NO_SILENCE).get_json("/health")).await.expect("an answer in time")
}

#[tokio::test]
async fn a_good_answer_is_read_and_its_unknown_fields_are_not_missed() {
    let health = ask(said("200 OK", r#"{"status":"ok","more":[1]}"#)).await;
    assert_eq!(health, Ok(Health { status: "ok".to_owned() }));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_names_the_question_and_quotes_nothing() {
    let deep = "[".repeat(100_000);
    for body in ["", "null", "{}", r#"{"status":7}"#, r#"{"status":"ok"} trailing"#, "<html>", deep.as_str()]
    {
        let error = ask(said("200 OK", body)).await.unwrap_err();
        let wanted = AdapterError::Protocol { what: "/health answered no JSON that fits".to_owned() };
        assert_eq!(error, wanted, "{}", &body[..body.len().min(40)]);
    }
}

#[tokio::test]
async fn a_bad_status_is_told_with_a_clean_beginning_of_the_answer() {
    let body = format!("{{\"error\":\"a\r\nb\x1b[31m{}\"}}", "x".repeat(4_000));
    let AdapterError::Unreachable { reason } = ask(said("503 Service Unavailable", &body)).await.unwrap_err()
    else {
        panic!("a bad status is not usable")
    };
    assert!(reason.starts_with("/health answered 503: {\"error\":\"a  b"), "{reason}");
    assert!(reason.len() < 600 && !reason.chars().any(char::is_control), "{reason}");
}

// E13
#[tokio::test]
async fn an_endless_answer_is_given_up_at_the_cap() {
    let heads = [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 500 Broken\r\n\r\n",
    ];
    for head in heads {
        let error = ask(Answer::Endless(head, vec![b'['; 64 * 1024])).await.unwrap_err();
        assert_eq!(error, AdapterError::Protocol { what: "/health answered more than 1 MiB".to_owned() });
    }
}

#[tokio::test]
async fn an_answer_that_trickles_is_bounded_in_time() {
    let engine = Answering::start(Answer::Trickle("HTTP/1.1 200 OK\r\n\r\n")).await;
    let question = Duration::from_millis(300);
    let timeouts = HttpTimeouts { connect: NO_SILENCE, question, silence: NO_SILENCE };
    let http = EngineHttp::new(engine.url.parse().unwrap(), None, timeouts).unwrap();
    let start = Instant::now();
    let error = http.get("/health").await.unwrap_err();
    assert_eq!(error, AdapterError::Unreachable { reason: "no answer in time".to_owned() });
    assert!(start.elapsed() >= question && start.elapsed() < NO_SILENCE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_read_as_a_whole_one() {
    let cut = Answer::Once(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"status\":\"ok\"}".to_vec());
    let broken = AdapterError::Unreachable { reason: "the connection broke".to_owned() };
    assert_eq!(ask(cut).await, Err(broken.clone()));
    assert_eq!(ask(Answer::Once(b"nonsense\r\n\r\n".to_vec())).await, Err(broken));
}

// E09
#[tokio::test]
async fn a_redirected_question_is_not_followed() {
    let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = sink.local_addr().unwrap();
    for status in ["302 Found", "308 Permanent Redirect"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nLocation: http://{target}/health\r\nContent-Length: 0\r\n\r\n");
        let error = ask(Answer::Once(answer.into())).await.unwrap_err();
        assert!(matches!(error, AdapterError::Unreachable { .. }), "{status}: {error:?}");
    }
    let came = timeout(Duration::from_millis(200), sink.accept()).await;
    assert!(came.is_err(), "the redirect's target was connected to");
}

// E14
#[tokio::test]
async fn a_question_asks_for_no_compression_and_unpacks_none() {
    // An empty gzip member: a client that unpacks would read an empty answer, not a broken one.
    let gzip: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n".as_slice();
    let engine = Answering::start(Answer::Once([head, gzip].concat())).await;
    let http = client(&engine.url, NO_SILENCE);
    assert_eq!(http.get("/health").await.unwrap(), gzip);
    assert!(matches!(http.get_json::<Health>("/health").await, Err(AdapterError::Protocol { .. })));
    let heads = engine.heads.lock().unwrap();
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| !head.to_lowercase().contains("accept-encoding")), "{heads:?}");
}

#[tokio::test]
async fn a_path_may_hold_a_query_and_stands_below_the_bases_path() {
    let engine = Answering::start(said("200 OK", "{}")).await;
    let http = client(&format!("{}/llm/?key=1", engine.url), NO_SILENCE);
    http.get("/slots?fail_on_no_slot=1").await.unwrap();
    http.get("/health").await.unwrap();
    let heads = engine.heads.lock().unwrap();
    let lines: Vec<&str> = heads.iter().filter_map(|head| head.lines().next()).collect();
    assert_eq!(lines, ["GET /llm/slots?fail_on_no_slot=1 HTTP/1.1", "GET /llm/health HTTP/1.1"]);
}

#[tokio::test]
async fn a_question_that_an_engine_does_not_know_is_told_apart_from_one_that_fails() {
    let asked = async |status: &str| {
        let engine = Answering::start(said(status, "{}")).await;
        client(&engine.url, NO_SILENCE).get_if_known("/version").await
    };
    for status in ["404 Not Found", "405 Method Not Allowed", "501 Not Implemented"] {
        assert_eq!(asked(status).await, Ok(None), "{status}");
    }
    assert_eq!(asked("200 OK").await.unwrap().as_deref(), Some(b"{}".as_slice()));
    for status in ["401 Unauthorized", "500 Broken", "503 Service Unavailable"] {
        assert!(matches!(asked(status).await, Err(AdapterError::Unreachable { .. })), "{status}");
    }
}

#[tokio::test]
async fn a_posted_question_gives_its_answer_or_the_status_that_refused_it() {
    let engine = Answering::start(said("200 OK", r#"{"prompt":"p"}"#)).await;
    let answer = client(&engine.url, NO_SILENCE).post_json("/apply-template", "{}".into()).await.unwrap();
    assert_eq!(answer, r#"{"prompt":"p"}"#);
    let line = engine.heads.lock().unwrap()[0].lines().next().unwrap().to_owned();
    assert_eq!(line, "POST /apply-template HTTP/1.1");
    let engine = Answering::start(said("400 Bad Request", "no")).await;
    let refused =
        client(&engine.url, NO_SILENCE).post_json("/apply-template", "{}".into()).await.unwrap_err();
    let StreamRefused::Status { status, body, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((status, body.as_ref()), (400, b"no".as_slice()));
}

#[tokio::test]
async fn an_endless_answer_to_a_posted_question_is_given_up_at_the_cap() {
    let endless = Answer::Endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'['; 64 * 1024]);
    let engine = Answering::start(endless).await;
    let error = client(&engine.url, NO_SILENCE).post_json("/apply-template", "{}".into()).await.unwrap_err();
    assert!(matches!(error, StreamRefused::Adapter(AdapterError::Protocol { .. })), "{error:?}");
}
