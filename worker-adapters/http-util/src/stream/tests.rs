//! Tests of the stream: ends, silence, and what a full batch may hide.

use adapter_api::next;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
    time::timeout,
};
use url::Url;

use super::*;
use crate::{EngineHttp, HttpTimeouts};

/// Every event is a text; the one that says so is the end.
#[derive(Debug)]
struct Words;

impl Dialect for Words {
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        if data == b"end" {
            return Ok(Some(Finish::default()));
        }
        sink.text(data);
        Ok(None)
    }
}

#[tokio::test]
async fn an_end_that_comes_with_a_full_batch_waits_only_shortly_for_the_end_of_the_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut engine = JoinSet::new();
    engine.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.read_exact(&mut [0; 64]).await.unwrap();
        let body = "data: x\n\n".repeat(BATCH_PIECES_MAX) + "data: end\n\n";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}{:x}\r\n{body}\r\n", body.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
        // The body's own end never comes.
        drop(socket.read_to_end(&mut Vec::new()).await);
    });
    let long = Duration::from_mins(10);
    let timeouts = HttpTimeouts { connect: long, question: long, silence: long };
    let http = EngineHttp::new(base, None, timeouts).unwrap();
    let mut stream = http.stream("/completion", Bytes::new(), &[], Words).await.unwrap();
    let (mut batch, mut texts) = (TokenBatch::new(), 0);
    let whole = async {
        while !matches!(next(&mut stream, &mut batch).await, Ok(Progress::Ended(_))) {
            texts += batch.len();
            batch.clear();
        }
    };
    timeout(Duration::from_secs(30), whole).await.unwrap();
    assert_eq!(texts, BATCH_PIECES_MAX);
}
