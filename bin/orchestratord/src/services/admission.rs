//! From a checked request to an answer: accepted, repeated, or refused.

use std::{
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use adapter_api::{Input, WorkOrder};
use orchestrator_core::{Admission as Granted, JobId, NewJob, Rejection, Requirements};
use tokio::sync::oneshot;

use super::{
    handle::SchedulerHandle,
    inbox::{Answer, Submission},
    job::{JobEntry, JobFacts},
    narrate,
};
use crate::{clock::Clock, metrics::Metrics};

/// A request that was checked.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) facts: JobFacts,
    pub(crate) order: WorkOrder,
    pub(crate) requirements: Requirements,
    pub(crate) deadline: Option<Duration>,
}

/// A job that is accounted for.
pub(crate) enum Admitted {
    /// It came in now.
    Fresh(JobId, Granted),
    /// The same request came before.
    Repeated(JobId, Granted),
}

/// Why a request is not accepted.
#[derive(Debug)]
pub(crate) enum AdmissionError {
    /// The scheduler said no.
    Rejected(Rejection),
    /// Another request has this id.
    Conflict,
    /// The scheduler has too much to do.
    Overloaded,
}

/// The desk's way to the queue.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_attempts: u32,
    /// Keyed anew in each process, so that nobody can make a request look like another one.
    pub(crate) likeness: RandomState,
}

impl Admission {
    /// Asks for a job. When this returns `Ok`, the job is accounted for.
    pub(crate) async fn admit(&self, task: NewTask) -> Result<Admitted, AdmissionError> {
        let result = self.ask(task).await;
        match &result {
            Err(AdmissionError::Rejected(rejection)) => {
                self.metrics.rejected(rejection);
                narrate::refused(rejection);
            }
            Err(AdmissionError::Overloaded) => self.metrics.overloaded(),
            Err(AdmissionError::Conflict) | Ok(_) => {}
        }
        result
    }

    async fn ask(&self, task: NewTask) -> Result<Admitted, AdmissionError> {
        let NewTask { facts, order, requirements, deadline } = task;
        let fingerprint = Some(likeness(&self.likeness, &order));
        let job = NewJob {
            id: facts.id,
            priority: facts.priority,
            requirements,
            deadline: deadline.map(|after| self.clock.now() + after),
            max_attempts: self.max_attempts,
            size: order.max_tokens,
            fingerprint,
        };
        let entry = Arc::new(JobEntry::new(facts, order));
        let (answer, answered) = oneshot::channel();
        let submission = Submission { job, entry: Arc::clone(&entry), answer };
        self.scheduler.submit(Box::new(submission)).map_err(|_full| AdmissionError::Overloaded)?;
        match answered.await.map_err(|_gone| AdmissionError::Overloaded)? {
            Answer::Accepted(granted) => Ok(Admitted::Fresh(entry.facts.id, granted)),
            Answer::Rejected(rejection) => Err(AdmissionError::Rejected(rejection)),
            Answer::Known(known) if known.facts.fingerprint == entry.facts.fingerprint => {
                let granted = known.status().admission.ok_or(AdmissionError::Conflict)?;
                Ok(Admitted::Repeated(known.facts.id, granted))
            }
            Answer::Known(_) => Err(AdmissionError::Conflict),
        }
    }
}

/// What makes two requests alike for an engine: model, input and parameters, but neither seed nor session.
fn likeness(key: &RandomState, order: &WorkOrder) -> u64 {
    let mut hasher = key.build_hasher();
    order.model.hash(&mut hasher);
    match &order.input {
        Input::Text(prompt) => prompt.expose().hash(&mut hasher),
        Input::Chat(messages) => {
            for message in messages {
                (message.role.as_str(), message.content.expose()).hash(&mut hasher);
            }
        }
    }
    let sampling = &order.sampling;
    order.max_tokens.hash(&mut hasher);
    sampling.temperature.map(f64::to_bits).hash(&mut hasher);
    sampling.top_p.map(f64::to_bits).hash(&mut hasher);
    (sampling.top_k, &sampling.stop).hash(&mut hasher);
    hasher.finish()
}
