//! The records of the catalog: what a client declared of a model, and what the server learned of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    digest::Digest,
    header::ModelMeta,
    model_id::ModelId,
    model_ref::ModelRef,
    outcome::Verification,
    signature::{Signature, SignatureCheck},
    vram::{KvType, UnknownNeed, VramNeed},
};

const SIGNATURES_MAX: usize = 16;
const SIGNATURE_BYTES_MAX: usize = 16_384;
const KEY_ID_BYTES_MAX: usize = 128;
const SBOM_BYTES_MAX: usize = 1024;
const LABELS_MAX: usize = 32;
const LABEL_BYTES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 63;
const NAME_RULE: &str = "must be 1 to 63 visible characters";

/// What a client says of a model. Saying the same again changes nothing; saying something else is a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// What the catalog calls it.
    pub id: ModelId,
    /// Where it comes from.
    pub source: ModelRef,
    /// The digest that its file must have.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Signatures of its digest, kept as they were given.
    #[serde(default)]
    pub signatures: Vec<Signature>,
    /// Its bill of materials, kept as it was given.
    #[serde(default)]
    pub sbom: Option<Sbom>,
    /// The longest context that it may be used with, in tokens.
    #[serde(default)]
    pub ctx_max: Option<u32>,
    /// Whatever clients want to remember.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Where the bill of materials of a model is. Nobody reads it here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sbom {
    /// Its format, such as `spdx-json` or `cyclonedx-json`.
    pub format: String,
    /// The digest of its document.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Where its document is said to be.
    #[serde(default)]
    pub uri: Option<String>,
}

/// Whether a model is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// It may be placed.
    #[default]
    Active,
    /// It is placed no more: from now on, or from the deadline on where the caller keeps one.
    Retired {
        /// By when what still runs on it should have ended, in milliseconds since 1970.
        #[serde(default)]
        deadline_ms: Option<u64>,
    },
}

/// A model of the catalog.
//= ORCH-3037
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What a client said of it.
    #[serde(flatten)]
    pub declared: Declared,
    /// Whether it is in use.
    #[serde(default)]
    pub state: ModelState,
    /// The digest of its file, recorded by the first verification when no client gave one.
    #[serde(default)]
    pub recorded_digest: Option<Digest>,
    /// What is held of each signature, in the same order. It is worked out with the keys that the server
    /// trusts now, and never read from a record.
    #[serde(default, skip_deserializing)]
    pub signature_checks: Vec<SignatureCheck>,
    /// The bytes of its file.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// What its header tells.
    #[serde(default)]
    pub meta: Option<ModelMeta>,
    /// The last verification.
    #[serde(default)]
    pub verification: Option<Verification>,
}

/// Why a declaration cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`{field}` {rule}")]
pub struct MalformedDeclaration {
    /// The field at fault.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl Declared {
    /// A model of which nothing is said but where it comes from.
    pub fn new(id: ModelId, source: ModelRef) -> Self {
        let (digest, sbom, ctx_max) = (None, None, None);
        Self { id, source, digest, signatures: Vec::new(), sbom, ctx_max, labels: BTreeMap::new() }
    }

    /// Whether everything that a client may fill has a size to be kept.
    ///
    /// # Errors
    /// Names the first field that has not.
    pub fn check(&self) -> Result<(), MalformedDeclaration> {
        let unless =
            |fits, field, rule| if fits { Ok(()) } else { Err(MalformedDeclaration { field, rule }) };
        unless(self.signatures.len() <= SIGNATURES_MAX, "signatures", "must be 16 at most")?;
        unless(self.ctx_max != Some(0), "ctx_max", "must be above 0")?;
        unless(self.labels.len() <= LABELS_MAX, "labels", "must be 32 at most")?;
        for signature in &self.signatures {
            let kind = is_word(signature.kind.as_str(), NAME_BYTES_MAX);
            unless(kind, "signatures.kind", NAME_RULE)?;
            let key_id = signature.key_id.as_deref().is_none_or(|key_id| is_word(key_id, KEY_ID_BYTES_MAX));
            unless(key_id, "signatures.key_id", "must be 1 to 128 visible characters")?;
            let value = is_word(&signature.value, SIGNATURE_BYTES_MAX);
            unless(value, "signatures.value", "must be 1 to 16384 visible characters")?;
        }
        if let Some(sbom) = &self.sbom {
            unless(is_word(&sbom.format, NAME_BYTES_MAX), "sbom.format", NAME_RULE)?;
            unless(sbom.digest.is_some() || sbom.uri.is_some(), "sbom", "must have a `digest` or a `uri`")?;
            let uri = sbom.uri.as_deref().is_none_or(|uri| is_word(uri, SBOM_BYTES_MAX));
            unless(uri, "sbom.uri", "must be 1 to 1024 visible characters")?;
        }
        for (name, value) in &self.labels {
            unless(is_word(name, NAME_BYTES_MAX), "labels", "must have names of 1 to 63 visible characters")?;
            let fits = value.len() <= LABEL_BYTES_MAX && !value.chars().any(char::is_control);
            unless(fits, "labels", "must have values of 256 bytes at most, without control characters")?;
        }
        Ok(())
    }
}

/// Visible ASCII without spaces.
fn is_word(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Model {
    /// A model of which nothing is known but what a client said.
    pub fn new(declared: Declared) -> Self {
        let signature_checks = vec![SignatureCheck::Unchecked; declared.signatures.len()];
        Self {
            declared,
            state: ModelState::Active,
            recorded_digest: None,
            signature_checks,
            size_bytes: None,
            meta: None,
            verification: None,
        }
    }

    /// The digest that its file must have: the declared one, or else the recorded one.
    pub fn digest(&self) -> Option<Digest> {
        self.declared.digest.or(self.recorded_digest)
    }

    /// The longest context in tokens, as declared or else as its header tells.
    pub fn ctx_max(&self) -> Option<u32> {
        self.declared.ctx_max.or_else(|| self.meta.as_ref()?.ctx_max)
    }

    /// Whether a signature of its digest was found valid.
    pub fn is_signed(&self) -> bool {
        self.signature_checks.contains(&SignatureCheck::Valid)
    }

    /// What a replica with a context of `ctx` tokens needs, if its header was read.
    ///
    /// # Errors
    /// When its header was read and does not tell enough.
    pub fn vram_need(&self, ctx: u32, kv_type: KvType) -> Option<Result<VramNeed, UnknownNeed>> {
        self.meta.as_ref().map(|meta| VramNeed::estimate(meta, ctx, kv_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SignatureKind;

    fn declared() -> Declared {
        Declared::new("org/m".parse().unwrap(), "file:/srv/m.gguf".parse().unwrap())
    }

    fn signature() -> Signature {
        Signature { kind: "ed25519".to_owned().into(), key_id: None, value: "x".to_owned() }
    }

    fn sbom() -> Sbom {
        Sbom { format: "spdx-json".to_owned(), digest: None, uri: Some("https://a.example/sbom".to_owned()) }
    }

    fn labels(name: &str, value: &str) -> BTreeMap<String, String> {
        [(name.to_owned(), value.to_owned())].into()
    }

    //= ORCH-3037 type=test
    #[test]
    fn a_record_of_an_older_server_still_reads() {
        let oldest: Model = serde_json::from_str(r#"{"id":"org/m","source":"file:/srv/m.gguf"}"#).unwrap();
        assert_eq!(oldest, Model { signature_checks: Vec::new(), ..Model::new(declared()) });
        let newer = r#"{"id":"org/m","source":"file:/srv/m.gguf","state":{"retired":{"why":1}},"more":[2]}"#;
        let newer: Model = serde_json::from_str(newer).unwrap();
        assert_eq!(newer.state, ModelState::Retired { deadline_ms: None });
    }

    //= ORCH-3037 type=test
    #[test]
    fn a_whole_record_reads_back_except_for_what_is_held_of_its_signatures() {
        let digest = Some(Digest::new([1; 32]));
        let (signatures, labels) = (vec![signature()], labels("team", "search"));
        let declared = Declared { digest, signatures, sbom: Some(sbom()), labels, ..declared() };
        let model = Model {
            state: ModelState::Retired { deadline_ms: Some(7) },
            recorded_digest: digest,
            signature_checks: vec![SignatureCheck::Valid],
            size_bytes: Some(u64::MAX),
            ..Model::new(declared)
        };
        let json = serde_json::to_string(&model).unwrap();
        assert!(json.contains(r#""signature_checks":["valid"]"#), "{json}");
        let read: Model = serde_json::from_str(&json).unwrap();
        assert!(!read.is_signed());
        assert_eq!(read, Model { signature_checks: Vec::new(), ..model });
    }

    #[test]
    fn what_a_client_declares_has_bounds() {
        let many = |count: usize| (0..count).map(|index| (format!("l{index}"), String::new())).collect();
        for (declared, field) in [
            (Declared { signatures: vec![signature(); 17], ..declared() }, "signatures"),
            (Declared { ctx_max: Some(0), ..declared() }, "ctx_max"),
            (Declared { labels: many(33), ..declared() }, "labels"),
            (Declared { labels: labels("", "x"), ..declared() }, "labels"),
            (Declared { labels: labels("a b", "x"), ..declared() }, "labels"),
            (Declared { labels: labels("a", "x\ny"), ..declared() }, "labels"),
            (Declared { labels: labels("a", &"x".repeat(257)), ..declared() }, "labels"),
            (Declared { sbom: Some(Sbom { format: String::new(), ..sbom() }), ..declared() }, "sbom.format"),
            (Declared { sbom: Some(Sbom { uri: None, ..sbom() }), ..declared() }, "sbom"),
            (Declared { sbom: Some(Sbom { uri: Some(" ".to_owned()), ..sbom() }), ..declared() }, "sbom.uri"),
        ] {
            assert_eq!(declared.check().unwrap_err().field, field);
        }
        for (signature, field) in [
            (Signature { kind: SignatureKind::Other(String::new()), ..signature() }, "signatures.kind"),
            (Signature { key_id: Some(String::new()), ..signature() }, "signatures.key_id"),
            (Signature { value: "x".repeat(16_385), ..signature() }, "signatures.value"),
        ] {
            assert_eq!(
                Declared { signatures: vec![signature], ..declared() }.check().unwrap_err().field,
                field
            );
        }
        let signatures = vec![Signature { value: "x".repeat(16_384), ..signature() }; 16];
        let full =
            Declared { signatures, sbom: Some(sbom()), labels: many(32), ctx_max: Some(1), ..declared() };
        assert_eq!(full.check(), Ok(()));
    }
}
