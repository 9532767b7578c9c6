//! A job as the server keeps it: what was asked, what became of it, and its event log.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use adapter_api::{AdapterError, Finish, WorkOrder};
use api_types::{ErrorBody, RawJson, Recovery, TaskView};
use auth_min::Identity;
use orchestrator_core::{
    Admission, Assignment, JobEnd, JobId, Priority, Remaining, Requirements, SessionId, Timestamp, Workload,
};
use parking_lot::Mutex;
use store_api::Fence;
use tokio::sync::watch;
use trace_export::{TraceContext, TraceId};
use uuid::Uuid;

use super::{saved::Said, traces::TaskTrace};
use crate::{
    metrics::{AttemptSeries, CanceledBy},
    relay::{Framing, JobLog, Shown},
};

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
    pub(crate) durability: Durability,
    /// The place in a trace from which its client has asked.
    pub(crate) trace: Option<Arc<TraceContext>>,
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

/// What a job survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Durability {
    /// Whatever happens to the process.
    #[default]
    Fsync,
    /// Nothing: it is as fast as it can be.
    Memory,
}

/// What of a job is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing, and nothing is going to be.
    Nothing,
    /// It is on the way.
    Pending,
    /// That it came in.
    Accepted,
    /// The store did not take it.
    Refused,
    /// How it ended.
    Over,
}

/// What only the store has to know of a request.
#[derive(Debug)]
pub(crate) struct OnTheWay {
    /// The request as it was read, without its id.
    pub(crate) task: RawJson,
}

/// What earlier processes left of a job that is alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier {
    pub(crate) fence: Fence,
    /// How many of them there were that may have shown it to readers.
    pub(crate) life: u32,
    pub(crate) said: Said,
}

/// What is known of a job that ended before the server started.
#[derive(Debug)]
pub(crate) struct Past {
    /// What its client sees.
    pub(crate) view: TaskView,
    /// How many events its stream has.
    pub(crate) events: u64,
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
    /// `None` where nothing is kept.
    kept: Option<watch::Sender<Kept>>,
    spoken: AtomicBool,
    /// Who took it back.
    taken_back: OnceLock<CanceledBy>,
    /// What is traced of it, when there is a collector.
    trace: OnceLock<Box<TaskTrace>>,
    /// The last event that the store kept of a text that a crash cut, until readers are told.
    discard_after: Mutex<Option<u32>>,
    /// Under which it is written.
    pub(crate) fence: Fence,
    /// How many processes had it before.
    pub(crate) life: u32,
    /// What is left of it, when it ended before the server started.
    pub(crate) past: Option<Box<Past>>,
}

/// What became of a job so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobStatus {
    pub(crate) admission: Option<Admission>,
    pub(crate) accepted_at: Timestamp,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) finish: Option<Finish>,
    pub(crate) error: Option<AdapterError>,
    /// Why it may not run, though an engine would have had it.
    pub(crate) forbidden: Option<Box<ErrorBody>>,
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
    /// Where it is counted; `None` for one of an earlier process.
    pub(crate) series: Option<Arc<AttemptSeries>>,
}

impl JobEntry {
    pub(crate) fn new(facts: JobFacts, order: WorkOrder) -> Self {
        let framing = match facts.surface {
            Surface::Native => Framing::Events,
            Surface::OpenAi => Framing::Data,
        };
        let (shown, kept) = match facts.durability {
            Durability::Fsync => (Shown::WhenKept, Kept::Pending),
            Durability::Memory => (Shown::AtOnce, Kept::Nothing),
        };
        Self::with_log(facts, Some(order), JobLog::new(framing, shown), kept)
    }

    /// A job that is alive and was accepted by an earlier process.
    pub(crate) fn recovered(self, log: JobLog, earlier: &Earlier) -> Self {
        let Earlier { fence, life, said } = *earlier;
        let spoken = said == Said::Tokens;
        self.now(Kept::Accepted);
        let discard_after = Mutex::new(log.last_id().filter(|_| spoken));
        let (log, spoken) = (Arc::new(log), AtomicBool::new(spoken));
        Self { log, spoken, discard_after, fence, life, ..self }
    }

    /// A job that ended before the server started.
    pub(crate) fn of_the_past(facts: JobFacts, past: Past, bytes: usize, fence: Fence) -> Self {
        let entry = Self::with_log(facts, None, JobLog::stored(bytes), Kept::Over);
        Self { past: Some(Box::new(past)), fence, ..entry }
    }

    fn with_log(facts: JobFacts, order: Option<WorkOrder>, log: JobLog, kept: Kept) -> Self {
        Self {
            facts,
            log: Arc::new(log),
            order: Mutex::new(order.map(Arc::new)),
            status: Mutex::default(),
            rank: AtomicU64::new(0),
            readers: AtomicU32::new(0),
            kept: (kept != Kept::Nothing).then(|| watch::Sender::new(kept)),
            spoken: AtomicBool::new(false),
            taken_back: OnceLock::new(),
            trace: OnceLock::new(),
            discard_after: Mutex::new(None),
            fence: Fence::FIRST,
            life: 0,
            past: None,
        }
    }

    /// So much of it is kept now.
    pub(crate) fn now(&self, kept: Kept) {
        if let Some(told) = &self.kept {
            told.send_replace(kept);
        }
    }

    /// How much of it is kept.
    pub(crate) fn kept(&self) -> Kept {
        self.kept.as_ref().map_or(Kept::Nothing, |kept| *kept.borrow())
    }

    /// Waits until so much of it is kept, if anything ever is.
    pub(crate) async fn until(&self, enough: impl Fn(Kept) -> bool) -> Kept {
        let Some(kept) = &self.kept else { return Kept::Nothing };
        let mut kept = kept.subscribe();
        // The sender is ours, so it is there as long as this is.
        kept.wait_for(|kept| enough(*kept)).await.map_or(Kept::Refused, |kept| *kept)
    }

    /// Readers may have tokens from now on.
    pub(crate) fn speaks(&self) {
        self.spoken.store(true, Ordering::Release);
    }

    pub(crate) fn has_spoken(&self) -> bool {
        self.spoken.load(Ordering::Acquire)
    }

    /// Somebody takes it back; the first one counts.
    pub(crate) fn take_back(&self, by: CanceledBy) {
        self.taken_back.get_or_init(|| by);
    }

    pub(crate) fn taken_back_by(&self) -> CanceledBy {
        self.taken_back.get().copied().unwrap_or(CanceledBy::Client)
    }

    /// It is traced from now on.
    pub(super) fn traced(&self, trace: TaskTrace) {
        self.trace.get_or_init(|| Box::new(trace));
    }

    /// What is traced of it.
    pub(crate) fn trace(&self) -> Option<&TaskTrace> {
        self.trace.get().map(|trace| &**trace)
    }

    /// The trace that it belongs to, whoever records that.
    //= ORCH-3339
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        let of_client = || self.facts.trace.as_ref().map(|trace| trace.trace_id());
        self.trace().map(TaskTrace::trace_id).or_else(of_client)
    }

    /// What became of it, as far as a client may know: an end that is not kept has not happened.
    pub(crate) fn shown_status(&self) -> JobStatus {
        let over = matches!(self.kept(), Kept::Over | Kept::Nothing);
        let status = self.status();
        if over { status } else { JobStatus { ended: None, ..status } }
    }

    /// What readers may have beyond this event is not part of the text. Told once.
    pub(crate) fn discard_after(&self) -> Option<u32> {
        self.discard_after.lock().take()
    }

    /// What is known of a job from its store.
    pub(crate) fn restore(&self, status: JobStatus) {
        *self.status.lock() = status;
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

    /// Looks at what became of it, without a copy.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&JobStatus) -> T) -> T {
        look(&self.status.lock())
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
            let is_first = attempt.first_token_at.is_none();
            attempt.first_token_at.get_or_insert(at);
            if let Some(series) = attempt.series.as_ref().filter(|_| is_first) {
                series.first_token(at.since(attempt.dispatched_at));
            }
        }
    }

    /// What the engine said at the end of its answer.
    pub(crate) fn finished(&self, finish: Finish) {
        self.status.lock().finish = Some(finish);
    }

    /// It may not run.
    pub(crate) fn may_not_run(&self, why: Box<ErrorBody>) {
        self.status.lock().forbidden = Some(why);
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
