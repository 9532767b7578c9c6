//! The data plane: tasks, their streams and their sessions.

mod session;
mod task_cancel;
mod task_create;
mod task_events;
mod task_explain;
mod task_list;
mod task_view;

pub(crate) use session::{session_end, session_view};
pub(crate) use task_cancel::task_cancel;
pub(crate) use task_create::task_create;
pub(crate) use task_events::task_events;
pub(crate) use task_explain::task_explain;
pub(crate) use task_list::task_list;
pub(crate) use task_view::task_view;

use std::sync::Arc;

use api_types::ErrorCode;

use crate::{
    error::ApiError,
    services::{JobEntry, Jobs},
};

/// The job that a path names. What is no id names nothing.
fn find(jobs: &Jobs, id: &str) -> Result<Arc<JobEntry>, ApiError> {
    id.parse()
        .ok()
        .and_then(|id| jobs.find(id))
        .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "no task has this id"))
}
