//! What the server does, apart from how it is asked: admission, scheduling, dispatch, jobs, pools.

mod admission;
mod dispatch;
mod events;
mod handle;
mod inbox;
mod job;
mod jobs;
mod likeness;
mod narrate;
mod pools;
mod readers;
mod recovery;
mod scheduler;
mod sessions;

pub(crate) use admission::{Admission, AdmissionError, Admitted, IdFrom, NewTask};
pub(crate) use dispatch::Dispatcher;
pub(crate) use events::{failure, millis, no_answer, on_time_probability, units};
pub(crate) use handle::SchedulerHandle;
pub(crate) use inbox::Refused;
pub(crate) use job::{JobEntry, JobFacts, JobStatus, OnDisconnect, OnEngineLoss, Surface};
pub(crate) use jobs::{Jobs, RetentionLimits};
pub(crate) use pools::{Pools, ReplicaConfig, workload};
pub(crate) use readers::{ReaderGuard, Readers};
pub(crate) use scheduler::{SchedulerParts, run};
