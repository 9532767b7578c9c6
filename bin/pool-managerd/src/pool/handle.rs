//! What the rest of the agent knows of its pools.

use std::sync::Arc;

use pool_registry_types::{PoolAnswer, PoolReport, PoolStatus};
use tokio::sync::{mpsc, oneshot, watch};
use trace_export::TraceContext;

use super::{Home, Input, Refusal, Wish};
use crate::gpu::{self, Reading};

/// One pool, seen from outside of its task.
#[derive(Debug, Clone)]
pub(crate) struct PoolHandle {
    id: Arc<str>,
    inbox: mpsc::Sender<Input>,
    view: watch::Receiver<PoolStatus>,
    readings: watch::Receiver<Arc<Vec<Reading>>>,
    devices: Option<String>,
}

impl PoolHandle {
    pub(super) fn new(
        id: Arc<str>,
        inbox: mpsc::Sender<Input>,
        view: watch::Receiver<PoolStatus>,
        home: &Home,
        devices: Option<String>,
    ) -> Self {
        Self { id, inbox, view, readings: home.readings.clone(), devices }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// How it is now, the memory of its devices included.
    pub(crate) fn status(&self) -> PoolStatus {
        let mut status = self.view.borrow().clone();
        let share = gpu::share(&self.readings.borrow(), self.devices.as_deref());
        status.report.pool_id = self.id.to_string();
        status.report.vram_free_bytes = share.free_bytes;
        status.report.vram_total_bytes = share.total_bytes;
        status.report.gpu_utilization = share.utilization;
        status
    }

    /// Asks for something on behalf of this place in a trace; `None` when the pool has ended.
    pub(crate) async fn ask(
        &self,
        wish: Wish,
        from: Option<TraceContext>,
    ) -> Option<Result<PoolAnswer, Refusal>> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Input::Order { wish, from, reply }).await.ok()?;
        answer.await.ok()
    }
}

/// All pools of the node.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    all: Arc<[PoolHandle]>,
    changes: watch::Receiver<u64>,
}

impl Pools {
    pub(crate) fn new(all: Vec<PoolHandle>, changes: watch::Receiver<u64>) -> Self {
        Self { all: all.into(), changes }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&PoolHandle> {
        self.all.iter().find(|pool| pool.id() == id)
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.all.iter().map(|pool| pool.id().to_owned()).collect()
    }

    pub(crate) fn reports(&self) -> Vec<PoolReport> {
        self.all.iter().map(|pool| pool.status().report).collect()
    }

    /// Follows what the control plane should know at once.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}
