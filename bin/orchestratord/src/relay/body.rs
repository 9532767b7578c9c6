//! The response body of a reader: a cursor, and a comment now and then when nothing comes.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adapter_api::LazyTimer;
use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, timeout};

use super::log::{Cursor, JobLog};

/// Half of the longest silence that a client may see. The timer only asks whether anything was sent
/// since it last rang, so a token costs it nothing, and no gap exceeds two of its periods.
const KEEP_ALIVE_HALF: Duration = Duration::from_millis(7_400);
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Streams a job's log from a cursor to its end. `G` stands by the reader and is dropped with it.
pub(crate) struct EventBody<G> {
    log: Arc<JobLog>,
    cursor: Cursor,
    timer: LazyTimer,
    sent: bool,
    /// What was read before there was a body.
    first: Option<Bytes>,
    _guard: G,
}

impl<G: Unpin> EventBody<G> {
    pub(crate) fn new(log: Arc<JobLog>, cursor: Cursor, guard: G) -> Self {
        let timer = LazyTimer::new(KEEP_ALIVE_HALF);
        Self { log, cursor, timer, sent: true, first: None, _guard: guard }
    }

    /// Sends these bytes before all others; they were read from the same cursor.
    pub(crate) fn starting_with(mut self, first: Bytes) -> Self {
        self.first = Some(first);
        self
    }
}

/// Waits for the first bytes of a log; for a keep-alive when nothing comes for too long.
pub(crate) async fn first_bytes(log: &JobLog, cursor: &mut Cursor) -> Bytes {
    let bytes = timeout(KEEP_ALIVE_HALF, poll_fn(|cx| log.poll_read(cursor, cx))).await;
    bytes.map_or(KEEP_ALIVE, Option::unwrap_or_default)
}

impl<G: Unpin> Body for EventBody<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Poll::Ready(bytes) = this.log.poll_read(&mut this.cursor, cx) {
            this.sent = true;
            return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
        }
        while this.timer.poll_passed(cx).is_ready() {
            this.timer.set(Instant::now() + KEEP_ALIVE_HALF);
            if !std::mem::replace(&mut this.sent, false) {
                this.sent = true;
                return Poll::Ready(Some(Ok(Frame::data(KEEP_ALIVE))));
            }
        }
        Poll::Pending
    }
}

impl<G> Drop for EventBody<G> {
    fn drop(&mut self) {
        self.log.close(&self.cursor);
    }
}
