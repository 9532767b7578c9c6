//! How the next token is chosen.

use adapter_api::Sampling;
use api_types::{CreateTask, Determinism, Stop};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::checks::{integer, number};
use crate::error::ApiError;

const STOP_TEXTS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 256;
/// The seeds that engines take: 32 bits, of which the last one means "any" to some.
const SEED_MAX: i64 = 0xFFFF_FFFE;

pub(super) fn sampling(wire: &CreateTask, id: Uuid) -> Result<Sampling, ApiError> {
    let given = integer("seed", wire.seed, 0..=SEED_MAX)?.map(i64::unsigned_abs);
    //= ORCH-3045
    let derived = (wire.determinism == Determinism::Strict).then(|| seed_of(id));
    Ok(Sampling {
        seed: given.or(derived),
        temperature: number("temperature", wire.temperature, 0.0, 100.0)?,
        top_p: number("top_p", wire.top_p, 0.0, 1.0)?,
        top_k: integer("top_k", wire.top_k, 0..=1_000_000)?.and_then(|k| u32::try_from(k).ok()),
        min_p: number("min_p", wire.min_p, 0.0, 1.0)?,
        presence_penalty: number("presence_penalty", wire.presence_penalty, -2.0, 2.0)?,
        frequency_penalty: number("frequency_penalty", wire.frequency_penalty, -2.0, 2.0)?,
        repeat_penalty: number("repeat_penalty", wire.repeat_penalty, 0.1, 10.0)?,
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
