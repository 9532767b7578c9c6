//! One attempt: a stream that is watched, and cut where the request ends.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use adapter_api::{
    AdapterError, Finish, FinishReason, LazyTimer, Progress, SilencePhase, TokenBatch, TokenStream, Usage,
    Work, WorkOrder, WorkerAdapter,
};
use orchestrator_core::Outcome;
use tokio::time::{Instant, timeout_at};

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From dispatch to the first token: queueing in the engine and prompt processing.
    pub first_token: Duration,
    /// From one token to the next.
    pub idle: Duration,
    /// From dispatch to the end.
    pub wall: Duration,
}

/// A stream under watch.
pub struct AttemptStream {
    stream: Box<dyn TokenStream>,
    timeouts: Timeouts,
    timer: LazyTimer,
    started: Instant,
    phase: SilencePhase,
    tokens_max: u32,
    tokens: u32,
    surplus: Surplus,
}

/// What becomes of an answer that is longer than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surplus {
    /// It is cut, and is whole then.
    Cut,
    /// It cannot be cut: its end says what no other piece says.
    Fault,
}

impl Surplus {
    fn of(work: &Work) -> Self {
        match work {
            Work::Generate(_) => Self::Cut,
            Work::Embed(_) | Work::Rerank { .. } | Work::Relay(_) => Self::Fault,
        }
    }
}

impl AttemptStream {
    /// Hands `order` to the engine. Bounded by the first-token timeout.
    //= ORCH-3016
    pub async fn open(
        adapter: &dyn WorkerAdapter,
        order: Arc<WorkOrder>,
        timeouts: Timeouts,
    ) -> Result<Self, AdapterError> {
        let started = Instant::now();
        let (tokens_max, surplus) = (order.work.pieces_max(), Surplus::of(&order.work));
        let first = timeouts.first_token.min(timeouts.wall);
        let stream = timeout_at(started + first, adapter.submit(order))
            .await
            .unwrap_or(Err(AdapterError::Silent { waited: first, phase: SilencePhase::BeforeFirstToken }))?;
        let mut timer = LazyTimer::new(first);
        timer.set(started + first);
        let phase = SilencePhase::BeforeFirstToken;
        Ok(Self { stream, timeouts, timer, started, phase, tokens_max, tokens: 0, surplus })
    }

    /// Waits for tokens or the end. Tokens are added to `batch`, also beside an end or an error.
    pub async fn next(&mut self, batch: &mut TokenBatch) -> Result<Progress, AdapterError> {
        poll_fn(|cx| self.poll_next(cx, batch)).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>> {
        let Poll::Ready(progress) = self.stream.poll_next(cx, batch) else {
            ready!(self.timer.poll_passed(cx));
            return Poll::Ready(Err(self.silent()));
        };
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        if count > 0 {
            self.phase = SilencePhase::BetweenTokens;
            let now = Instant::now();
            self.timer.set((now + self.timeouts.idle).min(self.started + self.timeouts.wall));
            // Tokens that never stop coming still end at the wall.
            if now >= self.started + self.timeouts.wall {
                return Poll::Ready(Err(self.silent()));
            }
        }
        self.tokens = self.tokens.saturating_add(count);
        if self.tokens > self.tokens_max {
            return Poll::Ready(match self.surplus {
                Surplus::Cut => Ok(self.cut(batch)),
                Surplus::Fault => {
                    batch.clear();
                    Err(AdapterError::Protocol { what: "it said more than it was asked for".to_owned() })
                }
            });
        }
        Poll::Ready(progress)
    }

    /// The engine said more than it was asked for: what is too much is dropped, and that is the end.
    fn cut(&self, batch: &mut TokenBatch) -> Progress {
        let surplus = (self.tokens - self.tokens_max) as usize;
        batch.truncate(batch.len() - surplus.min(batch.len()));
        let usage = Usage { prompt: 0, generated: self.tokens_max, cached: None };
        Progress::Ended(Finish { reason: FinishReason::Length, usage, ..Finish::default() })
    }

    fn silent(&self) -> AdapterError {
        let waited = self.started.elapsed();
        if waited >= self.timeouts.wall {
            return AdapterError::Silent { waited: self.timeouts.wall, phase: SilencePhase::Overall };
        }
        let waited = match self.phase {
            SilencePhase::BeforeFirstToken => self.timeouts.first_token,
            SilencePhase::BetweenTokens | SilencePhase::Overall => self.timeouts.idle,
        };
        AdapterError::Silent { waited, phase: self.phase }
    }
}

/// What the scheduler is told of a failure.
pub fn outcome_of(error: &AdapterError, tokens_out: u32) -> Outcome {
    match error {
        AdapterError::Refused { .. } => Outcome::Refused,
        AdapterError::Busy { retry_after } => Outcome::Busy { retry_after: *retry_after },
        AdapterError::Silent { .. } => Outcome::TimedOut { tokens_out },
        AdapterError::Unreachable { .. }
        | AdapterError::Protocol { .. }
        | AdapterError::Failed { .. }
        | AdapterError::Lost => Outcome::Lost { tokens_out },
    }
}
