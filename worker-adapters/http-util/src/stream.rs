//! The stream of one piece of work: bytes in, text out, closed when dropped.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use adapter_api::{AdapterError, Finish, LazyTimer, Progress, SilencePhase, TokenBatch, TokenStream};
use tokio::time::Instant;

use crate::{
    sse::{LineTooLong, SseDecoder},
    transport::{IdleLines, Line, More},
    utf8::Utf8Joiner,
};

/// A batch is handed on when it holds this much, so that a fast engine cannot starve its readers.
const BATCH_BYTES_MAX: usize = 16 * 1024;
const BATCH_PIECES_MAX: usize = 512;
/// How long the connection may take to end its answer after the last event.
const TRAILER_TIME_MAX: Duration = Duration::from_millis(250);

/// How one engine writes its events.
pub trait Dialect: Send + Unpin + 'static {
    /// Reads the data of one event; text goes to `sink`. Returns the finish if this was the last one.
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError>;
}

/// Where a dialect puts the text that it finds.
#[derive(Debug)]
pub struct TextSink<'a> {
    batch: &'a mut TokenBatch,
    joiner: &'a mut Utf8Joiner,
}

impl<'a> TextSink<'a> {
    /// A sink that joins cut characters with `joiner`.
    pub fn new(batch: &'a mut TokenBatch, joiner: &'a mut Utf8Joiner) -> Self {
        Self { batch, joiner }
    }

    /// The next bytes of text; they may end inside a character.
    pub fn text(&mut self, bytes: &[u8]) {
        self.joiner.push(bytes, self.batch);
    }

    /// A JSON document on one line, to be handed on as it is.
    pub fn document(&mut self, json: &str) {
        self.batch.push_document(json);
    }
}

/// Tokens of one engine stream.
pub struct EventStream<D> {
    line: Option<Line>,
    idle: Arc<IdleLines>,
    dialect: D,
    decoder: SseDecoder,
    joiner: Utf8Joiner,
    silence: Duration,
    timer: LazyTimer,
    finish: Option<Finish>,
}

impl<D: Dialect> EventStream<D> {
    pub(crate) fn new(line: Line, idle: Arc<IdleLines>, dialect: D, silence: Duration) -> Self {
        Self {
            line: Some(line),
            idle,
            dialect,
            decoder: SseDecoder::default(),
            joiner: Utf8Joiner::default(),
            silence,
            timer: LazyTimer::new(silence),
            finish: None,
        }
    }

    /// Reads once and decodes what came. What follows the last event is dropped: the first end wins.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<More, AdapterError>> {
        let Self { line, decoder, dialect, joiner, finish, .. } = self;
        let Some(line) = line else { return Poll::Ready(Ok(More::Ended)) };
        let mut decoded = Ok(());
        let mut decode = |chunk: &[u8]| {
            decoder.push(chunk, |data| {
                if finish.is_none() {
                    *finish = dialect.event(data, &mut TextSink { batch, joiner }).map_err(Cut::Dialect)?;
                }
                Ok(())
            })
        };
        let more = ready!(line.poll_data(cx, |chunk| {
            if decoded.is_ok() {
                decoded = decode(chunk);
            }
        }));
        Poll::Ready(match decoded {
            Err(Cut::Dialect(error)) => Err(error),
            Err(Cut::TooLong(error)) if finish.is_none() => {
                Err(AdapterError::Protocol { what: error.to_string() })
            }
            _ => more.map_err(|_broken| AdapterError::Lost),
        })
    }

    /// Waits for the answer's own end, so that the connection can serve again, but not for long.
    fn poll_trailer(&mut self, cx: &mut Context<'_>, batch: &mut TokenBatch) -> Poll<()> {
        loop {
            match self.poll_read(cx, batch) {
                Poll::Ready(Ok(More::Comes)) => {}
                Poll::Ready(Ok(More::Ended)) => {
                    if let Some(line) = self.line.take() {
                        self.idle.keep(line);
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {
                    ready!(self.timer.poll_passed(cx));
                    break;
                }
            }
        }
        self.line = None;
        Poll::Ready(())
    }

    fn poll_end(
        &mut self,
        mut finish: Finish,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        if self.poll_trailer(cx, batch).is_pending() {
            // The last tokens need not wait for the connection.
            return if batch.is_empty() { Poll::Pending } else { Poll::Ready(Ok(Progress::More)) };
        }
        self.joiner.finish(batch);
        finish.invalid_utf8 |= self.joiner.has_replaced();
        Poll::Ready(Ok(Progress::Ended(finish)))
    }
}

/// What stops the decoding of a chunk.
enum Cut {
    Dialect(AdapterError),
    TooLong(LineTooLong),
}

impl From<LineTooLong> for Cut {
    fn from(error: LineTooLong) -> Self {
        Self::TooLong(error)
    }
}

impl<D: Dialect> TokenStream for EventStream<D> {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        let mut heard = false;
        while self.finish.is_none() {
            match self.poll_read(cx, batch) {
                Poll::Ready(Ok(more)) => {
                    heard = true;
                    if self.finish.is_some() {
                        self.timer.set(Instant::now() + TRAILER_TIME_MAX);
                    } else if more == More::Ended {
                        // No end marker came: a clean end of the bytes is a loss all the same.
                        return Poll::Ready(Err(AdapterError::Lost));
                    }
                    if batch.text_len() >= BATCH_BYTES_MAX || batch.len() >= BATCH_PIECES_MAX {
                        // An engine that always fills the batch is not silent either.
                        if self.finish.is_none() {
                            self.timer.set(Instant::now() + self.silence);
                        }
                        return Poll::Ready(Ok(Progress::More));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if heard {
                        self.timer.set(Instant::now() + self.silence);
                    }
                    if !batch.is_empty() {
                        return Poll::Ready(Ok(Progress::More));
                    }
                    ready!(self.timer.poll_passed(cx));
                    let (waited, phase) = (self.silence, SilencePhase::BetweenTokens);
                    return Poll::Ready(Err(AdapterError::Silent { waited, phase }));
                }
            }
        }
        match self.finish {
            Some(finish) => self.poll_end(finish, cx, batch),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
