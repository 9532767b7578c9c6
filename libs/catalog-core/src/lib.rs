//! How models are called, where they come from, and what is known and trusted of them.
//!
//! A client may name a model as an engine does, or by where it lies. Both are the same model, so a
//! [`ModelRef`] knows the name that engines use, and comparing models is comparing those names. The
//! [`Catalog`] keeps what clients registered under a [`ModelId`], and what verifying its file found.
//!
//! Invariant: no file is opened but a regular one below the configured [`Roots`], and no link is followed.
//! Invariant: nothing is fetched but what [`OutboundPolicy`] lets through; the fetching is for others.
//! Invariant: a model that is retired or failed its last verification is placeable under no policy.
//! It knows no clock, no runtime and no network: it blocks while it reads, and times are told to it.
#![warn(missing_docs)]

mod address;
mod catalog;
mod digest;
mod header;
mod model;
mod model_id;
mod model_ref;
mod outbound;
mod outcome;
mod roots;
mod signature;
mod trust;
mod verify;
mod vram;

pub use address::is_public_address;
pub use catalog::{
    CannotRecord, CannotRegister, Catalog, CatalogSettings, MODELS_MAX, PAGE_MAX, Page, Registered,
    UnknownModel,
};
pub use digest::{Digest, MalformedDigest};
pub use header::{HEADER_BYTES_MAX, ModelFormat, ModelMeta, TypeShare, UnreadableHeader, read_header};
pub use model::{Declared, MalformedDeclaration, Model, ModelState, Sbom};
pub use model_id::{MODEL_ID_BYTES_MAX, MalformedModelId, ModelId};
pub use model_ref::{MODEL_REF_BYTES_MAX, MalformedModelRef, ModelRef, ModelSource};
pub use outbound::{AllowedHost, MalformedHost, OciReference, OutboundPolicy, Refused, Remote};
pub use outcome::{FailReason, Outcome, Verification, WarnReason};
pub use roots::{CannotOpen, FileFacts, ModelFile, ROOTS_MAX, Roots, UnusableRoot};
pub use signature::{Signature, SignatureCheck, SignatureKind, TRUSTED_KEYS_MAX, TrustedKeys, UnusableKey};
pub use trust::{TrustPolicy, Untrusted, placeable};
pub use verify::{CHUNK_BYTES, Canceled, Progress, Verified, verify};
pub use vram::{COMPUTE_OVERHEAD_BYTES, KvType, UnknownNeed, VramNeed};
