//! Connections: used again while they are good, replaced when they are not, closed on a drop.

use std::time::Duration;

use adapter_api::{AdapterError, TokenBatch, next};
use bytes::Bytes;
use http_util::StreamRefused;
use mock::wire::{Act, ScriptedEngine, stream_head};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{sleep, timeout},
};

use crate::{NO_SILENCE, Plain, client, good, listen, open, soon, text};

#[tokio::test]
async fn two_streams_after_each_other_share_a_connection() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    for said in ["one", "two", "three"] {
        engine.push(good(&[text(said)]));
        let (heard, finish) = listen(&mut open(&http).await.unwrap()).await;
        assert_eq!((heard.as_str(), finish.is_ok()), (said, true));
    }
    assert_eq!((engine.seen().len(), engine.connections()), (3, 1));
}

#[tokio::test]
async fn streams_at_the_same_time_have_a_connection_each() {
    let engine = ScriptedEngine::start(3).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    let mut open_streams = Vec::new();
    for _ in 0..3 {
        engine.push(vec![stream_head(), text("one"), Act::UntilGone]);
        open_streams.push(open(&http).await.unwrap());
    }
    assert_eq!((engine.completions(), engine.connections()), (3, 3));
    drop(open_streams.pop());
    soon(Duration::from_secs(1), "only the dropped stream is closed", || engine.gone() == 1).await;
    assert_eq!(engine.completions(), 2);
}

#[tokio::test]
async fn an_idle_connection_that_the_engine_closed_is_replaced_without_an_error() {
    // With the close seen before the next stream, and with it hardly sent.
    for pause in [Duration::from_millis(100), Duration::ZERO] {
        let engine = ScriptedEngine::start(1).await.unwrap();
        let http = client(&engine.url(), NO_SILENCE);
        for _ in 0..5 {
            engine.push([good(&[text("one")]), vec![Act::Close]].concat());
            let (heard, finish) = listen(&mut open(&http).await.unwrap()).await;
            assert_eq!((heard.as_str(), finish.is_ok()), ("one", true));
            sleep(pause).await;
        }
        assert_eq!(engine.connections(), 5);
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_without_an_answer_is_tried_once_more_on_a_new_one() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    for script in [good(&[text("one")]), vec![Act::Reset], good(&[text("two")])] {
        engine.push(script);
    }
    assert_eq!(listen(&mut open(&http).await.unwrap()).await.0, "one");
    assert_eq!(listen(&mut open(&http).await.unwrap()).await.0, "two");
    assert_eq!((engine.seen().len(), engine.connections()), (3, 2));
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_not_tried_again() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![Act::Reset]);
    let Err(refused) = open(&client(&engine.url(), NO_SILENCE)).await else { panic!("nothing was answered") };
    assert!(matches!(refused, StreamRefused::Adapter(AdapterError::Lost)), "{refused:?}");
    assert_eq!(engine.seen().len(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_head_is_not_sent_again() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    engine.push(good(&[text("one")]));
    engine.push(vec![stream_head(), Act::Pause(Duration::from_millis(50)), Act::Reset]);
    listen(&mut open(&http).await.unwrap()).await.1.unwrap();
    let (heard, lost) = listen(&mut open(&http).await.unwrap()).await;
    assert_eq!((heard.as_str(), lost), ("", Err(AdapterError::Lost)));
    assert_eq!(engine.seen().len(), 2);
}

#[tokio::test]
async fn a_connection_whose_answer_was_refused_is_not_used_again() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    engine.push(vec![Act::Send(mock::wire::answer("400 Bad Request", "{}").into())]);
    assert!(open(&http).await.is_err());
    engine.push(good(&[text("one")]));
    assert_eq!(listen(&mut open(&http).await.unwrap()).await.0, "one");
    assert_eq!(engine.connections(), 2);
}

#[tokio::test]
async fn an_engine_that_is_gone_is_unreachable_even_with_a_kept_connection() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    engine.push(good(&[text("one")]));
    listen(&mut open(&http).await.unwrap()).await.1.unwrap();
    drop(engine);
    // The engine's task ends at the runtime's next turn.
    sleep(Duration::from_millis(50)).await;
    let Err(refused) = open(&http).await else { panic!("nobody is there") };
    assert!(matches!(refused, StreamRefused::Adapter(AdapterError::Unreachable { .. })), "{refused:?}");
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection_within_a_second() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![stream_head(), text("one"), Act::UntilGone]);
    let mut stream = open(&client(&engine.url(), NO_SILENCE)).await.unwrap();
    let mut batch = TokenBatch::new();
    next(&mut stream, &mut batch).await.unwrap();
    assert_eq!((batch.len(), engine.completions(), engine.gone()), (1, 1, 0));
    drop(stream);
    soon(Duration::from_secs(1), "the engine learns of the drop", || engine.gone() == 1).await;
}

#[tokio::test]
async fn dropping_a_stream_whose_engine_has_not_answered_closes_its_connection_too() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![Act::UntilGone]);
    let http = client(&engine.url(), NO_SILENCE);
    let opening = timeout(Duration::from_millis(300), open(&http)).await;
    assert!(opening.is_err(), "the engine answers nothing");
    assert_eq!(engine.seen().len(), 1);
    soon(Duration::from_secs(1), "the engine learns of the drop", || engine.gone() == 1).await;
}

#[tokio::test]
async fn a_kept_connection_that_breaks_within_an_answer_is_not_tried_again() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    engine.push(good(&[text("one")]));
    engine.push(vec![
        Act::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Act::Pause(Duration::from_millis(50)),
        Act::Reset,
    ]);
    assert_eq!(listen(&mut open(&http).await.unwrap()).await.0, "one");
    let Err(refused) = open(&http).await else { panic!("the answer broke off") };
    assert!(matches!(refused, StreamRefused::Adapter(AdapterError::Lost)), "{refused:?}");
    assert_eq!(engine.seen().len(), 2);
}

#[tokio::test]
async fn an_engine_that_refuses_a_request_before_it_has_read_it_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = client(&format!("http://{}", listener.local_addr().unwrap()), NO_SILENCE);
    let engine = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.read_exact(&mut [0; 64]).await.unwrap();
        let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig";
        socket.write_all(refusal).await.unwrap();
        // More than the network holds is still to come; nobody reads it.
        socket
    };
    let large = Bytes::from(vec![b' '; 64 * 1024 * 1024]);
    let asked = http.stream("/completion", large, &[], Plain);
    let (socket, answer) =
        timeout(Duration::from_secs(20), async { tokio::join!(engine, asked) }).await.unwrap();
    let Err(StreamRefused::Status { status, body, .. }) = answer else { panic!("it was refused") };
    assert_eq!((status, body.as_ref()), (413, b"big".as_slice()));
    drop(socket);
}

#[tokio::test]
async fn kept_connections_are_closed_after_a_while_though_no_stream_comes() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let http = client(&engine.url(), NO_SILENCE);
    engine.push([good(&[text("one")]), vec![Act::UntilGone]].concat());
    listen(&mut open(&http).await.unwrap()).await.1.unwrap();
    http.status("/health").await.unwrap();
    assert_eq!(engine.gone(), 0, "it may serve again");
    sleep(Duration::from_millis(4_100)).await;
    http.status("/health").await.unwrap();
    soon(Duration::from_secs(1), "the engine learns that it is closed", || engine.gone() == 1).await;
}
