//! A client's bytes, taken in as a handler takes them, for the fuzz targets.
//!
//! The readers of requests are private to this part. What they make is shown here as far as two of it can be compared.

use std::sync::Arc;

use adapter_api::{Route, WorkOrder};
use api_types::CreateTask;
use auth_min::Identity;
use config_schema::ExtraFields;
use orchestrator_core::Priority;

use super::{
    body,
    from_wire::{self, Asked},
    openai::{
        caller::Caller,
        request::{self, Answering, Rules},
    },
    trace::Incoming,
};
use crate::{
    error::ApiError,
    services::{Models, NewTask, SavedAdmission, SavedTask, Version, read_saved, write_saved},
};

/// A request that was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What is to be done.
    pub order: Arc<WorkOrder>,
    /// All else that was read, in words.
    pub facts: String,
    /// The request as it is kept, for one that outlives the process.
    pub kept: Option<String>,
}

impl Taken {
    fn of(task: &NewTask) -> Option<Self> {
        let NewTask { entry, job, deadline, attempts, on_the_way, .. } = task;
        let kept = on_the_way.as_ref().map(|it| it.task.text().to_owned());
        Some(Self {
            order: entry.order()?,
            facts: format!("{:?} {job:?} {deadline:?} {attempts:?}", entry.facts),
            kept,
        })
    }
}

/// A request that was refused: what the client is told, and the field that it names.
#[derive(Debug)]
pub struct Refused {
    /// What it is told.
    pub message: String,
    /// The field.
    pub field: Option<String>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let field = error.field().map(|(field, _)| field.to_owned());
        Self { message: error.into_body().message, field }
    }
}

/// The body of `POST /v2/tasks`; and the same request as it comes back from the store, if it is kept.
pub(crate) fn task(body: &[u8], models: &Models) -> Result<(Option<Taken>, Option<Taken>), Refused> {
    let wire: CreateTask = body::decode(body)?;
    let asked = Asked {
        correlation_id: "c".into(),
        identity: Identity::Localhost,
        trace: Incoming::default(),
        idempotency_key: None,
    };
    let task = from_wire::new_task(&wire, asked, models)?;
    let Some(on_the_way) = &task.on_the_way else { return Ok((Taken::of(&task), None)) };
    let saved = SavedTask {
        version: Version::default(),
        task: on_the_way.task.clone(),
        id: task.entry.facts.id.to_string(),
        identity: Identity::Localhost.to_string(),
        correlation_id: "c".to_owned(),
        traceparent: None,
        tracestate: None,
        trace: None,
        accepted_ms: 0,
        admission: SavedAdmission::default(),
    };
    let unreadable = |error| ApiError::invalid("record", format!("{error}"));
    let saved: SavedTask = read_saved(&write_saved(&saved)).map_err(unreadable)?;
    Ok((Taken::of(&task), Taken::of(&from_wire::task_again(&saved, models)?)))
}

/// The body of a call under `/v1/`; and whether its answer is streamed.
pub(crate) fn call(
    route: Route,
    body: &[u8],
    extras: ExtraFields,
    models: &Models,
) -> Result<(Option<Taken>, bool), Refused> {
    let caller = Caller {
        correlation_id: "c".into(),
        identity: Identity::Localhost,
        trace: Incoming::default(),
        priority: Priority::Interactive,
        session_id: None,
    };
    let (task, answering) = request::read(route, body, caller, Rules { extras, models })?;
    Ok((Taken::of(&task), answering == Answering::Stream))
}
