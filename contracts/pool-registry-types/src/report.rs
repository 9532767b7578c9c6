//! What a node tells of one of its pools.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::{self, Fault, at_most, hold, line, name, optional, pool_id, within},
    lifecycle::OperationView,
};

/// More streams than any engine serves at once.
const SLOTS_MAX: u32 = 65_536;
/// More memory than any device has: a pebibyte.
const VRAM_MAX: u64 = 1 << 50;
/// More context than any model has.
const CTX_MAX: u32 = 1 << 30;
const MODELS_MAX: usize = 1_024;

/// One pool of a node: the engine that it runs there, as it is now.
#[expect(clippy::struct_excessive_bools, reason = "the public contract names these fields")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolReport {
    /// The pool. Several nodes may report the same one; each is then a replica of it.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    pub pool_id: String,
    /// Whether the engine takes work.
    pub ready: bool,
    /// Whether it only finishes what it has.
    #[serde(default)]
    pub draining: bool,
    /// Streams that it could take now.
    #[schema(maximum = 65_536)]
    pub slots_free: u32,
    /// Streams that it serves at once; as many as are free when not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65_536)]
    pub slots_total: Option<u32>,
    /// Free memory of its devices; 0 where there is none.
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    pub vram_free_bytes: u64,
    /// All memory of its devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    pub vram_total_bytes: Option<u64>,
    /// The engine's kind, as in `llamacpp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    pub engine: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Where it listens, as an `http` URL that the control plane reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2048, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub endpoint: Option<String>,
    /// The model that it has loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// The digest of that model's file, as `sha256:` and 64 hexadecimal digits, where it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub model_digest: Option<String>,
    /// Models that the node has and could load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1024)]
    pub models_available: Vec<String>,
    /// Tokens of context of one stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_073_741_824)]
    pub ctx_max: Option<u32>,
    /// The devices that it computes on: numbers as in `0,1`, or `cpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(cpu|[0-9]{1,4}(,[0-9]{1,4})*)$")]
    pub device_mask: Option<String>,
    /// Its name among the replicas of the pool; `node_id/pool_id` when not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub replica_id: Option<String>,
    /// How busy its devices are, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub gpu_utilization: Option<f64>,
    /// What went wrong last, while it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub last_error: Option<String>,
}

impl PoolReport {
    /// Streams that it serves at once.
    pub fn slots(&self) -> u32 {
        self.slots_total.unwrap_or(self.slots_free)
    }

    /// Whether every field holds what it may; `path` is where the report stands, as in `pools[0]`.
    ///
    /// # Errors
    /// The first field that does not.
    pub fn check(&self, path: &str) -> Result<(), Fault> {
        let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        pool_id(&at("pool_id"), &self.pool_id)?;
        within(&at("slots_free"), self.slots_free, 0..=SLOTS_MAX)?;
        within(&at("slots_total"), self.slots(), 0..=SLOTS_MAX)?;
        let what = || "must not be less than slots_free".to_owned();
        hold(&at("slots_total"), what, || self.slots() >= self.slots_free)?;
        within(&at("vram_free_bytes"), self.vram_free_bytes, 0..=VRAM_MAX)?;
        let total = self.vram_total_bytes.unwrap_or(self.vram_free_bytes);
        within(&at("vram_total_bytes"), total, 0..=VRAM_MAX)?;
        let what = || "must not be less than vram_free_bytes".to_owned();
        hold(&at("vram_total_bytes"), what, || total >= self.vram_free_bytes)?;
        optional(&at("engine"), self.engine.as_deref(), name)?;
        optional(&at("engine_version"), self.engine_version.as_deref(), line)?;
        optional(&at("endpoint"), self.endpoint.as_deref(), line)?;
        optional(&at("model_id"), self.model_id.as_deref(), line)?;
        optional(&at("model_digest"), self.model_digest.as_deref(), digest)?;
        at_most(&at("models_available"), self.models_available.len(), MODELS_MAX)?;
        for (index, model) in self.models_available.iter().enumerate() {
            line(&at(&format!("models_available[{index}]")), model)?;
        }
        optional(&at("ctx_max"), self.ctx_max.as_ref(), |field, ctx| within(field, *ctx, 1..=CTX_MAX))?;
        optional(&at("device_mask"), self.device_mask.as_deref(), device_mask)?;
        optional(&at("replica_id"), self.replica_id.as_deref(), replica_id)?;
        optional(&at("gpu_utilization"), self.gpu_utilization.as_ref(), |field, it| {
            within(field, *it, 0.0..=1.0)
        })?;
        optional(&at("last_error"), self.last_error.as_deref(), |field, text| {
            check::hold(field, || "must be at most 4096 characters".to_owned(), || text.len() <= 4_096)
        })
    }
}

fn digest(field: &str, text: &str) -> Result<(), Fault> {
    let what = || "must be sha256: and 64 hexadecimal digits in lower case".to_owned();
    hold(field, what, || {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
    })
}

fn device_mask(field: &str, text: &str) -> Result<(), Fault> {
    let what = || "must be cpu, or device numbers as in 0,1".to_owned();
    hold(field, what, || {
        let number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        text == "cpu" || (text.len() <= 256 && text.split(',').all(number))
    })
}

/// A name, or several with slashes between, as in `gpu-1/default`.
fn replica_id(field: &str, text: &str) -> Result<(), Fault> {
    let what = || "must be at most 256 characters: names with slashes between".to_owned();
    hold(field, what, || text.len() <= 256 && text.split('/').all(|part| name("", part).is_ok()))
}

/// `GET /v2/pools` of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolReports {
    /// The node's name, where it tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Its pools.
    pub pools: Vec<PoolReport>,
}

/// `GET /v2/pools/{id}/status` of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    /// The pool.
    #[serde(flatten)]
    pub report: PoolReport,
    /// Whether its engine's process runs and answers.
    pub live: bool,
    /// The reference from which the loaded model came, so that a pool can be led back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ref: Option<String>,
    /// The last thing that was done to the pool as a whole, also while it is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> PoolReport {
        PoolReport {
            pool_id: "default".into(),
            ready: true,
            slots_free: 2,
            vram_free_bytes: 1 << 30,
            ..Default::default()
        }
    }

    #[test]
    fn the_least_that_a_node_must_tell_is_enough() {
        let text = r#"{"pool_id":"default","ready":true,"slots_free":2,"vram_free_bytes":1073741824}"#;
        let report: PoolReport = serde_json::from_str(text).unwrap();
        assert_eq!(report, sound());
        assert_eq!(report.slots(), 2);
        assert_eq!(report.check("pools[0]"), Ok(()));
    }

    // N06
    #[test]
    fn impossible_numbers_and_names_are_refused_by_the_field() {
        type Change = fn(&mut PoolReport);
        let table: [(&str, Change); 14] = [
            ("pool_id", |it| it.pool_id = "../x".into()),
            ("slots_free", |it| it.slots_free = 1_000_000_000),
            ("slots_total", |it| it.slots_total = Some(1)),
            ("slots_total", |it| it.slots_total = Some(1_000_000_000)),
            ("vram_free_bytes", |it| it.vram_free_bytes = u64::MAX),
            ("vram_total_bytes", |it| it.vram_total_bytes = Some(1)),
            ("engine", |it| it.engine = Some("a b".into())),
            ("endpoint", |it| it.endpoint = Some("http://a\n".into())),
            ("model_digest", |it| it.model_digest = Some("sha256:00".into())),
            ("models_available[0]", |it| it.models_available = vec![String::new()]),
            ("ctx_max", |it| it.ctx_max = Some(0)),
            ("device_mask", |it| it.device_mask = Some("CPU".into())),
            ("replica_id", |it| it.replica_id = Some("a//b".into())),
            ("gpu_utilization", |it| it.gpu_utilization = Some(f64::NAN)),
        ];
        for (field, change) in table {
            let mut report = sound();
            change(&mut report);
            assert_eq!(report.check("pools[3]").unwrap_err().field, format!("pools[3].{field}"));
        }
        let negative = r#"{"pool_id":"p","ready":true,"slots_free":2,"vram_free_bytes":-1}"#;
        assert!(serde_json::from_str::<PoolReport>(negative).is_err());
    }
}
