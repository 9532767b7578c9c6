//! An answer that is one JSON document, read under the same watch as a stream.
//!
//! Work that yields no tokens (vectors, rankings) is answered at once and as a whole. It is a stream of one
//! piece here, so that slots, silence, cancel and loss are what they are for every other piece of work.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adapter_api::{AdapterError, Finish, LazyTimer, Progress, SilencePhase, TokenBatch, TokenStream};
use tokio::time::Instant;

use crate::transport::{IdleLines, Line, More};

/// The most that is read of one answer: a thousand vectors of a few thousand numbers.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Makes the one piece of an answer from the engine's document.
pub trait WholeReader: Send + Unpin + 'static {
    /// The piece, one line of JSON, and what was counted.
    fn read(&mut self, document: &[u8]) -> Result<(String, Finish), AdapterError>;
}

/// The stream of one piece.
pub struct WholeStream<R> {
    line: Option<Line>,
    idle: Arc<IdleLines>,
    reader: R,
    document: Vec<u8>,
    silence: Duration,
    timer: LazyTimer,
}

impl<R: WholeReader> WholeStream<R> {
    pub(crate) fn new(line: Line, idle: Arc<IdleLines>, reader: R, silence: Duration) -> Self {
        let timer = LazyTimer::new(silence);
        Self { line: Some(line), idle, reader, document: Vec::new(), silence, timer }
    }
}

impl<R: WholeReader> TokenStream for WholeStream<R> {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        while let Some(line) = &mut self.line {
            let document = &mut self.document;
            let more = line.poll_data(cx, |data| document.extend_from_slice(data));
            if self.document.len() > ANSWER_BYTES_MAX {
                let what = format!("its answer is larger than {} MiB", ANSWER_BYTES_MAX >> 20);
                return Poll::Ready(Err(AdapterError::Protocol { what }));
            }
            match more {
                Poll::Ready(Ok(More::Comes)) => self.timer.set(Instant::now() + self.silence),
                Poll::Ready(Ok(More::Ended)) => {
                    if let Some(line) = self.line.take() {
                        self.idle.keep(line);
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(AdapterError::Lost)),
                Poll::Pending => {
                    if self.timer.poll_passed(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let (waited, phase) = (self.silence, SilencePhase::BeforeFirstToken);
                    return Poll::Ready(Err(AdapterError::Silent { waited, phase }));
                }
            }
        }
        let (piece, finish) = self.reader.read(&self.document)?;
        batch.push_document(&piece);
        Poll::Ready(Ok(Progress::Ended(finish)))
    }
}
