//! What is to be done.

use adapter_api::{CacheUse, Generate, Input, Message, OutputShape, Prompt, Role, Work};
use api_types::{ChatMessage, ChatRole, CreateTask, KvHint, OutputMode, Workload};
use uuid::Uuid;

use super::{
    checks::tokens,
    need::{Need, Seen},
    sampling::sampling,
};
use crate::error::ApiError;

const MAX_TOKENS_DEFAULT: u32 = 256;
/// What a template puts around a turn is about this long.
const TURN_BYTES: usize = 16;
const MESSAGES_MAX: usize = 1_024;
const INPUTS_MAX: usize = 1_024;

/// The work, with its need.
pub(super) fn work(wire: &CreateTask, id: Uuid) -> Result<(Work, Need), ApiError> {
    match wire.workload {
        Workload::Completion => {
            unwanted("inputs", wire.inputs.as_ref())?;
            generate(wire, id)
        }
        Workload::Embedding => {
            unwanted("prompt", wire.prompt.as_ref())?;
            unwanted("messages", wire.messages.as_ref())?;
            let texts = inputs(wire)?;
            let need = Need::of(texts.iter().map(Prompt::len), Seen::OneByOne, 0);
            Ok((Work::Embed(texts), need))
        }
        Workload::Rerank => {
            unwanted("messages", wire.messages.as_ref())?;
            let query = wire.prompt.as_deref().filter(|text| !text.is_empty());
            let query = Prompt::new(query.ok_or_else(|| {
                ApiError::invalid("prompt", "is required: it asks what the inputs are put in order by")
            })?);
            let documents = inputs(wire)?;
            // An engine sees each of them beside the query.
            let lengths = documents.iter().map(|text| text.len() + query.len());
            let need = Need::of(lengths, Seen::OneByOne, 0);
            Ok((Work::Rerank { query, documents }, need))
        }
    }
}

fn unwanted<T>(field: &str, given: Option<&T>) -> Result<(), ApiError> {
    match given {
        Some(_) => Err(ApiError::invalid(field, "is not for this workload")),
        None => Ok(()),
    }
}

fn inputs(wire: &CreateTask) -> Result<Vec<Prompt>, ApiError> {
    let given = wire.inputs.as_deref().ok_or_else(|| ApiError::invalid("inputs", "is required"))?;
    if !(1..=INPUTS_MAX).contains(&given.len()) {
        return Err(ApiError::invalid("inputs", format!("must be 1 to {INPUTS_MAX} texts")));
    }
    match given.iter().position(String::is_empty) {
        Some(index) => Err(ApiError::invalid(&format!("inputs[{index}]"), "must not be empty")),
        None => Ok(given.iter().map(|text| Prompt::new(text.as_str())).collect()),
    }
}

fn generate(wire: &CreateTask, id: Uuid) -> Result<(Work, Need), ApiError> {
    let max_tokens = tokens("max_tokens", wire.max_tokens)?.unwrap_or(MAX_TOKENS_DEFAULT);
    let (input, lengths) = input(wire)?;
    let mut generate = Generate::from(input, max_tokens);
    generate.sampling = sampling(wire, id)?;
    generate.shape = match wire.output_mode {
        OutputMode::Text | OutputMode::Edits => OutputShape::Text,
        OutputMode::Json => OutputShape::Json,
    };
    generate.cache = match wire.kv_hint {
        KvHint::Reuse => CacheUse::Reuse,
        KvHint::Cold => CacheUse::Cold,
    };
    Ok((Work::Generate(generate), Need::of(lengths.into_iter(), Seen::AtOnce, max_tokens)))
}

/// What the engine goes on from, and how many bytes each turn of it has.
fn input(wire: &CreateTask) -> Result<(Input, Vec<usize>), ApiError> {
    match (&wire.prompt, &wire.messages) {
        (Some(_), Some(_)) => Err(ApiError::invalid("messages", "must not stand beside prompt")),
        (None, None) => Err(ApiError::invalid("prompt", "is required, unless messages are given")),
        (Some(prompt), None) if prompt.is_empty() => Err(ApiError::invalid("prompt", "must not be empty")),
        (Some(prompt), None) => Ok((Input::text(prompt.as_str()), vec![prompt.len()])),
        (None, Some(messages)) if !(1..=MESSAGES_MAX).contains(&messages.len()) => {
            Err(ApiError::invalid("messages", format!("must be 1 to {MESSAGES_MAX} turns")))
        }
        (None, Some(messages)) => {
            let lengths = messages.iter().map(|message| message.content.len() + TURN_BYTES).collect();
            Ok((Input::Chat(messages.iter().map(turn).collect()), lengths))
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
