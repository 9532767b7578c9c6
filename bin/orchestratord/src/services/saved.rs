//! Jobs as they are written into the store: JSON with a version, and nothing that only this process knows.
//!
//! A live job is kept as its client asked for it, so that it comes back through the same checks. An ended one
//! is kept as its client sees it. Times are those of the wall clock: nothing else survives the process.

use std::{fmt::Write, time::Duration};

use api_types::{RawJson, TaskView};
use orchestrator_core::{Admission, PoolId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::events::millis;

/// The version that is written. Nothing older exists.
const VERSION: u32 = 1;

/// The version of a record; always that of this server in records that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Version(u32);

impl Default for Version {
    fn default() -> Self {
        Self(VERSION)
    }
}

/// A job that was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedTask {
    pub(crate) version: Version,
    /// The request as it was read, without `task_id`.
    pub(crate) task: RawJson,
    pub(crate) id: String,
    /// Who asked, as logs name them.
    pub(crate) identity: String,
    pub(crate) correlation_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    pub(crate) accepted_ms: u64,
    pub(crate) admission: SavedAdmission,
}

/// What its client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedAdmission {
    pub(crate) pool: String,
    pub(crate) queue_position: u32,
    pub(crate) predicted_start_ms: u64,
    pub(crate) predicted_start_p90_ms: u64,
}

impl From<&Admission> for SavedAdmission {
    fn from(granted: &Admission) -> Self {
        Self {
            pool: granted.pool.to_string(),
            queue_position: granted.queue_position,
            predicted_start_ms: millis(granted.predicted_start),
            predicted_start_p90_ms: millis(granted.predicted_start_p90),
        }
    }
}

impl From<SavedAdmission> for Admission {
    fn from(saved: SavedAdmission) -> Self {
        Self {
            pool: PoolId::new(saved.pool),
            queue_position: saved.queue_position,
            predicted_start: Duration::from_millis(saved.predicted_start_ms),
            predicted_start_p90: Duration::from_millis(saved.predicted_start_p90_ms),
            on_time_per_mille: None,
            budget: None,
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedProgress {
    pub(crate) version: Version,
    pub(crate) said: Said,
    pub(crate) attempt: u32,
    pub(crate) pool: String,
    pub(crate) replica: String,
    pub(crate) engine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine_version: Option<String>,
    pub(crate) dispatched_ms: u64,
}

/// Whether readers may have tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Nothing,
    Tokens,
}

/// What became of a job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedEnd {
    pub(crate) version: Version,
    /// Without its text, which is in the stream.
    pub(crate) view: TaskView,
    /// Digest of the request, in hexadecimal digits.
    pub(crate) fingerprint: String,
    pub(crate) accepted_ms: u64,
    pub(crate) admission: Option<SavedAdmission>,
    /// How much there is of its stream.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A record that cannot be read.
#[derive(Debug, Error)]
pub(crate) enum UnreadableRecord {
    /// It was written by a newer version.
    #[error("its version is {0}, and this server reads {VERSION}")]
    Newer(u32),
    /// It is not the JSON that it was.
    #[error("it is not what this server writes: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A digest in hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The digest that [`hex`] wrote.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
    bytes?.try_into().ok()
}

/// A record as the store keeps it.
pub(crate) fn write(record: &impl Serialize) -> store_api::Body {
    // Plain structs with string keys: there is nothing in them that JSON cannot say.
    serde_json::to_vec(record).unwrap_or_default().into()
}

/// A record that was kept.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, UnreadableRecord> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_slice(body)?;
    if head.version > VERSION {
        return Err(UnreadableRecord::Newer(head.version));
    }
    Ok(serde_json::from_slice(body)?)
}
