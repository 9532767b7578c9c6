//! What is kept of each job, when, and what its clients may see by then.
//!
//! A client hears of nothing that a crash could take back. Its 202 waits for the job to be kept; its readers get
//! `started` when the dispatch is kept, tokens when it is kept that tokens are shown, and the last event when the
//! end is kept. Tokens themselves are shown as they come and kept a moment later: a crash may take some that were
//! read, and their ids are not used again.
//!
//! Each step is left in the journal in the order in which it happened, and nobody here waits.

use std::{collections::HashMap, sync::Arc, time::Duration};

use orchestrator_core::{Admission, JobEnd, JobId, SessionId, SessionRecord, Timestamp};
use parking_lot::Mutex;
use store_api::{
    Applied, Change, JobKey, NewJob, OwnerId, RecordKey, Segment, Shelf, Store, StoreError, WallMillis,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use trace_export::TraceContext;
use uuid::Uuid;

use super::{
    job::{Attempt, Durability, JobEntry, Kept, OnTheWay},
    jobs::Swept,
    journal::Journal,
    saved::{self, Said, SavedEnd, SavedProgress, SavedSession, SavedTask, Version},
    traces::TaskTrace,
    view,
};
use crate::{
    clock::Clock,
    relay::{Hole, IDS_PER_LIFE, JobLog, Part},
};

/// How often what streams say is kept.
const FLUSH_INTERVAL: Duration = Duration::from_millis(250);

/// Whether jobs outlive the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlives {
    No,
    Yes,
}

/// Keeps jobs.
pub(crate) struct Keeper {
    pub(crate) journal: Arc<Journal>,
    store: Arc<dyn Store>,
    owner: OwnerId,
    clock: Clock,
    outlives: Outlives,
    /// How long a client waits for a commit.
    patience: Duration,
    /// Jobs that engines have: what they say is kept regularly.
    running: Mutex<HashMap<JobId, Arc<JobEntry>>>,
}

/// Why something that was kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotRead {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Hole(#[from] Hole),
}

fn shelved(session: SessionId) -> RecordKey {
    let name = Uuid::from_u128(session.as_u128()).to_string();
    RecordKey { shelf: Shelf::Sessions, name: name.into() }
}

fn append(entry: &JobEntry, part: Part) -> Change {
    let Part { first_id, events, frames } = part;
    Change::Append { job: key(entry), fence: entry.fence, segment: Segment { first_id, events, frames } }
}

fn key(entry: &JobEntry) -> JobKey {
    JobKey(entry.facts.id.as_u128())
}

impl Keeper {
    pub(crate) fn new(
        (store, outlives): (Arc<dyn Store>, Outlives),
        clock: Clock,
        patience: Duration,
    ) -> Self {
        // No other process has it or had it.
        let owner = OwnerId(Uuid::new_v4().as_u128());
        let (journal, running) = (Arc::default(), Mutex::default());
        Self { journal, store, owner, clock, outlives, patience, running }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// As whom this process takes jobs in.
    pub(crate) fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Whether the store keeps up with what comes in.
    pub(crate) fn keeps_up(&self) -> bool {
        self.journal.keeps_up()
    }

    /// A job came in.
    //= ORCH-3405
    pub(crate) fn accepted(&self, entry: &Arc<JobEntry>, granted: &Admission, asked: Option<OnTheWay>) {
        let (Durability::Fsync, Some(asked)) = (entry.facts.durability, asked) else { return };
        let from = entry.facts.trace.as_deref();
        let record = SavedTask {
            version: Version::default(),
            task: asked.task,
            id: entry.facts.id.to_string(),
            identity: entry.facts.identity.to_string(),
            correlation_id: entry.facts.correlation_id.to_string(),
            traceparent: from.map(TraceContext::traceparent),
            tracestate: from.and_then(TraceContext::tracestate).map(ToString::to_string),
            trace: entry.trace().map(TaskTrace::saved),
            accepted_ms: self.clock.unix_ms(entry.status().accepted_at),
            admission: granted.into(),
        };
        let new = NewJob { key: key(entry), owner: self.owner, body: saved::write(&record) };
        let entry = Arc::clone(entry);
        self.journal.push_then(Change::Accept(new), move |result| {
            entry.now(match result {
                Ok(Applied::Accepted { .. }) => Kept::Accepted,
                Ok(_) | Err(_) => Kept::Refused,
            });
        });
    }

    /// Leaves a change now, and waits for it later: false when it is not kept, or not in time.
    pub(crate) fn keep(&self, change: Change) -> impl Future<Output = bool> + Send + use<> {
        let (tell, told) = oneshot::channel();
        // Nobody may be waiting any more.
        self.journal.push_then(change, move |result| tell.send(result.is_ok()).unwrap_or_default());
        let patience = self.patience;
        async move { timeout(patience, told).await.is_ok_and(|told| told == Ok(true)) }
    }

    /// Waits until a job that came in is kept. False when it is not, and will not be in time.
    pub(crate) async fn is_kept(&self, entry: &JobEntry) -> bool {
        if entry.kept() == Kept::Nothing {
            return true;
        }
        let settled = entry.until(|kept| kept != Kept::Pending);
        timeout(self.patience, settled).await.is_ok_and(|kept| kept != Kept::Refused)
    }

    /// Waits until the end of a job is kept. False when it is not in time.
    pub(crate) async fn is_over(&self, entry: &JobEntry) -> bool {
        let settled = entry.until(|kept| matches!(kept, Kept::Over | Kept::Nothing | Kept::Refused));
        timeout(self.patience, settled).await.is_ok()
    }

    /// An engine has the job, and its log says so.
    pub(crate) fn dispatched(&self, entry: &Arc<JobEntry>, attempt: &Attempt) {
        if entry.facts.durability == Durability::Memory {
            return;
        }
        self.running.lock().insert(entry.facts.id, Arc::clone(entry));
        // It may have been canceled meanwhile, and then nobody else takes it out.
        if entry.is_over() {
            self.running.lock().remove(&entry.facts.id);
        }
        self.flush(entry);
        let events = entry.log.events();
        let kept = Arc::clone(entry);
        // Where it is known already that readers have tokens, further ones wait for nothing.
        let shown = if entry.has_spoken() { usize::MAX } else { events };
        self.note(entry, attempt, move |_| kept.log.show(shown));
    }

    /// The job says its first token: readers get it when that is known.
    pub(crate) fn speaks(&self, entry: &Arc<JobEntry>) {
        // It is asked with each hand-over of tokens, and most jobs that ask keep nothing.
        if entry.facts.durability != Durability::Fsync {
            return;
        }
        let Some(attempt) = entry.status().attempt else { return };
        entry.speaks();
        let kept = Arc::clone(entry);
        self.note(entry, &attempt, move |_| kept.log.show_all());
    }

    fn note(
        &self,
        entry: &JobEntry,
        attempt: &Attempt,
        then: impl FnOnce(Result<Applied, StoreError>) + Send + 'static,
    ) {
        let progress = SavedProgress {
            version: Version::default(),
            said: if entry.has_spoken() { Said::Tokens } else { Said::Nothing },
            attempt: attempt.assignment.attempt,
            pool: attempt.assignment.pool.to_string(),
            replica: attempt.assignment.replica.to_string(),
            engine: attempt.engine.to_owned(),
            engine_version: attempt.engine_version.clone(),
            dispatched_ms: self.clock.unix_ms(attempt.dispatched_at),
        };
        let ids_reserved = entry.life.saturating_add(1).saturating_mul(IDS_PER_LIFE);
        let (job, fence) = (key(entry), entry.fence);
        let note = Change::Note { job, fence, note: saved::write(&progress), ids_reserved };
        self.journal.push_then(note, then);
    }

    /// Keeps what the job has said since the last time.
    pub(crate) fn flush(&self, entry: &JobEntry) {
        entry.log.keep(|part| self.journal.push(append(entry, part)));
    }

    /// The job ended, and its log is sealed. Its readers get the last events when the end is kept.
    pub(crate) fn ended(&self, entry: &Arc<JobEntry>, at: Timestamp) {
        if entry.facts.durability == Durability::Memory {
            return;
        }
        self.running.lock().remove(&entry.facts.id);
        let status = entry.status();
        let record = SavedEnd {
            version: Version::default(),
            view: view::summary_of(entry, &status, self.clock),
            fingerprint: saved::hex(&entry.facts.fingerprint),
            accepted_ms: self.clock.unix_ms(status.accepted_at),
            admission: status.admission.as_ref().map(Into::into),
            events: entry.log.events() as u64,
            bytes: entry.log.len() as u64,
        };
        let at = WallMillis(self.clock.unix_ms(at));
        let end = Change::End { job: key(entry), fence: entry.fence, at, body: saved::write(&record) };
        let then = {
            let entry = Arc::clone(entry);
            move |_| {
                entry.log.release();
                entry.now(Kept::Over);
            }
        };
        // A kill between the two would leave a job that is alive and has said its last.
        //= ORCH-3405
        let mut rest = None;
        entry.log.keep_all(|part| rest = Some(append(entry, part)));
        match rest {
            Some(rest) => self.journal.push_both_then((rest, end), then),
            None => self.journal.push_then(end, then),
        }
    }

    /// A session as it is now.
    //= ORCH-3409
    pub(crate) fn session(&self, record: &SessionRecord) {
        let body = saved::write(&SavedSession::of(record, self.clock));
        self.journal.push(Change::Put { record: shelved(record.id), body });
    }

    /// A session that is not known any more.
    pub(crate) fn session_gone(&self, id: SessionId) {
        self.journal.push(Change::Remove(shelved(id)));
    }

    /// The server goes down and the job did not end. True when it comes back with the server.
    //= ORCH-3410
    pub(crate) fn suspends(&self, entry: &JobEntry, end: JobEnd) -> bool {
        let closing = end == JobEnd::Failed(orchestrator_core::FailReason::ShuttingDown);
        if !closing || self.outlives == Outlives::No || entry.facts.durability == Durability::Memory {
            return false;
        }
        self.running.lock().remove(&entry.facts.id);
        self.flush(entry);
        entry.log.suspend();
        true
    }

    /// A job is given up whose client was told that it is not accepted.
    pub(crate) fn forget(&self, entry: &JobEntry) {
        if entry.facts.durability == Durability::Fsync {
            self.journal.push(Change::Forget { job: key(entry), fence: entry.fence });
        }
    }

    /// Gives up what is past its retention.
    //= ORCH-3408
    pub(crate) fn swept(&self, swept: Swept) {
        for entry in swept.expired {
            if entry.facts.durability == Durability::Fsync {
                self.journal.push(Change::Trim { job: key(&entry), fence: entry.fence });
            }
        }
        for entry in swept.removed {
            self.forget(&entry);
        }
    }

    /// The log of a job, from the store when it is no longer in memory.
    pub(crate) async fn log_of(&self, entry: &JobEntry) -> Result<Arc<JobLog>, CannotRead> {
        if !entry.log.is_stored() {
            return Ok(Arc::clone(&entry.log));
        }
        let parts = parts(self.store.stream(key(entry)).await?);
        if parts.is_empty() {
            // It was given up after its retention.
            let log = JobLog::default();
            log.expire();
            return Ok(Arc::new(log));
        }
        let log = JobLog::whole_of(&parts)?;
        let expected = entry.past.as_ref().map_or(0, |past| past.events);
        if log.events() as u64 != expected {
            return Err(Hole(u32::try_from(log.events()).unwrap_or(u32::MAX)).into());
        }
        Ok(Arc::new(log))
    }

    /// Keeps what streams say, again and again.
    #[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
    pub(crate) async fn flush_regularly(self: Arc<Self>) {
        loop {
            sleep(FLUSH_INTERVAL).await;
            let running: Vec<_> = self.running.lock().values().cloned().collect();
            for entry in running {
                self.flush(&entry);
            }
        }
    }
}

/// What a store kept of a log.
pub(crate) fn parts(segments: Vec<Segment>) -> Vec<Part> {
    let part = |Segment { first_id, events, frames }| Part { first_id, events, frames };
    segments.into_iter().map(part).collect()
}
