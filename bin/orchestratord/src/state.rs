//! What handlers can reach: a few cheap handles, and each handler names the one that it uses.

use std::sync::Arc;

use auth_min::{Authorities, LoopbackPolicy};
use axum::extract::FromRef;
use config_schema::{ExtraFields, Limits};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    gate::{Failures, NodeCertificates},
    metrics::Metrics,
    services::{Admission, Artifacts, Jobs, Keeper, Models, Pools, Readers, SchedulerHandle},
};

/// The handles.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) admission: Admission,
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) readers: Readers,
    pub(crate) gate: Arc<GateRules>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) artifacts: Arc<Artifacts>,
}

macro_rules! handle {
    ($($field:ident: $handle:ty,)+) => {
        $(impl FromRef<AppState> for $handle {
            fn from_ref(state: &AppState) -> Self {
                AppState::clone(state).$field
            }
        })+
    };
}

handle! {
    admission: Admission,
    scheduler: SchedulerHandle,
    jobs: Arc<Jobs>,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
    clock: Clock,
    readers: Readers,
    gate: Arc<GateRules>,
    keeper: Arc<Keeper>,
    artifacts: Arc<Artifacts>,
}

impl FromRef<AppState> for Arc<Models> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.admission.models)
    }
}

/// What the gate checks by.
pub(crate) struct GateRules {
    pub(crate) limits: Limits,
    pub(crate) authorities: Authorities,
    pub(crate) loopback: LoopbackPolicy,
    pub(crate) node_certificates: NodeCertificates,
    /// Who presented wrong tokens lately.
    pub(crate) failures: Failures,
    /// What becomes of fields that are unknown here but perhaps not to an engine.
    pub(crate) extra_fields: ExtraFields,
    /// Set when the server goes down.
    pub(crate) closing: CancellationToken,
}
