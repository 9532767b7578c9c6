//! Artifacts: what jobs leave behind, found by the digest of its content.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v2/artifacts`. Exactly one of `content` and `content_base64` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"kind": "summary", "content": "It went well.", "media_type": "text/plain"}))]
pub struct CreateArtifact {
    /// What it is for: `plan`, `summary`, `diff`, `trace`, `transcript`, `logs` or `other`.
    #[schema(pattern = "^(plan|summary|diff|trace|transcript|logs|other)$")]
    pub kind: String,
    /// Its content, when that is text.
    #[serde(default)]
    pub content: Option<String>,
    /// Its content, when that is any bytes, in base64.
    #[serde(default)]
    #[schema(pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]
    pub content_base64: Option<String>,
    /// What kind of bytes it holds, such as `text/plain`.
    #[serde(default)]
    #[schema(max_length = 127, pattern = "^[!-.0-:<-~]+/[!-.0-:<-~]+( *;([ -~]*[!-~])?)?$")]
    pub media_type: Option<String>,
    /// What people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub name: Option<String>,
    /// The job that it came from.
    #[serde(default)]
    #[schema(format = "uuid")]
    pub job_id: Option<String>,
}

/// The answer to `POST /v2/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactCreated {
    /// `sha256:` and the digest of its content.
    pub id: String,
    /// What it is for. When the content was there already, what was said first stands.
    pub kind: String,
    /// The bytes of its content.
    pub bytes: u64,
    /// When it was last stored, in RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// A list of artifacts, the latest first, without their content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactList {
    /// The artifacts.
    pub artifacts: Vec<ArtifactView>,
}

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    /// `sha256:` and the digest of its content.
    pub id: String,
    /// What it is for.
    pub kind: String,
    /// What kind of bytes it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was last stored, in RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The bytes of its content.
    pub bytes: u64,
    /// The jobs that it came from, the latest last.
    pub jobs: Vec<String>,
    /// Its content, when that is text. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Its content in base64, when it is no text. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
}
