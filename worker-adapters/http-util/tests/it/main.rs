//! What an engine may do to us on the wire, and what becomes of it.
//!
//! The engine is a script; its events are a dialect made for these tests, so that nothing here depends
//! on how a real engine writes JSON.
#![cfg(test)]

mod answers;
mod bodies;
mod connections;
mod decoder;
mod questions;

use std::time::Duration;

use adapter_api::{AdapterError, Finish, Progress, TokenBatch, TokenStream, next};
use bytes::Bytes;
use http_util::{Dialect, EngineHttp, EventStream, HttpTimeouts, StreamRefused, TextSink};
use mock::wire::{Act, Script, ScriptedEngine, body_end, stream_head};
use tokio::time::{sleep, timeout};

/// Events of this dialect: `"a JSON string"` is text, `=raw bytes` is text too, `end N` is the end.
#[derive(Debug, Default)]
struct Plain;

impl Dialect for Plain {
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        let unfit = || AdapterError::Protocol { what: "an event does not fit".to_owned() };
        match data {
            [b'"', ..] => {
                let text: String = serde_json::from_slice(data).map_err(|_json| unfit())?;
                sink.text(text.as_bytes());
                Ok(None)
            }
            [b'=', raw @ ..] => {
                sink.text(raw);
                Ok(None)
            }
            _ => {
                let count = data.strip_prefix(b"end ").ok_or_else(unfit)?;
                let count = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok());
                let mut finish = Finish::default();
                finish.usage.generated = count.ok_or_else(unfit)?;
                Ok(Some(finish))
            }
        }
    }
}

/// A text event.
fn text(text: &str) -> Act {
    Act::Chunk(format!("data: {}\n\n", serde_json::to_string(text).unwrap()).into())
}

/// A text event of bytes that may be no text.
fn raw(bytes: &[u8]) -> Act {
    Act::Chunk([b"data: =", bytes, b"\n\n"].concat())
}

fn end(count: u32) -> Act {
    Act::Chunk(format!("data: end {count}\n\n").into())
}

/// A whole answer of these events.
fn good(events: &[Act]) -> Script {
    [&[stream_head()], events, &[end(7), body_end()]].concat()
}

const NO_SILENCE: Duration = Duration::from_secs(20);

fn client(url: &str, silence: Duration) -> EngineHttp {
    let timeouts =
        HttpTimeouts { connect: Duration::from_secs(5), question: Duration::from_secs(5), silence };
    EngineHttp::new(url.parse().unwrap(), None, timeouts).unwrap()
}

async fn open(http: &EngineHttp) -> Result<EventStream<Plain>, StreamRefused> {
    timeout(Duration::from_secs(20), http.stream("/completion", Bytes::from_static(b"{}"), &[], Plain))
        .await
        .expect("a stream opens or is refused in time")
}

/// Takes a stream to its end. Text that came before an error is kept.
async fn listen(stream: &mut dyn TokenStream) -> (String, Result<Finish, AdapterError>) {
    let (mut text, mut batch) = (String::new(), TokenBatch::new());
    loop {
        batch.clear();
        let progress = timeout(Duration::from_secs(20), next(stream, &mut batch))
            .await
            .expect("a stream goes on in time");
        text.extend(batch.pieces().map(|piece| piece.text));
        match progress {
            Ok(Progress::More) => assert!(!batch.is_empty(), "more was said to come, and nothing came"),
            Ok(Progress::Ended(finish)) => return (text, Ok(finish)),
            Err(error) => return (text, Err(error)),
        }
    }
}

/// What comes of one answer of an engine.
async fn hear(script: Script) -> (String, Result<Finish, AdapterError>) {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(script);
    let mut stream = open(&client(&engine.url(), NO_SILENCE)).await.expect("a stream opens");
    listen(&mut stream).await
}

/// Waits for something that must come true, but not for ever.
async fn soon(time: Duration, promise: &str, holds: impl Fn() -> bool) {
    let waited = timeout(time, async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "{promise}");
}
