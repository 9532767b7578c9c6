//! Typed configuration: every setting, its name, default, range and meaning.
//!
//! One table per program, [`SETTINGS`] for the server, is the source of the flags, the environment names, the keys of the file, the
//! defaults and the help, so that they cannot drift apart. [`Schema::resolve`] lays the layers over
//! each other (flags over environment over file over default), reports every fault at once, and says
//! for each where it was written and what was probably meant.
//!
//! Invariant: a [`Config`] exists only when every given value, overridden ones included, was valid.
//! Invariant: no secret appears in `Debug`, in `Display` or in a [`Fault`].
//! It reads no file and no environment: the caller hands in what is there, and a way to open files.
#![warn(missing_docs)]

mod config;
mod draft;
mod fault;
mod file;
mod form;
mod hosts;
mod kind;
mod layers;
mod manager;
mod pool;
mod schema;
mod secret;
mod setting;
mod suggest;
mod table;
mod traces;
mod value;

pub use config::{
    AdmissionConfig, ArtifactsConfig, AuthConfig, CatalogConfig, Config, EngineConfig, JobsConfig, Limits,
    LogConfig, NodesConfig, PoolConfig, SessionsConfig, StoreConfig, TlsConfig,
};
pub use fault::{Fault, Source};
pub use form::{Form, Key, Presence, Rule, Text, Unit};
pub use hosts::HostRule;
pub use kind::{
    AdmissionPolicy, EngineKind, ExtraFields, GpuPolicy, LogFormat, LoopbackRule, OnDamage, Outbound,
    PlacementKind, ProxyTrust, StoreKind, TraceSampler, Transcripts, TrustRule, UnknownWord, WarmUp,
};
pub use layers::Layers;
pub use manager::{
    ContainerConfig, EnginePool, ManagerConfig, NodeTls, PackageConfig, Provisioning, SourceConfig,
};
pub use schema::Schema;
pub use secret::{Secret, TOKENS_MAX};
pub use setting::{Preset, Reach, Setting};
pub use table::SETTINGS;
pub use traces::TracesConfig;
