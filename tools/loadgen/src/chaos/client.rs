//! Requests as an outside client sends them, over connections that may break at any moment.

use std::{net::SocketAddr, ops::ControlFlow};

use anyhow::Result;
use serde_json::Value;

use super::frames::{Frame, Frames};
use crate::load::Connection;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// How reading a stream ended.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The server had nothing more to say.
    All,
    /// The reader left.
    Left,
    /// There was no stream.
    Refused(Answer),
}

/// A client with one connection, which it opens when it needs it.
pub(crate) struct Client {
    target: SocketAddr,
    /// A header line of each request, or nothing.
    authorization: String,
    connection: Option<Connection>,
}

/// Ends reading from within a sink.
#[derive(Debug)]
struct Leave;

impl std::fmt::Display for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader leaves")
    }
}

impl std::error::Error for Leave {}

impl Client {
    pub(crate) fn new(target: SocketAddr) -> Self {
        Self { target, authorization: String::new(), connection: None }
    }

    /// A client that shows a token.
    pub(crate) fn with_token(target: SocketAddr, token: &str) -> Self {
        Self { authorization: format!("Authorization: Bearer {token}\r\n"), ..Self::new(target) }
    }

    /// Sends a request and reads its answer. An error leaves open what the server did.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{body}",
            self.target,
            body.len(),
            self.authorization
        );
        let mut connection = self.take().await?;
        let head = connection.send(request.as_bytes()).await?;
        let status = head.status;
        let body = connection.read_text(head).await?;
        self.connection = Some(connection);
        Ok(Answer { status, body })
    }

    /// Reads a task's events behind `after`, until they end or `each` has enough.
    pub(crate) async fn events(
        &mut self,
        id: &str,
        after: Option<u32>,
        mut each: impl FnMut(Frame) -> Result<ControlFlow<()>>,
    ) -> Result<Heard> {
        let resume = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /v2/tasks/{id}/events HTTP/1.1\r\nHost: {}\r\n{}{resume}\r\n",
            self.target, self.authorization
        );
        let mut connection = self.take().await?;
        let head = connection.send(request.as_bytes()).await?;
        if head.status != 200 {
            let status = head.status;
            let body = connection.read_text(head).await?;
            self.connection = Some(connection);
            return Ok(Heard::Refused(Answer { status, body }));
        }
        let mut frames = Frames::default();
        let sink = |data: &[u8]| {
            for frame in frames.push(data)? {
                if each(frame)?.is_break() {
                    return Err(Leave.into());
                }
            }
            Ok(())
        };
        match connection.read_body(head, sink).await {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(Heard::All)
            }
            Err(error) if error.is::<Leave>() => Ok(Heard::Left),
            Err(error) => Err(error),
        }
    }

    async fn take(&mut self) -> Result<Connection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(self.target).await,
        }
    }
}
