//! From a request to a task: every field is checked, and rebuilt from typed values.
//!
//! What reaches an engine is built from what stands here; a client's JSON never does. A wrong value is
//! refused with the name of its field.

pub(super) mod checks;
mod declared;
mod need;
mod place;
mod sampling;
mod work;

use std::{sync::Arc, time::Duration};

use adapter_api::{WorkOrder, Workload};
use api_types::{BudgetLimits, CreateTask, Determinism, ErrorCode, RawJson};
use auth_min::Identity;
use orchestrator_core::{AfterTokens, Budget, JobId, NewJob, Priority, Requirements, SessionUse};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(super) use self::{
    declared::{declared, model_state},
    need::{Need, Seen},
};
use super::trace::Incoming;
use crate::{
    error::ApiError,
    services::{
        Durability, IdFrom, JobEntry, JobFacts, Models, NewTask, OnDisconnect, OnEngineLoss, OnTheWay,
        SavedTask, Surface, passed_on, workload,
    },
};

const DEADLINE_MS_MAX: i64 = 7 * 24 * 3_600_000;
const ATTEMPTS_MAX: u32 = 16;

/// What is known of a request apart from its body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) correlation_id: Arc<str>,
    pub(crate) identity: Identity,
    pub(crate) trace: Incoming,
    /// The `Idempotency-Key`, which stands for a `task_id` that the client did not choose.
    pub(crate) idempotency_key: Option<String>,
}

/// Checks a request and makes a task of it.
pub(crate) fn new_task(wire: &CreateTask, asked: Asked, models: &Models) -> Result<NewTask, ApiError> {
    read(wire, canonical(wire)?, asked, models)
}

/// As [`new_task`], of a request whose canonical text is known.
fn read(wire: &CreateTask, text: RawJson, asked: Asked, models: &Models) -> Result<NewTask, ApiError> {
    let (id, id_from) = match (&wire.task_id, &asked.idempotency_key) {
        (Some(given), _) => (checks::uuid("task_id", given)?, IdFrom::Client),
        (None, Some(key)) => (checks::id_of_key(key)?, IdFrom::Client),
        (None, None) => (Uuid::now_v7(), IdFrom::Server),
    };
    let session_id = wire.session_id.as_deref().map(|given| checks::uuid("session_id", given)).transpose()?;
    let model = checks::model("model_ref", &wire.model_ref, models)?;
    let (work, need) = work::work(wire, id)?;
    let facts = JobFacts {
        id: JobId::from_u128(id.as_u128()),
        //= ORCH-3023
        session_id: session_id.unwrap_or(id),
        model_ref: wire.model_ref.as_str().into(),
        requirements: requirements(wire, &model, need, work.workload())?,
        priority: match wire.priority {
            api_types::Priority::Interactive => Priority::Interactive,
            api_types::Priority::Batch => Priority::Batch,
        },
        prompt_tokens: need.prompt,
        fingerprint: Sha256::digest(text.text()).into(),
        surface: Surface::Native,
        correlation_id: asked.correlation_id,
        identity: asked.identity,
        on_disconnect: match wire.on_disconnect {
            api_types::OnDisconnect::Continue => OnDisconnect::Continue,
            api_types::OnDisconnect::Cancel => OnDisconnect::Cancel,
        },
        on_engine_loss: match (wire.on_engine_loss, wire.determinism) {
            (api_types::OnEngineLoss::Fail, _) => OnEngineLoss::Fail,
            (api_types::OnEngineLoss::Restart, _) => OnEngineLoss::Restart,
            (api_types::OnEngineLoss::Continue, Determinism::Strict) => OnEngineLoss::Replay,
            (api_types::OnEngineLoss::Continue, Determinism::BestEffort) => OnEngineLoss::Continue,
        },
        durability: match wire.durability {
            Some(api_types::Durability::Memory) => Durability::Memory,
            None | Some(api_types::Durability::Fsync) => Durability::Fsync,
        },
        trace: asked.trace.from,
    };
    let on_the_way = match facts.durability {
        Durability::Memory => None,
        Durability::Fsync => Some(OnTheWay { task: text }),
    };
    let trace = facts.trace.as_deref().map(passed_on);
    let order = WorkOrder { request_id: id.to_string().into(), model, work, trace };
    Ok(NewTask {
        job: job(wire, &facts, need)?,
        entry: Arc::new(JobEntry::new(facts, order)),
        id: id_from,
        received: asked.trace.received,
        deadline: deadline(wire.deadline_ms)?,
        attempts: checks::count("max_attempts", wire.max_attempts, ATTEMPTS_MAX)?,
        on_the_way,
    })
}

/// Makes a task of a request that was accepted before the server started.
pub(crate) fn task_again(saved: &SavedTask, models: &Models) -> Result<NewTask, ApiError> {
    let text = saved.task.text();
    // Where it does not fit, the slower way tells which field it is.
    let wire: CreateTask = serde_json::from_str(text).or_else(|_| super::body::decode(text.as_bytes()))?;
    let wire = CreateTask { task_id: Some(saved.id.clone()), ..wire };
    let identity = saved.identity.parse();
    let asked = Asked {
        correlation_id: saved.correlation_id.as_str().into(),
        identity: identity.map_err(|error| ApiError::invalid("identity", format!("{error}")))?,
        trace: Incoming { from: saved.trace_of_client().map(Arc::new), received: None },
        idempotency_key: None,
    };
    read(&wire, saved.task.clone(), asked, models)
}

/// Which engines may run it.
fn requirements(
    wire: &CreateTask,
    model: &Arc<str>,
    need: Need,
    kind: Workload,
) -> Result<Requirements, ApiError> {
    let mut requirements = Requirements::of(Arc::clone(model), context(wire.ctx, need)?);
    requirements.workload = workload(kind);
    requirements.engine = wire.engine.map(place::engine).transpose()?;
    if let Some(placement) = &wire.placement {
        place::place(&mut requirements, placement)?;
    }
    Ok(requirements)
}

/// What the scheduler gets to know.
fn job(wire: &CreateTask, facts: &JobFacts, need: Need) -> Result<NewJob, ApiError> {
    let mut job = NewJob::of(facts.id, facts.priority, facts.requirements.clone());
    job.size = checks::tokens("expected_tokens", wire.expected_tokens)?.unwrap_or(need.answer);
    if facts.on_engine_loss != OnEngineLoss::Fail {
        job.after_tokens = AfterTokens::TryAgain;
    }
    job.session = Some(SessionUse {
        id: facts.session(),
        budget: wire.budget.map(budget).transpose()?,
        tokens: need.at_most,
    });
    Ok(job)
}

/// What was asked, whatever its field order and spacing. Its digest tells two requests apart.
fn canonical(wire: &CreateTask) -> Result<RawJson, ApiError> {
    // The id is left out: it is what the digest is compared under.
    let asked = CreateTask { task_id: None, ..wire.clone() };
    // Plain structs with string keys: there is nothing in them that JSON cannot say.
    RawJson::of(&asked)
        .ok_or_else(|| ApiError::new(ErrorCode::Internal, "the request cannot be written down"))
}

fn deadline(given: Option<i64>) -> Result<Option<Duration>, ApiError> {
    if given.is_some_and(|given| given <= 0) {
        let message = "deadline_ms: has passed already; it counts from admission";
        return Err(ApiError::new(ErrorCode::DeadlineUnmet, message));
    }
    let given = checks::integer("deadline_ms", given, 1..=DEADLINE_MS_MAX)?;
    Ok(given.map(|ms| Duration::from_millis(ms.unsigned_abs())))
}

/// The context that the job needs.
//= ORCH-3014
fn context(ctx: Option<i64>, need: Need) -> Result<u32, ApiError> {
    let Some(ctx) = checks::tokens("ctx", ctx)? else { return Ok(need.ctx) };
    if need.ctx > ctx {
        let (prompt, answer) = (need.ctx - need.answer, need.answer);
        let problem = format!("prompt (about {prompt} tokens) and max_tokens ({answer}) do not fit {ctx}");
        return Err(ApiError::invalid("ctx", problem));
    }
    Ok(ctx)
}

/// The limits of a session.
fn budget(wire: BudgetLimits) -> Result<Budget, ApiError> {
    const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
    let whole = |field, given| checks::integer(field, given, 1..=AMOUNT_MAX);
    let cost = checks::number("budget.cost", wire.cost, 0.0, 1e9)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    let millionths = |units: f64| (units * 1e6).round() as u64;
    Ok(Budget {
        tokens: whole("budget.tokens", wire.tokens)?.map(i64::unsigned_abs),
        time: whole("budget.time_ms", wire.time_ms)?.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        cost: cost.map(millionths),
    })
}
