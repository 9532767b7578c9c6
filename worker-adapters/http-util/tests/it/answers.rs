//! Answers that are no stream, and addresses where no answer comes from.

use std::time::Duration;

use adapter_api::AdapterError;
use http_util::{EngineHttp, HttpTimeouts, StreamRefused};
use mock::wire::{Act, ScriptedEngine, answer, body_end, completion};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::{NO_SILENCE, client, end, listen, open};

async fn refusal(script: Vec<Act>) -> StreamRefused {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(script);
    let Err(refused) = open(&client(&engine.url(), NO_SILENCE)).await else { panic!("no stream was sent") };
    refused
}

fn adapter_error(refused: StreamRefused) -> AdapterError {
    let StreamRefused::Adapter(error) = refused else { panic!("left to the dialect: {refused:?}") };
    error
}

fn head(status: &str, headers: &str) -> Act {
    Act::Send(format!("HTTP/1.1 {status}\r\n{headers}\r\n").into())
}

// E07
#[tokio::test]
async fn a_good_status_that_is_no_event_stream_is_left_to_the_dialect() {
    let json = r#"{"error":{"message":"late"}}"#;
    let bare = vec![head("200 OK", "Content-Length: 2\r\n"), Act::Send(b"hi".to_vec())];
    for (script, said) in [(vec![Act::Send(answer("200 OK", json).into())], json), (bare, "hi")] {
        let StreamRefused::Status { status, retry_after, body } = refusal(script).await else {
            panic!("an answer came")
        };
        assert_eq!((status, retry_after, body.as_ref()), (200, None, said.as_bytes()));
    }
}

#[tokio::test]
async fn a_media_type_with_parameters_and_capitals_is_still_an_event_stream() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![
        head("200 OK", "Content-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"),
        end(1),
        body_end(),
    ]);
    let mut stream = open(&client(&engine.url(), NO_SILENCE)).await.unwrap();
    assert!(listen(&mut stream).await.1.is_ok());
}

// E08
#[tokio::test]
async fn a_refusal_keeps_its_status_its_wish_to_wait_and_its_words() {
    let script = vec![
        head("429 Too Many Requests", "Retry-After: 3\r\nContent-Length: 4\r\n"),
        Act::Send(b"busy".to_vec()),
    ];
    let StreamRefused::Status { status, retry_after, body } = refusal(script).await else {
        panic!("an answer came")
    };
    assert_eq!((status, retry_after, body.as_ref()), (429, Some(Duration::from_secs(3)), b"busy".as_slice()));
}

// E08
#[tokio::test]
async fn a_refusal_that_never_ends_is_cut() {
    let endless = head("500 Internal Server Error", "Transfer-Encoding: chunked\r\n");
    let block = [b"10000\r\n".as_slice(), &vec![b'x'; 64 * 1024], b"\r\n"].concat();
    let flood = refusal(vec![endless.clone(), Act::Repeat(block, usize::MAX)]).await;
    let StreamRefused::Status { body, .. } = flood else { panic!("an answer came") };
    assert_eq!(body.len(), 64 * 1024);

    let slow = refusal(vec![endless, Act::Chunk(b"well".to_vec()), Act::UntilGone]).await;
    let StreamRefused::Status { status, body, .. } = slow else { panic!("an answer came") };
    assert_eq!((status, body.as_ref()), (500, b"well".as_slice()));
}

// E09
#[tokio::test]
async fn a_redirect_is_refused_and_its_target_never_sees_us() {
    let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = sink.local_addr().unwrap();
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent"]
    {
        let headers = format!("Location: http://{target}/completion\r\nContent-Length: 0\r\n");
        let error = adapter_error(refusal(vec![head(status, &headers)]).await);
        assert!(matches!(error, AdapterError::Protocol { .. }), "{status}: {error:?}");
        assert!(!error.to_string().contains(&target.to_string()));
    }
    let came = timeout(Duration::from_millis(200), sink.accept()).await;
    assert!(came.is_err(), "the redirect's target was connected to");
}

// E14
#[tokio::test]
async fn a_compressed_stream_is_refused_and_was_never_asked_for() {
    for coding in ["gzip", "br", "deflate", "zstd", "identity"] {
        let headers = format!("Content-Type: text/event-stream\r\nContent-Encoding: {coding}\r\n");
        let error = adapter_error(refusal(vec![head("200 OK", &headers), Act::Close]).await);
        assert!(matches!(error, AdapterError::Protocol { .. }), "{coding}: {error:?}");
    }
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(completion(&[], mock::wire::Ending::Eos));
    drop(open(&client(&engine.url(), NO_SILENCE)).await.unwrap());
    assert!(!engine.seen()[0].head.to_lowercase().contains("accept-encoding"));
}

// E10
#[tokio::test]
async fn an_answer_that_is_no_http_is_a_loss() {
    for bytes in [b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), vec![0; 1_024], b"HTTP/1.1 200".to_vec()] {
        let error = adapter_error(refusal(vec![Act::Send(bytes.clone()), Act::Close]).await);
        assert_eq!(error, AdapterError::Lost, "{bytes:?}");
    }
}

// E10
#[tokio::test]
async fn headers_without_end_are_a_loss() {
    let flood = b"X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(1_024);
    let script = vec![Act::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Act::Repeat(flood, usize::MAX)];
    assert_eq!(adapter_error(refusal(script).await), AdapterError::Lost);
}

#[tokio::test]
async fn a_refused_connection_says_that_there_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let http = client(&url, NO_SILENCE);
    let Err(refused) = open(&http).await else { panic!("nobody listens") };
    let AdapterError::Unreachable { reason } = adapter_error(refused) else { panic!("nobody listens") };
    assert!(reason.contains("no connection"), "{reason}");
    let error = http.get("/health").await.unwrap_err();
    assert_eq!(error, AdapterError::Unreachable { reason: "no connection".to_owned() });
}

#[tokio::test]
async fn a_connection_that_does_not_come_to_stand_is_given_up() {
    // A full backlog: the kernel answers no more connects to it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(addr)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 64, "the backlog never fills");
    }
    let timeouts = HttpTimeouts {
        connect: Duration::from_millis(300),
        question: Duration::from_secs(5),
        silence: NO_SILENCE,
    };
    let http = EngineHttp::new(format!("http://{addr}").parse().unwrap(), None, timeouts).unwrap();
    let start = Instant::now();
    let Err(refused) = open(&http).await else { panic!("nobody accepts") };
    assert!(matches!(adapter_error(refused), AdapterError::Unreachable { .. }));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_address_or_a_key_that_cannot_be_used_is_refused_in_words() {
    let timeouts = HttpTimeouts { connect: NO_SILENCE, question: NO_SILENCE, silence: NO_SILENCE };
    let made = |url: &str, key| EngineHttp::new(url.parse().unwrap(), key, timeouts).map(|_http| ());
    assert_eq!(made("http://[::1]:8080/llm", Some("k")), Ok(()));
    for url in ["https://127.0.0.1", "ftp://127.0.0.1", "unix:/run/engine"] {
        assert!(made(url, None).unwrap_err().contains("http://"), "{url}");
    }
    let error = made("http://127.0.0.1", Some("top\nsecret")).unwrap_err();
    assert!(error.contains("API key") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn neither_client_nor_refusal_shows_the_key() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![Act::Reset]);
    let timeouts = HttpTimeouts { connect: NO_SILENCE, question: NO_SILENCE, silence: NO_SILENCE };
    let http = EngineHttp::new(engine.url().parse().unwrap(), Some("k-secret"), timeouts).unwrap();
    assert!(!format!("{http:?}").contains("secret"));
    let Err(refused) = open(&http).await else { panic!("the engine broke the connection") };
    assert!(!format!("{refused:?}").contains("secret"));
    assert!(engine.seen()[0].head.contains("Bearer k-secret"));
}
