//! A job: what is known of it, and the states that it may pass through.

use thiserror::Error;

use crate::{
    fit::Requirements,
    ids::{JobId, LeaseId},
    sessions::SessionUse,
    time::Timestamp,
};

/// Who waits for the answer. A pool serves its interactive jobs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person.
    Interactive,
    /// A program that has time.
    Batch,
}

impl Priority {
    /// Both, in the order in which they are served.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Batch];

    /// Its name on the wire and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Batch => 1,
        }
    }
}

/// What the core must know of a job to schedule it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id, which no other live job has.
    pub id: JobId,
    /// Its class.
    pub priority: Priority,
    /// Which replicas may run it.
    pub requirements: Requirements,
    /// When its answer stops being worth anything.
    pub deadline: Option<Timestamp>,
    /// How many replicas may be tried; at least 1.
    pub max_attempts: u32,
    /// How much work it is, in any unit that is the same for all jobs; 0 when nobody knows.
    pub size: u32,
    /// What tells requests apart that would do the same to an engine.
    pub fingerprint: Option<u64>,
    /// What becomes of it when its engine is lost after the first token.
    pub after_tokens: AfterTokens,
    /// Who comes back, when it is turned away and told to come back.
    pub claimant: Claimant,
    /// The session that it belongs to, and what it takes from that session's budget.
    pub session: Option<SessionUse>,
}

impl NewJob {
    /// A job about which nothing else is known: one attempt, no deadline, no session.
    pub fn of(id: JobId, priority: Priority, requirements: Requirements) -> Self {
        Self {
            id,
            priority,
            requirements,
            deadline: None,
            max_attempts: 1,
            size: 0,
            fingerprint: None,
            after_tokens: AfterTokens::End,
            claimant: Claimant::Job,
            session: None,
        }
    }
}

/// What becomes of a job whose engine is lost when readers may have seen tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterTokens {
    /// It ends.
    #[default]
    End,
    /// It is tried on another replica: its client has said how to make sense of that.
    TryAgain,
}

/// By what a client that was turned away is known when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimant {
    /// By the id of its job, which it chose itself.
    Job,
    /// By what it asks for: it takes a fresh id each time, and others may ask for the same.
    Like(u64),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEnd {
    /// The engine finished it.
    Completed,
    /// Its client took it back.
    Canceled,
    /// It did not work out.
    Failed(FailReason),
}

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// Its deadline passed.
    DeadlinePassed,
    /// A newcomer took its place in a full queue.
    Dropped,
    /// Its engine was lost and no other could take over.
    EngineLost,
    /// Its engine went silent, or took too long as a whole.
    TimedOut,
    /// Its engine said that the request is wrong.
    Refused,
    /// Its like broke the engines that it met.
    Poisoned,
    /// Its session's budget of time was used up while it ran.
    BudgetSpent,
    /// Its pool was drained, and nothing else could take over.
    Drained,
    /// The server is going down.
    ShuttingDown,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits in a queue.
    Queued,
    /// It holds a slot.
    Running(LeaseId),
    /// It is over, for ever.
    Ended(JobEnd),
}

/// What may happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStep {
    /// A slot was taken for it.
    Dispatch(LeaseId),
    /// Its attempt came to nothing; it waits again.
    Requeue,
    /// It ends.
    End(JobEnd),
}

/// A step that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("failed to step a job: {step:?} is not allowed in {state:?}")]
pub struct IllegalStep {
    /// Where the job stood.
    pub state: JobState,
    /// What was asked of it.
    pub step: JobStep,
}

impl JobState {
    /// The state after `step`. The only function that moves a job.
    pub fn step(self, step: JobStep) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Queued, JobStep::Dispatch(lease)) => Ok(Self::Running(lease)),
            (Self::Running(_), JobStep::Requeue) => Ok(Self::Queued),
            // A queued job cannot complete: nothing ran.
            (Self::Queued, JobStep::End(end)) if end != JobEnd::Completed => Ok(Self::Ended(end)),
            (Self::Running(_), JobStep::End(end)) => Ok(Self::Ended(end)),
            (state, step) => Err(IllegalStep { state, step }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_steps_is_this_one() {
        let lease = LeaseId(1);
        let states = [JobState::Queued, JobState::Running(lease), JobState::Ended(JobEnd::Canceled)];
        let steps = [
            JobStep::Dispatch(lease),
            JobStep::Requeue,
            JobStep::End(JobEnd::Completed),
            JobStep::End(JobEnd::Canceled),
            JobStep::End(JobEnd::Failed(FailReason::DeadlinePassed)),
        ];
        let table: Vec<String> = states
            .iter()
            .map(|state| steps.iter().map(|step| if state.step(*step).is_ok() { 'x' } else { '.' }).collect())
            .collect();
        // Columns: dispatch, requeue, complete, cancel, fail. An ended job takes no step at all.
        assert_eq!(table, ["x..xx", ".xxxx", "....."]);
    }
}
