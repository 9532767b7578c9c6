//! A job as the server keeps it: what was asked, what became of it, and its event log.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use adapter_api::{AdapterError, Finish, WorkOrder};
use api_types::Recovery;
use auth_min::Identity;
use orchestrator_core::{
    Admission, Assignment, JobEnd, JobId, Priority, Remaining, Requirements, SessionId, Timestamp, Workload,
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::relay::{Framing, JobLog};

/// What does not change after the job was asked for.
#[derive(Debug, Clone)]
pub(crate) struct JobFacts {
    pub(crate) id: JobId,
    pub(crate) session_id: Uuid,
    pub(crate) model_ref: Arc<str>,
    /// Which engines may run it.
    pub(crate) requirements: Requirements,
    pub(crate) priority: Priority,
    /// About how long the prompt is.
    pub(crate) prompt_tokens: u32,
    /// Digest of the request, to tell a repeated one from another one with the same id.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) surface: Surface,
    pub(crate) correlation_id: Arc<str>,
    /// Who asked: `localhost`, or the fingerprint of a token.
    pub(crate) identity: Identity,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_engine_loss: OnEngineLoss,
}

impl JobFacts {
    /// The kind of work.
    pub(crate) fn workload(&self) -> Workload {
        self.requirements.workload
    }

    /// The session, as the scheduler calls it.
    pub(crate) fn session(&self) -> SessionId {
        SessionId::from_u128(self.session_id.as_u128())
    }
}

/// In whose dialect a job was asked for, and is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Surface {
    /// Our own.
    #[default]
    Native,
    /// `OpenAI`'s: the one who asks is the one who reads.
    OpenAi,
}

/// What becomes of a job whose last reader leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnDisconnect {
    /// It goes on: it was accepted, and its result can be read later.
    #[default]
    Continue,
    /// It is canceled, unless a reader comes back soon.
    Cancel,
    /// It is canceled at once: there is no way to come back to it.
    CancelAtOnce,
}

/// What becomes of a job whose engine is lost when readers have tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnEngineLoss {
    /// It fails.
    #[default]
    Fail,
    /// It starts anew, and its readers are told to forget what they have.
    Restart,
    /// Another engine says the same again and goes on; if it says something else, it just goes on.
    Replay,
    /// Another engine goes on behind what was said.
    Continue,
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
    /// How it got over the loss of an engine after its first token.
    pub(crate) recovery: Option<Recovery>,
    /// What an engine answered that does not speak in tokens, as JSON.
    pub(crate) result: Option<String>,
    /// What the session's budget had left at the end.
    pub(crate) remaining: Option<Remaining>,
    pub(crate) ended: Option<(Timestamp, JobEnd)>,
    pub(crate) session: OwnSession,
}

/// The session of a job that named none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OwnSession {
    #[default]
    Kept,
    GivenUp,
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
        let framing = match facts.surface {
            Surface::Native => Framing::Events,
            Surface::OpenAi => Framing::Data,
        };
        Self {
            facts,
            log: Arc::new(JobLog::new(framing)),
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

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.status.lock().ended.is_some()
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

    pub(crate) fn recovers(&self, recovery: Recovery) {
        self.status.lock().recovery = Some(recovery);
    }

    pub(crate) fn first_token(&self, at: Timestamp) {
        if let Some(attempt) = &mut self.status.lock().attempt {
            attempt.first_token_at.get_or_insert(at);
        }
    }

    /// What the engine said at the end of its answer.
    pub(crate) fn finished(&self, finish: Finish) {
        self.status.lock().finish = Some(finish);
    }

    /// How the newest attempt failed.
    pub(crate) fn broke(&self, error: AdapterError) {
        self.status.lock().error = Some(error);
    }

    /// The engine's answer, where it is one document.
    pub(crate) fn answered(&self, result: String) {
        self.status.lock().result = Some(result);
    }

    /// Its client gave up the session that it made.
    pub(crate) fn session_ended(&self) {
        self.status.lock().session = OwnSession::GivenUp;
    }

    /// Marks the end, gives up the prompt, and hands over what is only wanted for the last events.
    pub(crate) fn ended(&self, at: Timestamp, end: JobEnd, remaining: Option<Remaining>) -> JobStatus {
        self.order.lock().take();
        let mut status = self.status.lock();
        status.ended = Some((at, end));
        status.remaining = remaining;
        let result = status.result.take();
        JobStatus { result, ..status.clone() }
    }
}
