//! The client-facing wire, and nothing else: what clients send and what they get.
//!
//! These types decide nothing and know no other crate but the one that nodes speak. The server translates between them and its own
//! nouns in one place, so that neither side can bend the other by accident. Fields follow the public
//! contract; a request may carry unknown fields, which are ignored.
#![warn(missing_docs)]

mod artifacts;
mod errors;
mod events;
mod explain;
mod models;
mod nodes;
mod openai;
mod pools;
mod raw;
mod sessions;
mod tasks;

pub use artifacts::{ArtifactCreated, ArtifactList, ArtifactView, CreateArtifact};
pub use errors::{ErrorBody, ErrorCode, misfit};
pub use events::{
    EndEvent, ErrorEvent, FinishReason, MetricsEvent, RankedInput, Recovery, RecoveryMode, StartedEvent,
    TokenEvent, VerboseMetricsEvent,
};
pub use explain::{CandidateView, ChoiceView, ExplainView, StartView};
pub use models::{
    ModelHeader, ModelPage, ModelSbom, ModelSignature, ModelState, ModelView, RegisterModel, SetModelState,
    VerificationView, VerifyOutcome, VerifyView, VerifyingState, VerifyingView, VramView,
};
pub use nodes::{AvailabilityView, AvailableModel, AvailableNode, NodeList, NodeState, NodeView};
pub use openai::{OpenAiError, OpenAiErrorBody, OpenAiModel, OpenAiModels};
pub use pools::{
    CapabilitiesView, EngineView, PoolHealth, PoolList, PoolMetrics, PoolView, ReplicaView, VersionView,
};
pub use raw::RawJson;
pub use sessions::SessionView;
pub use tasks::{
    Admission, BudgetLimits, ChatMessage, ChatRole, CreateTask, Determinism, Durability, Engine, ExpiredBody,
    KvHint, OnDisconnect, OnEngineLoss, OutputMode, Placement, PlacementMode, PlacementView, Preparation,
    Priority, Stop, Streams, TaskPage, TaskState, TaskView, UsageView, Workload,
};

/// The version of the public API.
pub const API_VERSION: &str = "2.0.0";
