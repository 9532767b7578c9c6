//! What handlers can reach: a few cheap handles, and each handler names the one that it uses.

use std::{ops::Deref, sync::Arc};

use auth_min::{Authorities, LoopbackPolicy};
use axum::extract::FromRef;
use config_schema::{ExtraFields, Limits};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    gate::{Failures, NodeCertificates},
    metrics::Metrics,
    services::{Admission, Artifacts, Fleet, Jobs, Keeper, Models, Readers, SchedulerHandle},
};

/// The handles, shared: each layer and each handler of a request takes a copy.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Handles>);

impl AppState {
    pub(crate) fn new(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

impl Deref for AppState {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

/// What there is to reach.
pub(crate) struct Handles {
    pub(crate) admission: Arc<Admission>,
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) fleet: Fleet,
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
                state.$field.clone()
            }
        })+
    };
}

handle! {
    admission: Arc<Admission>,
    scheduler: SchedulerHandle,
    jobs: Arc<Jobs>,
    fleet: Fleet,
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
