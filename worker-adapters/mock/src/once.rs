//! An answer of one piece, after the time that a first token would take.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use adapter_api::{AdapterError, Finish, LazyTimer, Progress, TokenBatch, TokenStream, Usage};
use serde_json::Value;

use crate::adapter::{MockConfig, MockCounts};

/// A stream of one piece.
pub(crate) struct OnceStream {
    piece: String,
    prompt_tokens: u32,
    timer: LazyTimer,
    counts: Arc<MockCounts>,
    ended: Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    Yes,
}

impl OnceStream {
    pub(crate) fn new(
        piece: &Value,
        prompt_tokens: u32,
        config: &MockConfig,
        counts: Arc<MockCounts>,
    ) -> Self {
        counts.opened();
        let timer = LazyTimer::new(config.first_token_delay);
        Self { piece: piece.to_string(), prompt_tokens, timer, counts, ended: Ended::No }
    }
}

impl TokenStream for OnceStream {
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        ready!(self.timer.poll_passed(cx));
        batch.push_document(&self.piece);
        self.ended = Ended::Yes;
        let usage = Usage { prompt: self.prompt_tokens, ..Usage::default() };
        Poll::Ready(Ok(Progress::Ended(Finish { usage, ..Finish::default() })))
    }
}

impl Drop for OnceStream {
    fn drop(&mut self) {
        self.counts.closed();
        if self.ended == Ended::No {
            self.counts.canceled_early(std::time::Duration::ZERO);
        }
    }
}
