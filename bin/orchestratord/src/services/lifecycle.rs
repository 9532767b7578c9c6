//! What operators do with pools: drain, reload, purge, and have one take work again.
//!
//! Whether an operation may begin, and which job runs where meanwhile, is decided by the scheduler, in the
//! same order of steps as everything else. Here is what takes time: waiting until nothing runs, telling the
//! nodes' agents, waiting for them, going back when one fails, and keeping enough of it in the store that
//! the next process goes on where this one was killed.

mod hands;
mod kept;
mod reload;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use narration_core::{Narration, PoolMoment, narrate};
use orchestrator_core::{Event, Operation, OperationKind as Kind, OperationRefusal, PoolId, Timestamp};
use parking_lot::Mutex;
use pool_registry_types::{DrainPool, OperationKind, OperationState, OperationView, PoolAnswer, PurgePool};
use tokio::sync::{oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::{hands::Hand, kept::SavedPool};
use super::{
    command::Refused,
    handle::SchedulerHandle,
    keeper::Keeper,
    models::{Models, Unfit},
    nodes::Nodes,
    pools::Pools,
    traces,
};
use crate::clock::Clock;

pub(crate) use self::kept::Unfinished;

/// How long what runs may go on when the request does not say.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);

/// What is needed to operate on pools.
pub(crate) struct LifecycleParts {
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) pools: Arc<Pools>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) models: Arc<Models>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) clock: Clock,
    pub(crate) tracker: TaskTracker,
    pub(crate) closing: CancellationToken,
}

/// Operates on pools.
pub(crate) struct Lifecycle {
    parts: LifecycleParts,
    current: Mutex<BTreeMap<PoolId, Current>>,
    next_id: AtomicU64,
}

/// The last operation of a pool, also while it is under way.
struct Current {
    view: watch::Sender<OperationView>,
    /// Ends what waits for a drain.
    given_up: CancellationToken,
}

/// Why an operation did not come to its end, or not begin.
#[derive(Debug)]
pub(crate) enum LifecycleError {
    UnknownPool,
    Busy(OperationKind),
    Running(u32),
    /// Nobody is there who could do it: the engine was attached by the operator.
    NotManaged,
    /// It was tried, and what there was before is there again.
    Failed(String),
    Model(Unfit),
    Storage,
    Overloaded,
}

impl From<Refused> for LifecycleError {
    fn from(_: Refused) -> Self {
        Self::Overloaded
    }
}

impl From<OperationRefusal> for LifecycleError {
    fn from(refusal: OperationRefusal) -> Self {
        match refusal {
            OperationRefusal::UnknownPool => Self::UnknownPool,
            OperationRefusal::Busy(kind) => Self::Busy(wire(kind)),
            OperationRefusal::Running(count) => Self::Running(count),
        }
    }
}

const fn wire(kind: Kind) -> OperationKind {
    match kind {
        Kind::Drain => OperationKind::Drain,
        Kind::Reload => OperationKind::Reload,
        Kind::Purge => OperationKind::Purge,
    }
}

impl Lifecycle {
    pub(crate) fn new(parts: LifecycleParts) -> Self {
        Self { parts, current: Mutex::default(), next_id: AtomicU64::new(1) }
    }

    /// The last operation of a pool.
    pub(crate) fn last(&self, pool: &PoolId) -> Option<OperationView> {
        self.current.lock().get(pool).map(|current| current.view.borrow().clone())
    }

    /// Has a pool take nothing new from now on, and ends by the deadline what it still runs.
    //= ORCH-2101
    pub(crate) async fn drain(
        self: &Arc<Self>,
        pool: PoolId,
        wanted: &DrainPool,
    ) -> Result<PoolAnswer, LifecycleError> {
        let deadline = self.parts.clock.now() + Duration::from_millis(wanted.deadline_ms);
        let emptied = self.begin(&pool, Kind::Drain, Some(deadline)).await?;
        self.keep_closed(&pool).await?;
        narrate!(Narration::pool_drains(Duration::from_millis(wanted.deadline_ms)),
            target: "orchestratord::lifecycle", pool_id = %pool, deadline_ms = wanted.deadline_ms, "pool drains");
        let (answer, given_up) = self.started(&pool, OperationKind::Drain, None);
        let (lifecycle, wanted) = (Arc::clone(self), wanted.clone());
        self.spawn(async move {
            for hand in lifecycle.hands(&pool).await {
                hand.drain(&wanted).await;
            }
            // One that was given up has been settled by whoever gave it up.
            if given_up.run_until_cancelled(emptied).await.is_some() {
                narrate!(Narration::pool(PoolMoment::Drained), target: "orchestratord::lifecycle", pool_id = %pool, "pool is drained");
                lifecycle.ended(&pool, Ok(()));
            }
        });
        Ok(answer)
    }

    /// Stops a pool's engines and removes what they left on their nodes.
    //= ORCH-2104
    pub(crate) async fn purge(
        self: &Arc<Self>,
        pool: PoolId,
        wanted: PurgePool,
    ) -> Result<PoolAnswer, LifecycleError> {
        let hands = self.hands(&pool).await;
        if hands.iter().any(Hand::is_nobody) {
            return Err(LifecycleError::NotManaged);
        }
        let now = self.parts.clock.now();
        let patience = wanted.deadline_ms.map_or(DEADLINE_DEFAULT, Duration::from_millis);
        let deadline = match (wanted.drain_first, wanted.force) {
            (true, _) => Some(now + patience),
            (false, true) => Some(now),
            (false, false) => None,
        };
        let emptied = self.begin(&pool, Kind::Purge, deadline).await?;
        self.keep_closed(&pool).await?;
        narrate!(Narration::pool(PoolMoment::Purged), target: "orchestratord::lifecycle", pool_id = %pool, "pool is purged");
        let (answer, _) = self.started(&pool, OperationKind::Purge, None);
        let lifecycle = Arc::clone(self);
        self.spawn(async move {
            emptied.await.ok();
            let mut outcome = Ok(());
            for hand in hands {
                outcome = outcome.and(hand.purge(&wanted).await);
            }
            lifecycle.ended(&pool, outcome);
        });
        Ok(answer)
    }

    /// Has a pool take work again that was drained or purged.
    pub(crate) async fn resume(self: &Arc<Self>, pool: PoolId) -> Result<(), LifecycleError> {
        let hands = self.hands(&pool).await;
        if hands.is_empty() {
            return Err(LifecycleError::UnknownPool);
        }
        if let Some(busy) = self.under_way(&pool) {
            if busy != OperationKind::Drain {
                return Err(LifecycleError::Busy(busy));
            }
            self.give_up(&pool);
        }
        if !self.keep(&pool, &SavedPool::default()).await {
            return Err(LifecycleError::Storage);
        }
        for hand in hands {
            hand.resume().await;
        }
        self.tell_open(&pool);
        narrate!(Narration::pool(PoolMoment::Resumes), target: "orchestratord::lifecycle", pool_id = %pool, "pool takes work again");
        Ok(())
    }

    fn under_way(&self, pool: &PoolId) -> Option<OperationKind> {
        let view = self.last(pool)?;
        (view.state == OperationState::Running).then_some(view.operation)
    }

    fn give_up(&self, pool: &PoolId) {
        if let Some(current) = self.current.lock().get(pool) {
            current.given_up.cancel();
        }
        self.ended(pool, Err("it was given up: the pool takes work again".to_owned()));
    }

    async fn begin(
        &self,
        pool: &PoolId,
        kind: Kind,
        deadline: Option<Timestamp>,
    ) -> Result<oneshot::Receiver<()>, LifecycleError> {
        let operation = Operation { kind, deadline };
        Ok(self.parts.scheduler.begin(pool.clone(), operation).await??)
    }

    /// Keeps that a pool is closed, so that it does not come back with the next process; opens it again when that
    /// cannot be kept.
    async fn keep_closed(&self, pool: &PoolId) -> Result<(), LifecycleError> {
        if self.keep(pool, &SavedPool::closed()).await {
            return Ok(());
        }
        self.tell_open(pool);
        self.settle(pool);
        Err(LifecycleError::Storage)
    }

    /// Notes an operation that has begun.
    fn started(
        &self,
        pool: &PoolId,
        operation: OperationKind,
        new_model_ref: Option<String>,
    ) -> (PoolAnswer, CancellationToken) {
        let view = OperationView {
            operation,
            state: OperationState::Running,
            operation_id: self.next_id.fetch_add(1, Ordering::Relaxed),
            new_model_ref,
            error: None,
        };
        let given_up = CancellationToken::new();
        let current = Current { view: watch::Sender::new(view.clone()), given_up: given_up.clone() };
        if let Some(before) = self.current.lock().insert(pool.clone(), current) {
            // A drain that is asked for again goes on under the new number.
            before.given_up.cancel();
        }
        (PoolAnswer { pool_id: pool.to_string(), operation: view }, given_up)
    }

    /// An operation is over; another may begin.
    fn ended(&self, pool: &PoolId, outcome: Result<(), String>) {
        self.settle(pool);
        let current = self.current.lock();
        let Some(current) = current.get(pool) else { return };
        current.view.send_modify(|view| {
            if let Err(error) = &outcome {
                warn!(target: "orchestratord::lifecycle", pool_id = %pool, operation = view.operation.as_str(), error,
                    "operation failed");
            }
            view.state = if outcome.is_ok() { OperationState::Succeeded } else { OperationState::Failed };
            view.error = outcome.err();
        });
    }

    fn settle(&self, pool: &PoolId) {
        self.parts.scheduler.tell(Event::Settle { pool: pool.clone() });
    }

    fn tell_open(&self, pool: &PoolId) {
        self.parts.scheduler.tell(Event::Open { pool: pool.clone(), replica: None });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let closing = self.parts.closing.clone();
        let work = traces::on_behalf(traces::operation(), work);
        self.parts.tracker.spawn(async move {
            // What is cut off here goes on after the next start.
            closing.run_until_cancelled(work).await;
        });
    }
}
