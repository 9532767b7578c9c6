//! One attempt: from a slot and a job to tokens in the job's log.
//!
//! An attempt is a task of its own. Stopping it drops the engine's stream, which closes the
//! connection, and then its guard, which gives the slot back: there is no other way out.

use std::sync::Arc;

use adapter_api::{AdapterError, Finish, Progress, TokenBatch, WorkerAdapter};
use adapter_host::{AttemptStream, Bindings, SlotGuard, Timeouts, outcome_of};
use orchestrator_core::{Assignment, Outcome, Spent, Workload};
use tokio::task::consume_budget;
use tracing::warn;

use super::{
    events,
    handle::SchedulerHandle,
    job::{Attempt, JobEntry, JobFacts},
    narrate,
    pools::Pools,
};
use crate::{clock::Clock, metrics::Metrics};

/// Runs attempts.
pub(crate) struct Dispatcher {
    pub(crate) bindings: Bindings,
    pub(crate) timeouts: Timeouts,
    pub(crate) pools: Arc<Pools>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

impl Dispatcher {
    /// Runs one attempt to its end.
    pub(crate) async fn run(
        self: Arc<Self>,
        entry: Arc<JobEntry>,
        assignment: Assignment,
        mut guard: SlotGuard<SchedulerHandle>,
    ) {
        let pool = assignment.pool.clone();
        let result = self.stream(&entry, assignment, &mut guard).await;
        let outcome = match &result {
            Ok(_) => Outcome::Completed,
            Err(error) => outcome_of(error, guard.tokens_out()),
        };
        if let Err(error) = &result {
            let (job_id, correlation_id) = (&entry.facts.id, &entry.facts.correlation_id);
            warn!(target: "orchestratord::dispatch", %job_id, %correlation_id, pool_id = %pool, %error,
                tokens_out = guard.tokens_out(), "attempt failed");
        }
        entry.attempt_ended(result);
        guard.end(outcome);
    }

    async fn stream(
        &self,
        entry: &JobEntry,
        assignment: Assignment,
        guard: &mut SlotGuard<SchedulerHandle>,
    ) -> Result<Finish, AdapterError> {
        let adapter = self.bindings.find(&assignment.pool, &assignment.replica).cloned();
        let (Some(adapter), Some(order)) = (adapter, entry.order()) else {
            return Err(AdapterError::Unreachable { reason: "the replica has no adapter".to_owned() });
        };
        self.begin(entry, assignment, &*adapter);
        let mut stream = AttemptStream::open(&*adapter, order, self.timeouts).await?;
        let mut batch = TokenBatch::new();
        loop {
            let progress = stream.next(&mut batch).await;
            if !batch.is_empty() {
                self.deliver(entry, guard, &batch);
                batch.clear();
            }
            // An engine that is always ready still leaves its turns to others.
            consume_budget().await;
            if let Progress::Ended(finish) = progress? {
                guard.count_spent(spent(&finish, &entry.facts, guard.tokens_out()));
                return Ok(finish);
            }
        }
    }

    /// Hands what an engine said to the readers; a document is kept for the last event.
    fn deliver(&self, entry: &JobEntry, guard: &mut SlotGuard<SchedulerHandle>, batch: &TokenBatch) {
        let text = match entry.facts.workload() {
            Workload::Completion => None,
            Workload::Embedding | Workload::Rerank => batch.pieces().last(),
        };
        if let Some(document) = text {
            return entry.answered(document.text.to_owned());
        }
        if guard.tokens_out() == 0 {
            let now = self.clock.now();
            entry.first_token(now);
            narrate::streaming(entry, now);
        }
        guard.count_tokens(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        entry.log.append_tokens(batch);
    }

    /// Tells readers, metrics and the log that an engine has the job.
    fn begin(&self, entry: &JobEntry, assignment: Assignment, adapter: &dyn WorkerAdapter) {
        let now = self.clock.now();
        let attempt = Attempt {
            engine: adapter.capabilities().engine,
            engine_version: self.pools.version(&assignment.pool, &assignment.replica),
            assignment,
            dispatched_at: now,
            first_token_at: None,
        };
        let status = entry.status();
        let waited = now.since(status.accepted_at);
        self.metrics.dispatched(&attempt.assignment.pool, waited);
        narrate::dispatched(entry, &attempt, waited);
        // An engine that was busy gets the same attempt again; its readers have been told already.
        let last = status.attempt.as_ref().map(|last| last.assignment.attempt);
        if last != Some(attempt.assignment.attempt) {
            entry.log.append("started", &events::started(entry, &status, &attempt));
        }
        entry.dispatched(attempt);
    }
}

/// What an attempt used, by the engine's count, and by ours where it counts nothing.
fn spent(finish: &Finish, facts: &JobFacts, tokens_out: u32) -> Spent {
    let usage = finish.usage;
    let prompt = if usage.prompt == 0 { facts.prompt_tokens } else { usage.prompt };
    Spent {
        tokens: u64::from(prompt) + u64::from(usage.generated.max(tokens_out)),
        warm: usage.cached.is_some_and(|cached| cached > 0),
    }
}
