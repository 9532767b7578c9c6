//! Jobs as they are written into the store: JSON with a version, and nothing that only this process knows.
//!
//! A live job is kept as its client asked for it, so that it comes back through the same checks. An ended one
//! is kept as its client sees it. Times are those of the wall clock: nothing else survives the process.

use std::{fmt::Write, time::Duration};

use api_types::{RawJson, TaskView};
use orchestrator_core::{Admission, Budget, PoolId, ReplicaId, SessionId, SessionRecord, SessionSpent};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use trace_export::TraceContext;

use super::events::millis;
use crate::clock::Clock;

/// The version that is written. Nothing older exists.
const VERSION: u32 = 1;

/// The version of a record; always that of this server in records that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Version(u32);

impl TryFrom<u32> for Version {
    type Error = &'static str;

    fn try_from(version: u32) -> Result<Self, Self::Error> {
        if version <= VERSION { Ok(Self(version)) } else { Err("it is newer than this server") }
    }
}

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracestate: Option<String>,
    /// Where it stands in a trace that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<SavedTrace>,
    pub(crate) accepted_ms: u64,
    pub(crate) admission: SavedAdmission,
}

/// Where a job stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedTrace {
    /// Its own place, as a `traceparent`: the span of the job is the same one after a restart.
    pub(crate) root: String,
    /// When that span began, in microseconds of Unix time.
    pub(crate) received_us: u64,
}

impl SavedTask {
    /// The place in a trace from which its client has asked.
    pub(crate) fn trace_of_client(&self) -> Option<TraceContext> {
        let parent = self.traceparent.as_deref().map(str::as_bytes);
        let state = self.tracestate.as_deref().map(str::as_bytes);
        TraceContext::of_headers(parent.into_iter(), state.into_iter())
    }
}

/// What its client was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// A session, apart from its live jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedSession {
    version: Version,
    tokens_limit: Option<u64>,
    time_limit_ms: Option<u64>,
    cost_limit: Option<u64>,
    tokens: u64,
    time_us: u64,
    cost: u64,
    turns: u32,
    expires_ms: u64,
    /// The pool and the replica where it was last.
    last: Option<(String, String)>,
    warm: bool,
}

impl SavedSession {
    pub(crate) fn of(record: &SessionRecord, clock: Clock) -> Self {
        let SessionRecord { budget, spent, .. } = record;
        Self {
            version: Version::default(),
            tokens_limit: budget.tokens,
            time_limit_ms: budget.time.map(millis),
            cost_limit: budget.cost,
            tokens: spent.tokens,
            time_us: u64::try_from(spent.time.as_micros()).unwrap_or(u64::MAX),
            cost: spent.cost,
            turns: record.turns,
            expires_ms: clock.unix_ms(record.expires),
            last: record.last.as_ref().map(|(pool, replica)| (pool.to_string(), replica.to_string())),
            warm: record.warm,
        }
    }

    pub(crate) fn record(self, id: SessionId, clock: Clock) -> SessionRecord {
        let time = self.time_limit_ms.map(Duration::from_millis);
        SessionRecord {
            id,
            budget: Budget { tokens: self.tokens_limit, time, cost: self.cost_limit },
            spent: SessionSpent {
                tokens: self.tokens,
                time: Duration::from_micros(self.time_us),
                cost: self.cost,
            },
            turns: self.turns,
            expires: clock.at_unix_ms(self.expires_ms),
            last: self.last.map(|(pool, replica)| (PoolId::new(pool), ReplicaId::new(replica))),
            warm: self.warm,
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
    // The version is looked at for itself only when the rest does not fit: a newer record says why.
    serde_json::from_slice(body).map_err(|malformed| match serde_json::from_slice::<Head>(body) {
        Ok(head) if head.version > VERSION => UnreadableRecord::Newer(head.version),
        _ => malformed.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as version 1 wrote them. They must be read for ever.
    const TASK: &str = r#"{"version":1,"task":{"model_ref":"m","prompt":"p"},"id":"0192f0c0-0000-7000-8000-000000000001","identity":"localhost","correlation_id":"c","accepted_ms":1700000000000,"admission":{"pool":"default","queue_position":2,"predicted_start_ms":30,"predicted_start_p90_ms":40}}"#;
    const PROGRESS: &str = r#"{"version":1,"said":"tokens","attempt":1,"pool":"default","replica":"local/default","engine":"llamacpp","engine_version":"b1","dispatched_ms":1700000000100}"#;
    const SESSION: &str = r#"{"version":1,"tokens_limit":100,"time_limit_ms":null,"cost_limit":null,"tokens":20,"time_us":5,"cost":0,"turns":1,"expires_ms":1700000600000,"last":["default","local/default"],"warm":true}"#;

    //= ORCH-3403 type=test
    #[test]
    fn records_of_version_1_are_read_and_written_as_they_were() {
        // S10
        let task: SavedTask = read(TASK.as_bytes()).unwrap();
        assert_eq!(
            (task.task.text(), task.accepted_ms),
            (r#"{"model_ref":"m","prompt":"p"}"#, 1_700_000_000_000)
        );
        assert_eq!(write(&task), TASK.as_bytes());
        let progress: SavedProgress = read(PROGRESS.as_bytes()).unwrap();
        assert_eq!((progress.said, progress.attempt), (Said::Tokens, 1));
        assert_eq!(write(&progress), PROGRESS.as_bytes());
        let session: SavedSession = read(SESSION.as_bytes()).unwrap();
        assert_eq!(write(&session), SESSION.as_bytes());
    }

    //= ORCH-3403 type=test
    #[test]
    fn a_newer_record_is_refused_by_its_version_whatever_else_it_holds() {
        let error = read::<SavedTask>(br#"{"version":2,"quite":"other"}"#).unwrap_err();
        assert!(matches!(error, UnreadableRecord::Newer(2)), "{error}");
        let like_ours = SESSION.replace(r#""version":1"#, r#""version":2"#);
        let error = read::<SavedSession>(like_ours.as_bytes()).unwrap_err();
        assert!(matches!(error, UnreadableRecord::Newer(2)), "{error}");
        assert!(read::<SavedTask>(b"{}").is_err() && read::<SavedTask>(b"\xff").is_err());
    }

    #[test]
    fn a_digest_is_read_back_from_its_digits() {
        let digest = std::array::from_fn(|index| u8::try_from(index * 8).unwrap());
        assert_eq!(unhex(&hex(&digest)), Some(digest));
        assert!(unhex("").is_none() && unhex("zz").is_none() && unhex(&"0".repeat(63)).is_none());
    }
}
