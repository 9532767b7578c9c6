//! What jobs leave behind, on disk, found by the digest of its content.
//!
//! An artifact is named by the SHA-256 of its content, so the same content is stored once, a name never
//! changes its meaning, and whoever reads can prove that the disk gave back what it was given. One file
//! holds one artifact together with what is known of it; there is no index on disk that could disagree.
//!
//! Invariant: content is answered only when its digest is the name it was asked by.
//! Invariant: after a crash each artifact is there whole, as before or as after, or not at all.
//! Invariant: no path is built from anything but a digest.
#![warn(missing_docs)]

mod error;
mod folder;
mod format;
mod id;
mod index;
mod meta;
mod open;
mod place;
mod store;

pub use error::{ArtifactError, Damage, LimitName};
pub use id::{ArtifactId, MalformedArtifactId};
pub use meta::{
    Flush, Kind, Labels, MalformedLabel, MediaType, Meta, Name, NewArtifact, UnknownKind, WallMillis,
};
pub use open::{DamagedFile, OpenReport};
pub use store::{Artifact, ArtifactStore, Collected, Filter, Limits, Stored};
