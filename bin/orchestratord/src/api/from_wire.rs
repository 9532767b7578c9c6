//! From a request to a task: every field is checked, and rebuilt from typed values.
//!
//! What reaches an engine is built from what stands here; a client's JSON never does. A wrong value is
//! refused with the name of its field.

use std::{sync::Arc, time::Duration};

use adapter_api::{Input, Message, Role, Sampling, WorkOrder};
use api_types::{
    ChatMessage, ChatRole, CreateTask, Determinism, Engine, Placement, PlacementMode, Stop, Workload,
};
use auth_min::Identity;
use orchestrator_core::{JobId, PoolId, Priority, Requirements};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    error::ApiError,
    services::{JobFacts, NewTask, OnDisconnect},
};

const MAX_TOKENS_DEFAULT: u32 = 256;
/// No model's context comes near to this.
const TOKENS_MAX: u32 = 16 * 1024 * 1024;
const DEADLINE_MS_MAX: i64 = 7 * 24 * 3_600_000;
const MODEL_REF_BYTES_MAX: usize = 512;
const STOP_TEXTS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 256;
const POOLS_NAMED_MAX: usize = 64;
/// The seeds that engines take: 32 bits, of which the last one means "any" to some.
const SEED_MAX: i64 = 0xFFFF_FFFE;
/// A token is at least this many bytes of text, on average, in every common vocabulary.
const BYTES_PER_TOKEN: usize = 4;
/// What a template puts around a turn is about this long.
const TURN_BYTES: usize = 16;
const MESSAGES_MAX: usize = 1_024;

/// What is known of a request apart from its body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) correlation_id: Arc<str>,
    pub(crate) identity: Identity,
    pub(crate) traceparent: Option<Arc<str>>,
    /// The `Idempotency-Key`, which stands for a `task_id` that the client did not choose.
    pub(crate) idempotency_key: Option<String>,
}

/// Checks a request and makes a task of it.
pub(crate) fn new_task(wire: &CreateTask, asked: Asked) -> Result<NewTask, ApiError> {
    let fingerprint = fingerprint(wire);
    let id = match (&wire.task_id, &asked.idempotency_key) {
        (Some(given), _) => uuid("task_id", given)?,
        (None, Some(key)) => id_of_key(key)?,
        (None, None) => Uuid::now_v7(),
    };
    let session_id = wire.session_id.as_deref().map(|given| uuid("session_id", given)).transpose()?;
    if wire.workload != Workload::Completion {
        return Err(ApiError::invalid("workload", "only `completion` is supported"));
    }
    let model_ref = model_ref(&wire.model_ref)?;
    let (input, estimate) = input(wire)?;
    let max_tokens = tokens("max_tokens", wire.max_tokens)?.unwrap_or(MAX_TOKENS_DEFAULT);
    let order = WorkOrder {
        request_id: id.to_string().into(),
        model: Arc::clone(&model_ref),
        input,
        max_tokens,
        sampling: sampling(wire, id)?,
        traceparent: asked.traceparent,
    };
    let mut requirements = Requirements::of(Arc::clone(&model_ref), context(wire, estimate, max_tokens)?);
    requirements.engine = wire.engine.map(engine).transpose()?;
    if let Some(placement) = &wire.placement {
        place(&mut requirements, placement)?;
    }
    let facts = JobFacts {
        id: JobId::from_u128(id.as_u128()),
        session_id: session_id.unwrap_or(id),
        model_ref,
        priority: match wire.priority {
            api_types::Priority::Interactive => Priority::Interactive,
            api_types::Priority::Batch => Priority::Batch,
        },
        fingerprint,
        correlation_id: asked.correlation_id,
        identity: asked.identity,
        on_disconnect: match wire.on_disconnect {
            api_types::OnDisconnect::Continue => OnDisconnect::Continue,
            api_types::OnDisconnect::Cancel => OnDisconnect::Cancel,
        },
    };
    let deadline = integer("deadline_ms", wire.deadline_ms, 1..=DEADLINE_MS_MAX)
        .map_err(|_range| deadline_error(wire.deadline_ms))?;
    let deadline = deadline.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    Ok(NewTask { facts, order, requirements, deadline })
}

/// A digest of what was asked, whatever its field order and spacing.
fn fingerprint(wire: &CreateTask) -> [u8; 32] {
    // The id is left out: it is what the digest is compared under.
    let asked = CreateTask { task_id: None, ..wire.clone() };
    Sha256::digest(serde_json::to_vec(&asked).unwrap_or_default()).into()
}

fn deadline_error(given: Option<i64>) -> ApiError {
    if given.is_some_and(|given| given <= 0) {
        let message = "deadline_ms: has passed already; it counts from admission";
        ApiError::new(api_types::ErrorCode::DeadlineUnmet, message)
    } else {
        ApiError::invalid("deadline_ms", format!("must be at most {DEADLINE_MS_MAX}"))
    }
}

fn uuid(field: &str, given: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(given).map_err(|_malformed| ApiError::invalid(field, "must be a UUID"))
}

/// The id of a job that is known by a key: the same for the same key, and no other client's guess.
fn id_of_key(key: &str) -> Result<Uuid, ApiError> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(1..=255).contains(&key.len()) {
        return Err(ApiError::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    }
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

fn model_ref(given: &str) -> Result<Arc<str>, ApiError> {
    let refused = |problem| Err(ApiError::invalid("model_ref", problem));
    if given.is_empty() || given.len() > MODEL_REF_BYTES_MAX {
        return refused("must have 1 to 512 bytes");
    }
    if given.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return refused("must hold no spaces, control characters or backslashes");
    }
    if given.split('/').any(|part| part == "..") {
        return refused("must hold no `..`");
    }
    Ok(given.into())
}

fn sampling(wire: &CreateTask, id: Uuid) -> Result<Sampling, ApiError> {
    let given = integer("seed", wire.seed, 0..=SEED_MAX)?.map(i64::unsigned_abs);
    //= ORCH-3045
    let derived = (wire.determinism == Determinism::Strict).then(|| seed_of(id));
    Ok(Sampling {
        seed: given.or(derived),
        temperature: number("temperature", wire.temperature, 0.0, 100.0)?,
        top_p: number("top_p", wire.top_p, 0.0, 1.0)?,
        top_k: integer("top_k", wire.top_k, 0..=1_000_000)?.and_then(|k| u32::try_from(k).ok()),
        stop: stops(wire.stop.as_ref())?,
    })
}

/// The seed of a task that names none: the same for the same id.
fn seed_of(id: Uuid) -> u64 {
    let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    u64::from(u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) >> 1)
}

fn stops(wire: Option<&Stop>) -> Result<Vec<String>, ApiError> {
    let texts = match wire {
        None => return Ok(Vec::new()),
        Some(Stop::One(text)) => vec![text.clone()],
        Some(Stop::Many(texts)) => texts.clone(),
    };
    let fits = |text: &String| (1..=STOP_BYTES_MAX).contains(&text.len());
    if texts.len() > STOP_TEXTS_MAX || !texts.iter().all(fits) {
        let problem = format!("must be at most {STOP_TEXTS_MAX} texts of 1 to {STOP_BYTES_MAX} bytes");
        return Err(ApiError::invalid("stop", problem));
    }
    Ok(texts)
}

/// What the engine goes on from, and about how many tokens that is.
fn input(wire: &CreateTask) -> Result<(Input, u32), ApiError> {
    let tokens = |bytes: usize| u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
    match (&wire.prompt, &wire.messages) {
        (Some(_), Some(_)) => Err(ApiError::invalid("messages", "must not stand beside prompt")),
        (None, None) => Err(ApiError::invalid("prompt", "is required, unless messages are given")),
        (Some(prompt), None) if prompt.is_empty() => Err(ApiError::invalid("prompt", "must not be empty")),
        (Some(prompt), None) => Ok((Input::text(prompt.as_str()), tokens(prompt.len()))),
        (None, Some(messages)) if !(1..=MESSAGES_MAX).contains(&messages.len()) => {
            Err(ApiError::invalid("messages", format!("must be 1 to {MESSAGES_MAX} turns")))
        }
        (None, Some(messages)) => {
            let bytes = messages.iter().map(|message| message.content.len() + TURN_BYTES).sum();
            Ok((Input::Chat(messages.iter().map(turn).collect()), tokens(bytes)))
        }
    }
}

fn turn(wire: &ChatMessage) -> Message {
    let role = match wire.role {
        ChatRole::System => Role::System,
        ChatRole::User => Role::User,
        ChatRole::Assistant => Role::Assistant,
        ChatRole::Tool => Role::Tool,
    };
    Message::new(role, wire.content.as_str())
}

/// The context that the job needs.
//= ORCH-3014
fn context(wire: &CreateTask, estimate: u32, max_tokens: u32) -> Result<u32, ApiError> {
    let needed = estimate.saturating_add(max_tokens);
    match tokens("ctx", wire.ctx)? {
        Some(ctx) if needed > ctx => {
            let problem =
                format!("prompt (about {estimate} tokens) and max_tokens ({max_tokens}) do not fit {ctx}");
            Err(ApiError::invalid("ctx", problem))
        }
        Some(ctx) => Ok(ctx),
        None => Ok(needed),
    }
}

fn engine(wire: Engine) -> Result<Arc<str>, ApiError> {
    match wire {
        Engine::Llamacpp => Ok("llamacpp".into()),
        Engine::Vllm => Ok("vllm".into()),
        Engine::Tgi => Ok("tgi".into()),
        Engine::OpenAi => Ok("openai".into()),
        Engine::Mock => Ok("mock".into()),
        Engine::Triton => Err(ApiError::invalid("engine", "triton is not supported")),
    }
}

fn place(requirements: &mut Requirements, wire: &Placement) -> Result<(), ApiError> {
    if wire.prefer_pools.len().max(wire.avoid_pools.len()) > POOLS_NAMED_MAX {
        return Err(ApiError::invalid("placement", format!("names more than {POOLS_NAMED_MAX} pools")));
    }
    let pools = |names: &[String]| names.iter().map(|name| PoolId::new(name.as_str())).collect();
    requirements.prefer_pools = pools(&wire.prefer_pools);
    requirements.avoid_pools = pools(&wire.avoid_pools);
    requirements.device_mask = wire.require_device_mask.as_deref().map(Arc::from);
    if wire.node_id.is_some() {
        let message = "placement.node_id: no node of this name is registered";
        return Err(ApiError::new(api_types::ErrorCode::NodeUnavailable, message));
    }
    requirements.pin_pool = match (wire.mode, &wire.pin_pool_id, wire.prefer_pools.as_slice()) {
        (PlacementMode::Pin, Some(pool), _) => Some(PoolId::new(pool.as_str())),
        (PlacementMode::Pin, None, _) => {
            return Err(ApiError::invalid("placement.pin_pool_id", "is required with mode `pin`"));
        }
        (_, Some(_), _) => {
            return Err(ApiError::invalid("placement.mode", "must be `pin` when pin_pool_id is given"));
        }
        (_, None, preferred) if wire.allow_fallback == Some(false) => match preferred {
            [] => None,
            [only] => Some(PoolId::new(only.as_str())),
            _ => {
                let problem = "without fallback exactly one pool can be preferred";
                return Err(ApiError::invalid("placement.prefer_pools", problem));
            }
        },
        (_, None, _) => None,
    };
    Ok(())
}

fn tokens(field: &str, given: Option<i64>) -> Result<Option<u32>, ApiError> {
    Ok(integer(field, given, 1..=i64::from(TOKENS_MAX))?.and_then(|count| u32::try_from(count).ok()))
}

// H19
fn integer(
    field: &str,
    given: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, ApiError> {
    match given {
        Some(value) if !range.contains(&value) => {
            let (low, high) = (range.start(), range.end());
            Err(ApiError::invalid(field, format!("must be from {low} to {high}")))
        }
        other => Ok(other),
    }
}

fn number(field: &str, given: Option<f64>, low: f64, high: f64) -> Result<Option<f64>, ApiError> {
    match given {
        Some(value) if !(low..=high).contains(&value) => {
            Err(ApiError::invalid(field, format!("must be from {low} to {high}")))
        }
        other => Ok(other),
    }
}
