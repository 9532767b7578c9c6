//! From a checked request to an answer: accepted, repeated, or refused.

use std::{hash::RandomState, sync::Arc, time::Duration};

use orchestrator_core::{Admission as Granted, Budget, Claimant, JobId, NewJob, Rejection, Timestamp};
use tokio::sync::oneshot;

use super::{
    command::{Answer, Submission},
    handle::SchedulerHandle,
    job::{JobEntry, OnTheWay},
    jobs::Jobs,
    keeper::Keeper,
    likeness::likeness,
    models::{Models, Unfit},
    narrate,
    pools::Pools,
    traces::{Admitting, Traces},
};
use crate::{clock::Clock, metrics::Metrics};

/// A request that was checked.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) entry: Arc<JobEntry>,
    /// What the scheduler gets to know, except for what only the server knows: the time, its own rules,
    /// and what requests are alike.
    pub(crate) job: NewJob,
    pub(crate) id: IdFrom,
    /// When its request was here, where that was noted.
    pub(crate) received: Option<Timestamp>,
    pub(crate) deadline: Option<Duration>,
    /// How many engines may be tried, where the client says.
    pub(crate) attempts: Option<u32>,
    /// What the store has to know of it, for a job that survives the process.
    pub(crate) on_the_way: Option<OnTheWay>,
}

/// Who chose the id of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdFrom {
    /// The client: it comes back under the same one.
    Client,
    /// The server: the client comes back under another.
    Server,
}

/// A job that is accounted for.
pub(crate) enum Admitted {
    /// It came in now.
    Fresh(JobId, Granted),
    /// The same request came before.
    Repeated(JobId, Granted),
}

/// Why a request is not accepted.
#[derive(Debug, Clone)]
pub(crate) enum AdmissionError {
    /// The scheduler said no.
    Rejected(Rejection),
    /// Another request has this id.
    Conflict,
    /// The scheduler has too much to do.
    Overloaded,
    /// It cannot be kept.
    Storage,
    /// Its model may not be used.
    Model(Unfit),
}

/// The desk's way to the queue.
pub(crate) struct Admission {
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_attempts: u32,
    /// What each session may use that names no limits.
    pub(crate) budget: Budget,
    /// Keyed anew in each process, so that nobody can make a request look like another one.
    pub(crate) likeness: RandomState,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) models: Arc<Models>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) traces: Option<Traces>,
}

impl Admission {
    /// Asks for a job. When this returns `Ok`, the job is accounted for.
    pub(crate) async fn admit(&self, task: NewTask) -> Result<Admitted, AdmissionError> {
        let entry = Arc::clone(&task.entry);
        if let Some(traces) = &self.traces {
            traces.begin(&entry, task.received.unwrap_or_else(|| self.clock.now()));
        }
        let admitting = Admitting::of(&entry);
        let result = self.ask(task).await;
        admitting.ended(&result);
        match &result {
            Err(AdmissionError::Rejected(rejection)) => {
                let pool = rejection.pool.as_ref();
                let served = pool.map(|pool| self.pools.served(pool)).unwrap_or_default();
                self.metrics.rejected(rejection, &entry.facts.requirements, &served);
                narrate::refused(rejection);
            }
            Err(AdmissionError::Overloaded) => self.metrics.overloaded(),
            Err(AdmissionError::Storage) => self.metrics.not_kept(),
            Err(AdmissionError::Conflict | AdmissionError::Model(_)) | Ok(_) => {}
        }
        result
    }

    /// The job with all that only the server knows, as of the moment at which it was asked for.
    pub(super) fn prepare(&self, task: &NewTask, asked_at: Timestamp) -> NewJob {
        let NewTask { entry, deadline, .. } = task;
        let mut job = task.job.clone();
        let likeness = entry.order().map_or(0, |order| likeness(&self.likeness, &order));
        job.fingerprint = Some(likeness);
        //= ORCH-3420
        job.requirements.vram_need = self.models.vram_need(&entry.facts.model_ref, job.requirements.ctx);
        job.deadline = deadline.map(|after| asked_at + after);
        job.max_attempts = task.attempts.unwrap_or(self.max_attempts);
        // A session that nobody else can know needs no book, unless there is a limit to keep.
        let own = entry.facts.session_id.as_u128() == entry.facts.id.as_u128();
        job.session =
            job.session.filter(|it| !own || it.budget.is_some() || self.budget != Budget::default());
        job.claimant = match task.id {
            IdFrom::Client => Claimant::Job,
            IdFrom::Server => Claimant::Like(likeness),
        };
        job
    }

    async fn ask(&self, task: NewTask) -> Result<Admitted, AdmissionError> {
        // What was accepted before is not refused when it is asked for again.
        if self.jobs.find(task.entry.facts.id).is_none() {
            self.models.check(&task.entry.facts.model_ref).map_err(AdmissionError::Model)?;
        }
        let job = self.prepare(&task, self.clock.now());
        let NewTask { entry, on_the_way, .. } = task;
        if on_the_way.is_some() && !self.keeper.keeps_up() {
            return Err(AdmissionError::Storage);
        }
        let (answer, answered) = oneshot::channel();
        let submission = Submission { job, entry: Arc::clone(&entry), answer, on_the_way };
        self.scheduler.submit(Box::new(submission)).map_err(|_full| AdmissionError::Overloaded)?;
        match answered.await.map_err(|_gone| AdmissionError::Overloaded)? {
            Answer::Accepted(granted) => {
                if self.keeper.is_kept(&entry).await {
                    return Ok(Admitted::Fresh(entry.facts.id, granted));
                }
                self.scheduler.abandon(entry);
                Err(AdmissionError::Storage)
            }
            Answer::Rejected(rejection) => Err(AdmissionError::Rejected(rejection)),
            Answer::Known(known) if known.facts.fingerprint == entry.facts.fingerprint => {
                if !self.keeper.is_kept(&known).await {
                    return Err(AdmissionError::Storage);
                }
                let granted = known.status().admission.ok_or(AdmissionError::Conflict)?;
                Ok(Admitted::Repeated(known.facts.id, granted))
            }
            Answer::Known(_) => Err(AdmissionError::Conflict),
        }
    }
}
