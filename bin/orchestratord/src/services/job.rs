//! A job as the server keeps it: what was asked, what became of it, and its event log.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use adapter_api::{AdapterError, Finish, WorkOrder};
use auth_min::Identity;
use orchestrator_core::{Admission, Assignment, JobEnd, JobId, Priority, Timestamp};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::relay::JobLog;

/// What does not change after the job was asked for.
#[derive(Debug, Clone)]
pub(crate) struct JobFacts {
    pub(crate) id: JobId,
    pub(crate) session_id: Uuid,
    pub(crate) model_ref: Arc<str>,
    pub(crate) priority: Priority,
    /// Digest of the request, to tell a repeated one from another one with the same id.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) correlation_id: Arc<str>,
    /// Who asked: `localhost`, or the fingerprint of a token.
    pub(crate) identity: Identity,
    pub(crate) on_disconnect: OnDisconnect,
}

/// What becomes of a job whose last reader leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnDisconnect {
    /// It goes on: it was accepted, and its result can be read later.
    #[default]
    Continue,
    /// It is canceled, unless a reader comes back soon.
    Cancel,
}

/// A job.
#[derive(Debug)]
pub(crate) struct JobEntry {
    pub(crate) facts: JobFacts,
    pub(crate) log: Arc<JobLog>,
    /// What its engine receives. Given up when the job ends, with the prompt in it.
    order: Mutex<Option<Arc<WorkOrder>>>,
    status: Mutex<JobStatus>,
    /// Its place in the order of acceptance, once it has one.
    rank: AtomicU64,
    readers: AtomicU32,
}

/// What became of a job so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobStatus {
    pub(crate) admission: Option<Admission>,
    pub(crate) accepted_at: Timestamp,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) finish: Option<Finish>,
    pub(crate) error: Option<AdapterError>,
    pub(crate) ended: Option<(Timestamp, JobEnd)>,
}

/// The newest attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) assignment: Assignment,
    pub(crate) engine: &'static str,
    pub(crate) engine_version: Option<String>,
    pub(crate) dispatched_at: Timestamp,
    pub(crate) first_token_at: Option<Timestamp>,
}

impl JobEntry {
    pub(crate) fn new(facts: JobFacts, order: WorkOrder) -> Self {
        Self {
            facts,
            log: Arc::default(),
            order: Mutex::new(Some(Arc::new(order))),
            status: Mutex::default(),
            rank: AtomicU64::new(0),
            readers: AtomicU32::new(0),
        }
    }

    pub(crate) fn set_rank(&self, rank: u64) {
        self.rank.store(rank, Ordering::Relaxed);
    }

    pub(crate) fn rank(&self) -> u64 {
        self.rank.load(Ordering::Relaxed)
    }

    pub(crate) fn reader_came(&self) {
        self.readers.fetch_add(1, Ordering::AcqRel);
    }

    /// One reader left; how many are still there.
    pub(crate) fn reader_left(&self) -> u32 {
        self.readers.fetch_sub(1, Ordering::AcqRel).saturating_sub(1)
    }

    pub(crate) fn readers(&self) -> u32 {
        self.readers.load(Ordering::Acquire)
    }

    /// The work order, as long as the job may still run.
    pub(crate) fn order(&self) -> Option<Arc<WorkOrder>> {
        self.order.lock().clone()
    }

    /// What became of it so far.
    pub(crate) fn status(&self) -> JobStatus {
        self.status.lock().clone()
    }

    pub(crate) fn accepted(&self, at: Timestamp, admission: Admission) {
        let mut status = self.status.lock();
        status.accepted_at = at;
        status.admission = Some(admission);
    }

    pub(crate) fn dispatched(&self, attempt: Attempt) {
        self.status.lock().attempt = Some(attempt);
    }

    pub(crate) fn first_token(&self, at: Timestamp) {
        if let Some(attempt) = &mut self.status.lock().attempt {
            attempt.first_token_at.get_or_insert(at);
        }
    }

    /// What the engine said at the end of the newest attempt.
    pub(crate) fn attempt_ended(&self, result: Result<Finish, AdapterError>) {
        let mut status = self.status.lock();
        match result {
            Ok(finish) => status.finish = Some(finish),
            Err(error) => status.error = Some(error),
        }
    }

    /// Marks the end and gives up the prompt.
    pub(crate) fn ended(&self, at: Timestamp, end: JobEnd) -> JobStatus {
        self.order.lock().take();
        let mut status = self.status.lock();
        status.ended = Some((at, end));
        status.clone()
    }
}
