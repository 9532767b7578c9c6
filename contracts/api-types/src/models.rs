//! The catalog: what clients register of models, and what the server found out about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, schema::Type},
};

/// `POST /v2/catalog/models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "mine/tiny", "model_ref": "file:/srv/models/tiny.gguf"}))]
pub struct RegisterModel {
    /// What the catalog is to call it: parts of `[a-z0-9][a-z0-9._-]*`, separated by `/`.
    #[schema(max_length = 256, pattern = "^[a-z0-9][a-z0-9._-]{0,127}(/[a-z0-9][a-z0-9._-]{0,127})*$")]
    pub id: String,
    /// Where it comes from: `hf:`, `file:`, `https:`, `s3:`, `oci:`, or the name that engines use.
    #[schema(min_length = 1, max_length = 512)]
    pub model_ref: String,
    /// The digest that its file must have: `sha256:` and 64 lower-case hex digits.
    #[serde(default)]
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: Option<String>,
    /// Signatures of its digest.
    #[serde(default)]
    #[schema(max_items = 16)]
    pub signatures: Vec<ModelSignature>,
    /// Where its bill of materials is.
    #[serde(default)]
    pub sbom: Option<ModelSbom>,
    /// The longest context that it may be used with, in tokens.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 16_777_216)]
    pub ctx_max: Option<i64>,
    /// Whatever clients want to remember.
    #[serde(default)]
    #[schema(schema_with = labels)]
    pub labels: BTreeMap<String, String>,
}

fn labels() -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Whatever clients want to remember."))
        .property_names(Some(text().max_length(Some(63)).pattern(Some("^[!-~]+$")).build()))
        .additional_properties(Some(text().max_length(Some(256))))
        .max_properties(Some(32))
        .build()
}

/// A signature of a model's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelSignature {
    /// How it was made; `ed25519` can be checked.
    #[schema(max_length = 63, pattern = "^[!-~]+$")]
    pub kind: String,
    /// What the key is called that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128, pattern = "^[!-~]+$")]
    pub key_id: Option<String>,
    /// The signature; of `ed25519` base64 of its 64 bytes.
    #[schema(max_length = 16384, pattern = "^[!-~]+$")]
    pub value: String,
    /// What the server holds of it: `valid`, `invalid` or `unchecked`. Nothing that clients say counts.
    #[serde(default, deserialize_with = "nothing", skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub check: Option<String>,
}

/// Reads over a value that counts for nothing.
fn nothing<'de, D: Deserializer<'de>>(given: D) -> Result<Option<String>, D::Error> {
    IgnoredAny::deserialize(given).map(|_| None)
}

/// Where a model's bill of materials is. The server does not read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelSbom {
    /// Its format, such as `spdx-json`.
    #[schema(max_length = 63, pattern = "^[!-~]+$")]
    pub format: String,
    /// The digest of its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: Option<String>,
    /// Where its document is said to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024, pattern = "^[!-~]+$")]
    pub uri: Option<String>,
}

/// `POST /v2/catalog/models/{id}/state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetModelState {
    /// Whether the model may be used.
    pub state: ModelState,
    /// Until when a retired model may still be asked for, in milliseconds since 1970.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 253_402_300_799_999_i64)]
    pub deadline_ms: Option<i64>,
}

/// Whether a model may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ModelState {
    /// Yes.
    Active,
    /// No, or not for long.
    Retired,
}

/// A page of `GET /v2/catalog/models`, in the order of ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelPage {
    /// The models.
    pub models: Vec<ModelView>,
    /// The `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_after: Option<String>,
}

/// A model of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelView {
    /// What the catalog calls it.
    pub id: String,
    /// Where it comes from.
    pub model_ref: String,
    /// The name that engines use, which tasks may use, too.
    pub engine_model: String,
    /// Whether it may be used.
    pub state: ModelState,
    /// Until when a retired model may still be asked for, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The digest that its file must have, as it was given or else as the first verification found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Signatures of its digest.
    pub signatures: Vec<ModelSignature>,
    /// Where its bill of materials is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<ModelSbom>,
    /// The longest context, in tokens, as it was given or else as its header tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_max: Option<u32>,
    /// Whatever clients want to remember.
    pub labels: BTreeMap<String, String>,
    /// The bytes of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What the header of its file tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<ModelHeader>,
    /// The memory that a replica needs for the longest context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram: Option<VramView>,
    /// The last verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationView>,
    /// The verification that waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifying: Option<VerifyingView>,
}

/// What the header of a model file tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelHeader {
    /// `gguf` or `safetensors`.
    pub format: String,
    /// The architecture, such as `llama`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The numbers in all tensors together.
    pub parameters: u64,
    /// How most of its bytes are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Blocks of attention and feed-forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// The longest context that it was trained for, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_max: Option<u32>,
}

/// An estimate of the memory that one replica needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VramView {
    /// All tensors.
    pub weights_bytes: u64,
    /// Keys and values of a full context, in 16 bits each.
    pub kv_bytes: u64,
    /// What an engine needs beside both.
    pub overhead_bytes: u64,
    /// Everything together.
    pub total_bytes: u64,
    /// The context that this is for, in tokens.
    pub ctx: u32,
}

/// A verification that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerificationView {
    /// What came of it.
    pub outcome: VerifyOutcome,
    /// Why it is not `pass`, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is not `pass`, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The digest that the file has, if it was read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What came of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyOutcome {
    /// The file is the one that it should be.
    Pass,
    /// Nothing speaks against it, but something is not known.
    Warn,
    /// The model is not used.
    Fail,
    /// It is not known yet.
    Running,
}

/// The answer to `POST /v2/catalog/models/{id}/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// What came of it; `running` when that takes longer than the call waits.
    pub outcome: VerifyOutcome,
    /// Why it is not `pass`, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is not `pass`, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far it is, while it waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<VerifyingView>,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyingView {
    /// Whether it waits or runs.
    pub state: VerifyingState,
    /// The bytes that were read, or fetched while the file is fetched.
    pub bytes_done: u64,
    /// The bytes that there are, as far as that is known.
    pub bytes_total: u64,
}

/// What a verification is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyingState {
    /// Another one is made first.
    Waiting,
    /// The file is fetched.
    Fetching,
    /// The file is read.
    Running,
}
