//! What a store keeps, and how its things are called.

use std::sync::Arc;

/// Bytes that come back as they went in.
pub type Body = bytes::Bytes;

/// A job's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub u128);

/// What kind of thing a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// Sessions and what is left of their budgets.
    Sessions,
    /// The models of the catalog.
    Models,
    /// Pools that an operator has drained, reloaded or purged.
    Pools,
    /// Nodes that have registered.
    Nodes,
}

/// A record's place: nothing but the name tells two records of a shelf apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// What kind of thing it is about.
    pub shelf: Shelf,
    /// Which one.
    pub name: Arc<str>,
}

/// A process that takes jobs in: another one after each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u128);

/// Tells the writes of a job's owner from those of an earlier one. It only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl Fence {
    /// That of a job which its owner took in itself.
    pub const FIRST: Self = Self(1);
}

/// A job's place in the order of acceptance. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u64);

/// A moment of the wall clock, in milliseconds of Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallMillis(pub u64);

/// Frames of a job's stream that were kept together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The id of its first event.
    pub first_id: u32,
    /// How many events it holds.
    pub events: u32,
    /// The frames as readers get them.
    pub frames: Body,
}

/// A job as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Its id.
    pub key: JobKey,
    /// Its place in the order of acceptance.
    pub rank: Rank,
    /// Under which its owner writes.
    pub fence: Fence,
    /// Readers may have seen events with ids below this.
    pub ids_reserved: u32,
    /// When it ended; `None` while it lives.
    pub ended: Option<WallMillis>,
    /// What was asked for; after its end, what became of it.
    pub body: Body,
    /// The newest note on how far it is, while it lives.
    pub note: Option<Body>,
}

/// A thing other than a job, as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its name on its shelf.
    pub name: Arc<str>,
    /// What is known of it.
    pub body: Body,
}
