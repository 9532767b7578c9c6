//! One connection to an engine, driven by the task that reads from it.
//!
//! A pooled client runs each connection as a task of its own and hands every chunk over to the reader:
//! two task switches per token. Here hyper's connection is polled in place, so that all that one read
//! of the socket brought is decoded in one go. Dropping the connection closes the socket, which is how
//! an engine learns of a cancel.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

/// Engines close an idle connection after 5 s (llama.cpp) or later; we let go before they do.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// More idle connections to one engine than it could ever have slots would be waste.
const IDLE_CONNECTIONS_MAX: usize = 1_024;

/// A failure below HTTP's status line.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no connection: {0}")]
    Connect(io::ErrorKind),
    #[error("the connection broke")]
    Broken,
}

/// One HTTP/1.1 connection and the machine that moves its bytes.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    closed: bool,
}

impl Line {
    /// Connects to `host:port`.
    pub(crate) async fn open(host: &str, port: u16, within: Duration) -> Result<Self, TransportError> {
        let socket = timeout(within, TcpStream::connect((host, port)))
            .await
            .map_err(|_elapsed| TransportError::ConnectTimeout(within))?
            .map_err(|error| TransportError::Connect(error.kind()))?;
        socket.set_nodelay(true).map_err(|error| TransportError::Connect(error.kind()))?;
        let (sender, driver) = Builder::new()
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|_handshake| TransportError::Broken)?;
        Ok(Self { sender, driver: Box::pin(driver), closed: false })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TransportError> {
        let Self { sender, driver, closed } = self;
        let mut answer = pin!(sender.send_request(request));
        poll_fn(|cx| {
            if let Poll::Ready(result) = answer.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            if !*closed && driver.as_mut().poll(cx).is_ready() {
                *closed = true;
            }
            answer.as_mut().poll(cx)
        })
        .await
        .map_err(|_hyper| TransportError::Broken)
    }

    /// The next bytes of `body`, `None` at its proper end.
    pub(crate) fn poll_data(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            let mut frame = Pin::new(&mut *body).poll_frame(cx);
            if frame.is_pending() && !self.closed {
                self.closed = self.driver.as_mut().poll(cx).is_ready();
                frame = Pin::new(&mut *body).poll_frame(cx);
            }
            return match frame {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => continue,
                },
                Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(TransportError::Broken))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending if self.closed => Poll::Ready(Some(Err(TransportError::Broken))),
                Poll::Pending => Poll::Pending,
            };
        }
    }

    /// Whether another request may be sent. Notices a close by the peer.
    fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.closed {
            self.closed = self.driver.as_mut().poll(cx).is_ready();
        }
        !self.closed && self.sender.is_ready()
    }
}

/// Connections that wait for their next request.
#[derive(Default)]
pub(crate) struct IdleLines {
    lines: Mutex<Vec<(Instant, Line)>>,
}

impl IdleLines {
    /// The connection that was used last and is still good, if there is one.
    pub(crate) async fn take(&self) -> Option<Line> {
        loop {
            let (since, mut line) = self.lines.lock().pop()?;
            if since.elapsed() > IDLE_MAX {
                // The others have waited longer still.
                self.lines.lock().clear();
                return None;
            }
            if poll_fn(|cx| Poll::Ready(line.poll_usable(cx))).await {
                return Some(line);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn keep(&self, mut line: Line, cx: &mut Context<'_>) {
        if line.poll_usable(cx) {
            let mut lines = self.lines.lock();
            if lines.len() < IDLE_CONNECTIONS_MAX {
                lines.push((Instant::now(), line));
            }
        }
    }
}
