//! From a call to a task: what must be known is checked, the rest goes on as it stands.

use std::sync::Arc;

use adapter_api::{Prompt, Relay, Route, UsageEvent, Work, WorkOrder};
use config_schema::ExtraFields;
use orchestrator_core::{JobId, NewJob, Requirements, SessionUse};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::from_wire::{Need, checks},
    asked::{ANSWERS_MAX, AskedFor},
    caller::Caller,
    members::Members,
    names,
};
use crate::{
    error::ApiError,
    services::{
        Durability, IdFrom, JobEntry, JobFacts, Models, NewTask, OnDisconnect, OnEngineLoss, Surface,
        passed_on, workload,
    },
};

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Answering {
    /// Event by event.
    Stream,
    /// All at once.
    Whole,
}

/// What a call is read by.
#[derive(Clone, Copy)]
pub(in crate::api) struct Rules<'a> {
    /// What becomes of fields that are unknown here.
    pub(in crate::api) extras: ExtraFields,
    /// How engines call the models that clients name.
    pub(in crate::api) models: &'a Models,
}

/// Checks a call and makes a task of it.
//= ORCH-3201
pub(in crate::api) fn read(
    route: Route,
    body: &[u8],
    caller: Caller,
    rules: Rules<'_>,
) -> Result<(NewTask, Answering), ApiError> {
    let members = Members::read(body)?;
    if rules.extras == ExtraFields::Refuse {
        names::check_known(&members)?;
    }
    let model: String = members.required("model", "a text")?;
    check_numbers(&members)?;
    let (answering, usage) = answering(&members, route)?;
    let asked = AskedFor::read(&members, route)?;
    let id = Uuid::now_v7();
    let relay = Relay {
        route,
        members: Prompt::new(members.without(&names::RESERVED)),
        usage,
        answers: asked.answers,
        max_tokens: asked.max_tokens,
    };
    let order = WorkOrder {
        request_id: id.to_string().into(),
        model: checks::model("model", &model, rules.models)?,
        work: Work::Relay(relay),
        trace: caller.trace.from.as_deref().map(passed_on),
    };
    Ok((task(id, &model, order, asked.need, caller), answering))
}

fn task(id: Uuid, model: &str, order: WorkOrder, need: Need, caller: Caller) -> NewTask {
    let mut requirements = Requirements::of(Arc::clone(&order.model), need.ctx);
    requirements.workload = workload(order.work.workload());
    let facts = JobFacts {
        id: JobId::from_u128(id.as_u128()),
        session_id: caller.session_id.unwrap_or(id),
        model_ref: model.into(),
        requirements,
        priority: caller.priority,
        prompt_tokens: need.prompt,
        fingerprint: [0; 32],
        surface: Surface::OpenAi,
        correlation_id: caller.correlation_id,
        identity: caller.identity,
        on_disconnect: OnDisconnect::CancelAtOnce,
        on_engine_loss: OnEngineLoss::Fail,
        durability: Durability::Memory,
        trace: caller.trace.from,
    };
    let mut job = NewJob::of(facts.id, facts.priority, facts.requirements.clone());
    job.size = need.answer;
    job.session = Some(SessionUse { id: facts.session(), budget: None, tokens: need.at_most });
    let entry = Arc::new(JobEntry::new(facts, order));
    let received = caller.trace.received;
    NewTask { entry, job, id: IdFrom::Server, received, deadline: None, attempts: None, on_the_way: None }
}

fn check_numbers(members: &Members<'_>) -> Result<(), ApiError> {
    members.number("temperature", 0.0, 2.0)?;
    members.number("top_p", 0.0, 1.0)?;
    members.number("presence_penalty", -2.0, 2.0)?;
    members.number("frequency_penalty", -2.0, 2.0)?;
    members.integer("top_logprobs", 0..=20)?;
    members.integer("best_of", 1..=ANSWERS_MAX)?;
    members.integer("dimensions", 1..=1 << 20)?;
    members.integer("seed", i64::MIN..=i64::MAX)?;
    Ok(())
}

/// Whether the answer is streamed, and whether its count of tokens is wanted as an event.
fn answering(members: &Members<'_>, route: Route) -> Result<(Answering, UsageEvent), ApiError> {
    #[derive(Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    let options: Option<Options> = members.get("stream_options", "an object")?;
    let streamed = members.get("stream", "true or false")?.unwrap_or(false);
    match (streamed, options) {
        (true, _) if route == Route::Embeddings => {
            Err(ApiError::invalid("stream", "is not for this endpoint"))
        }
        (false, Some(_)) => Err(ApiError::invalid("stream_options", "is only for streamed answers")),
        (false, None) => Ok((Answering::Whole, UsageEvent::Wanted)),
        (true, Some(Options { include_usage: Some(true) })) => Ok((Answering::Stream, UsageEvent::Wanted)),
        (true, _) => Ok((Answering::Stream, UsageEvent::Withheld)),
    }
}
