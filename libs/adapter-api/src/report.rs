//! What an adapter says of its engine.

use crate::Workload;

/// What a kind of engine can do, known without asking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The engine's name in requests, labels and configuration.
    pub engine: &'static str,
    /// The kinds of work that its adapter can hand to it.
    pub workloads: &'static [Workload],
    /// Whether the same seed, parameters and version give the same tokens.
    pub deterministic: bool,
    /// What an answer that broke off elsewhere can be gone on with.
    pub goes_on_with: GoesOnWith,
}

/// Behind which inputs [`crate::Generate::so_far`] can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoesOnWith {
    /// Behind text alone.
    Text,
    /// Behind text, and as the model's own begun turn behind a conversation.
    TextAndChat,
}

/// What an engine answered when it was asked how it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineReport {
    /// The engine's version, as it names itself.
    pub version: Option<String>,
    /// Every name by which a request may call the loaded model: id, alias, path, file name.
    pub models: Vec<String>,
    /// The kinds of work that it does, where it tells; else those of [`Capabilities::workloads`].
    pub workloads: Option<Vec<Workload>>,
    /// How many streams it serves at once.
    pub slots_total: Option<u32>,
    /// How many of those are busy now, whoever uses them.
    pub slots_busy: Option<u32>,
    /// Tokens of context that one stream has.
    pub ctx_max: Option<u32>,
    /// Free GPU memory, where the engine tells it.
    pub vram_free_bytes: Option<u64>,
    /// How full its cache of keys and values is, in thousandths, where it tells; of several the fullest.
    pub kv_cache_per_mille: Option<u16>,
}
