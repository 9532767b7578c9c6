//! The response body of a reader: a cursor, and a comment now and then when nothing comes.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adapter_api::LazyTimer;
use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::Instant;

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
    _guard: G,
}

impl<G: Unpin> EventBody<G> {
    pub(crate) fn new(log: Arc<JobLog>, cursor: Cursor, guard: G) -> Self {
        Self { log, cursor, timer: LazyTimer::new(KEEP_ALIVE_HALF), sent: true, _guard: guard }
    }
}

impl<G: Unpin> Body for EventBody<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
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
