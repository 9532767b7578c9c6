//! One connection to an engine, driven by the task that reads from it.
//!
//! A pooled client runs each connection as a task of its own and hands every chunk over to the reader: two task
//! switches, a channel and a buffer per token. Here the reading task reads the socket into a buffer that all
//! streams of its thread share, and what it finds is decoded in place: an idle stream holds no buffer, and a
//! token is copied once, into the batch that goes to its readers. Dropping the connection closes the socket,
//! which is how an engine learns of a cancel.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    answer::{Answer, Head, read_head},
    body::BodyDecoder,
};

/// Engines close an idle connection after 5 s (llama.cpp) or later; we let go before they do.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// More idle connections of a thread to one engine than it could ever have slots would be waste.
const IDLE_CONNECTIONS_MAX: usize = 1_024;
/// What is read at once. At a few hundred bytes a token it is more than a stream is ever behind.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// What a read brings is decoded before the next one, so one buffer serves all streams of a thread.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// A failure below HTTP's status line.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no connection: {0}")]
    Connect(io::ErrorKind),
    /// Not a byte of an answer came.
    #[error("the connection ended without an answer")]
    Unanswered,
    #[error("the connection broke")]
    Broken,
}

/// Whether more of a body is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    Comes,
    /// The body is through, at its proper end.
    Ended,
}

/// One HTTP/1.1 connection.
pub(crate) struct Line {
    socket: TcpStream,
    /// What came with the head of an answer, and where in it the body begins; empty once that was taken.
    early: (Vec<u8>, usize),
    body: BodyDecoder,
    /// Whether another request may follow the body.
    stays: bool,
}

impl Line {
    /// Connects to `host:port`.
    pub(crate) async fn open(host: &str, port: u16, within: Duration) -> Result<Self, TransportError> {
        let socket = timeout(within, TcpStream::connect((host, port)))
            .await
            .map_err(|_elapsed| TransportError::ConnectTimeout(within))?
            .map_err(|error| TransportError::Connect(error.kind()))?;
        socket.set_nodelay(true).map_err(|error| TransportError::Connect(error.kind()))?;
        Ok(Self { socket, early: (Vec::new(), 0), body: BodyDecoder::Ended, stays: true })
    }

    /// Sends a request, a head and a body, and waits for the head of its answer. An engine may answer before
    /// it has read everything; the rest is not sent then.
    pub(crate) async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<Answer, TransportError> {
        let (mut sent, mut came) = (0, Vec::new());
        poll_fn(|cx| {
            if self.stays && matches!(self.poll_write(cx, head, body, &mut sent), Poll::Ready(Err(_))) {
                // It may have said why before it closed.
                self.stays = false;
            }
            let head_of_answer = ready!(self.poll_head(cx, &mut came))?;
            self.stays &= head_of_answer.stays && sent == head.len() + body.len();
            self.body = head_of_answer.body;
            Poll::Ready(Ok(head_of_answer.answer))
        })
        .await
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
        sent: &mut usize,
    ) -> Poll<io::Result<()>> {
        while *sent < head.len() + body.len() {
            let head_left = head.get(*sent..).unwrap_or_default();
            let body_left = body.get(sent.saturating_sub(head.len())..).unwrap_or_default();
            let both = [IoSlice::new(head_left), IoSlice::new(body_left)];
            let socket = Pin::new(&mut self.socket);
            match ready!(socket.poll_write_vectored(cx, &both))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *sent += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, came: &mut Vec<u8>) -> Poll<Result<Head, TransportError>> {
        loop {
            let read = ready!(self.poll_read(cx, |bytes| came.extend_from_slice(bytes)));
            let unanswered = came.is_empty();
            match read {
                Ok(0) | Err(_) if unanswered => return Poll::Ready(Err(TransportError::Unanswered)),
                Ok(0) | Err(_) => return Poll::Ready(Err(TransportError::Broken)),
                Ok(_) => {}
            }
            if let Some(head) = read_head(came)? {
                let came = std::mem::take(came);
                self.early = if came.len() > head.length { (came, head.length) } else { (Vec::new(), 0) };
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// Reads once, and gives what came to `take` before the next one reads; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Reads once and hands what is body of it to `sink`. `sink` must not read from a line itself.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(&[u8]),
    ) -> Poll<Result<More, TransportError>> {
        if self.body.is_ended() {
            return Poll::Ready(Ok(More::Ended));
        }
        let (mut body, mut stays) = (self.body, self.stays);
        let mut decode = |bytes: &[u8]| {
            let behind = body.push(bytes, &mut sink)?;
            // Nothing was asked for that this could answer.
            stays &= behind.is_empty();
            Ok(())
        };
        let decoded = if self.early.0.is_empty() {
            let mut decoded = Ok(());
            match ready!(self.poll_read(cx, |bytes| decoded = decode(bytes))) {
                Ok(0) if body == BodyDecoder::UntilClose => {
                    body = BodyDecoder::Ended;
                    decoded
                }
                Ok(0) | Err(_) => Err(TransportError::Broken),
                Ok(_) => decoded,
            }
        } else {
            let (came, body_from) = std::mem::take(&mut self.early);
            decode(came.get(body_from..).unwrap_or_default())
        };
        (self.body, self.stays) = (body, stays);
        Poll::Ready(decoded.map(|()| if body.is_ended() { More::Ended } else { More::Comes }))
    }

    /// Whether another request may be sent. Notices a close by the peer, and bytes that nobody asked for.
    fn is_usable(&self) -> bool {
        let waits =
            |result: io::Result<usize>| result.is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock);
        self.stays && self.body.is_ended() && self.early.0.is_empty() && waits(self.socket.try_read(&mut [0]))
    }
}

/// Connections that wait for their next request, each beside those of its thread: what a socket has to tell
/// comes by the thread that opened it, and would have to be passed on to any other.
pub(crate) struct IdleLines {
    lanes: [Mutex<Lane>; LANES],
}

/// The oldest come first.
type Lane = Vec<(Instant, Line)>;

/// Threads beyond these share.
const LANES: usize = 64;

thread_local! {
    static LANE: usize = NEXT_LANE.fetch_add(1, Ordering::Relaxed) % LANES;
}

static NEXT_LANE: AtomicUsize = AtomicUsize::new(0);

impl Default for IdleLines {
    fn default() -> Self {
        Self { lanes: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl IdleLines {
    /// The connection that was used last and is still good, if there is one.
    pub(crate) fn take(&self) -> Option<Line> {
        loop {
            let (since, line) = self.lane()?.lock().pop()?;
            if since.elapsed() > IDLE_MAX {
                // The others have waited longer still.
                self.lane()?.lock().clear();
                return None;
            }
            if line.is_usable() {
                return Some(line);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn keep(&self, line: Line) {
        if let Some(kept) = self.lane().filter(|_| line.is_usable()) {
            let mut kept = kept.lock();
            if kept.len() < IDLE_CONNECTIONS_MAX {
                kept.push((Instant::now(), line));
            }
        }
    }

    /// Closes those that have waited too long. Called now and then, so that none stays open for want of a
    /// next request.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        for lane in &self.lanes {
            let old: Lane = {
                let mut lane = lane.lock();
                let fresh = lane.partition_point(|(since, _)| now.duration_since(*since) > IDLE_MAX);
                lane.drain(..fresh).collect()
            };
            // Closed when the lock is free.
            drop(old);
        }
    }

    fn lane(&self) -> Option<&Mutex<Lane>> {
        self.lanes.get(LANE.with(|lane| *lane))
    }
}
