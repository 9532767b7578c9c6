//! How models are called, where they come from, and what is known and trusted of them.
#![warn(missing_docs)]

mod address;
mod digest;
mod header;
mod model_id;
mod model_ref;
mod outbound;
mod roots;
mod vram;

pub use address::is_public_address;
pub use digest::{Digest, MalformedDigest};
pub use header::{HEADER_BYTES_MAX, ModelFormat, ModelMeta, TypeShare, UnreadableHeader, read_header};
pub use model_id::{MODEL_ID_BYTES_MAX, MalformedModelId, ModelId};
pub use model_ref::{MODEL_REF_BYTES_MAX, MalformedModelRef, ModelRef, ModelSource};
pub use outbound::{AllowedHost, MalformedHost, OciReference, OutboundPolicy, Refused, Remote};
pub use roots::{CannotOpen, FileFacts, ModelFile, ROOTS_MAX, Roots, UnusableRoot};
pub use vram::{COMPUTE_OVERHEAD_BYTES, KvType, UnknownNeed, VramNeed};
