//! What the server does, apart from how it is asked: admission, scheduling, dispatch, jobs, pools.

mod admission;
mod artifacts;
mod command;
mod dispatch;
mod events;
mod fleet;
mod handle;
mod job;
mod jobs;
mod journal;
mod keeper;
mod lifecycle;
mod likeness;
mod models;
mod narrate;
mod nodes;
mod pools;
mod readers;
mod recovery;
mod restore;
mod saved;
mod scheduler;
mod sessions;
mod traces;
mod turns;
mod view;

pub(crate) use admission::{Admission, AdmissionError, Admitted, IdFrom, NewTask};
pub(crate) use artifacts::{Artifacts, Brought, CannotStore, Prompts, Transcripts};
pub(crate) use command::Refused;
pub(crate) use dispatch::Dispatcher;
pub(crate) use events::{millis, no_answer, on_time_probability, units};
pub(crate) use fleet::Fleet;
pub(crate) use handle::SchedulerHandle;
pub(crate) use job::{
    Durability, JobEntry, JobFacts, JobStatus, OnDisconnect, OnEngineLoss, OnTheWay, Surface,
};
pub(crate) use jobs::{Jobs, RetentionLimits};
pub(crate) use keeper::{CannotRead, Keeper, Outlives};
pub(crate) use lifecycle::{Lifecycle, LifecycleError, LifecycleParts, Unfinished};
pub(crate) use models::{Fetched, Fetching, ModelError, Models, Places, Shown, Step, Unfit};
pub(crate) use nodes::{NodeError, Nodes, NodesParts, Speaker, registration};
pub(crate) use pools::{Connector, Described, Pools, PoolsParts, ReplicaConfig, workload};
pub(crate) use readers::{ReaderGuard, Readers};
pub(crate) use restore::{Reader, Restored};
pub(crate) use saved::SavedTask;
#[cfg(feature = "fuzzing")]
pub(crate) use saved::{SavedAdmission, Version, read as read_saved, write as write_saved};
pub(crate) use scheduler::{SchedulerParts, run};
pub(crate) use traces::{Traces, on_behalf, passed_on};
pub(crate) use view::{state, task_summary};
