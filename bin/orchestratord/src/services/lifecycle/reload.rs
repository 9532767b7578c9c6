//! Another model for a pool, replica by replica, so that the others serve on; all of them, or none.

use std::{sync::Arc, time::Duration};

use narration_core::{Narration, PoolMoment, narrate};
use orchestrator_core::{Event, OperationKind as Kind, PoolId};
use pool_registry_types::{OperationKind, OperationState, PoolAnswer, ReloadPool};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{
    DEADLINE_DEFAULT, Lifecycle, LifecycleError,
    hands::Hand,
    kept::{Done, Heading, Intake, SavedPool, SavedReload},
};

/// How long an answer waits for the outcome when the request does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// How long a replica may take to be seen after its node has said that it is done.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
/// How long nodes of an unfinished reload may take to come back.
const BACK_WITHIN: Duration = Duration::from_mins(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

impl Lifecycle {
    /// Has a pool serve another model. When it answers `Failed`, the one that it had serves on.
    //= ORCH-2102
    pub(crate) async fn reload(
        self: &Arc<Self>,
        pool: PoolId,
        mut wanted: ReloadPool,
    ) -> Result<PoolAnswer, LifecycleError> {
        self.resolve(&mut wanted)?;
        if self.hands(&pool).await.iter().any(Hand::is_nobody) {
            return Err(LifecycleError::NotManaged);
        }
        let intake = self.intake(&pool).await?;
        drop(self.begin(&pool, Kind::Reload, None).await?);
        let saved = SavedPool::reloading(intake, saved(&wanted));
        if !self.keep(&pool, &saved).await {
            self.settle(&pool);
            return Err(LifecycleError::Storage);
        }
        narrate!(Narration::pool(PoolMoment::Reloads), target: "orchestratord::lifecycle", pool_id = %pool,
            new_model_ref = wanted.new_model_ref, "pool reloads");
        let (mut answer, _) = self.started(&pool, OperationKind::Reload, Some(wanted.new_model_ref.clone()));
        let patience = wanted.wait_ms.map_or(WAIT_DEFAULT, Duration::from_millis);
        let view = self.current.lock().get(&pool).map(|current| current.view.subscribe());
        let (lifecycle, name) = (Arc::clone(self), pool.clone());
        self.spawn(async move {
            let outcome = lifecycle.change_all(&name, &wanted, saved).await;
            lifecycle.ended(&name, outcome);
        });
        if let Some(mut view) = view {
            let over = view.wait_for(|view| view.state != OperationState::Running);
            // Nobody has to wait for a large model; how far it is stands in the pool's health.
            drop(timeout(patience, over).await);
        }
        if let Some(view) = self.last(&pool) {
            if view.state == OperationState::Failed {
                return Err(LifecycleError::Failed(view.error.unwrap_or_default()));
            }
            answer.operation = view;
        }
        Ok(answer)
    }

    /// A model of the catalog is told to nodes by where its file is, and by its digest.
    fn resolve(&self, wanted: &mut ReloadPool) -> Result<(), LifecycleError> {
        let models = &self.parts.models;
        models.check(&wanted.new_model_ref).map_err(LifecycleError::Model)?;
        if let Some((source, digest)) = models.source_of(&wanted.new_model_ref) {
            wanted.new_model_ref = source;
            wanted.model_digest = wanted.model_digest.take().or(digest);
        }
        Ok(())
    }

    async fn intake(&self, pool: &PoolId) -> Result<Intake, LifecycleError> {
        let pools = self.parts.scheduler.pools().await?;
        let found = pools.iter().find(|it| it.pool == *pool).ok_or(LifecycleError::UnknownPool)?;
        Ok(if found.closed.is_some() { Intake::Closed } else { Intake::Open })
    }

    /// Changes one replica after the other. When one fails, those before it go back.
    async fn change_all(
        &self,
        pool: &PoolId,
        wanted: &ReloadPool,
        mut saved: SavedPool,
    ) -> Result<(), String> {
        // What an earlier process has changed had another model before than it has now.
        let mut done = saved.reload.as_ref().map(|reload| reload.done.clone()).unwrap_or_default();
        for hand in self.hands(pool).await {
            let replica = hand.key.1.to_string();
            let old_model = hand.model().await;
            match self.change(&hand, wanted).await {
                Ok(()) => {
                    if !done.iter().any(|done| done.replica == replica) {
                        done.push(Done { replica, old_model });
                    }
                    self.note(pool, &mut saved, &done, Heading::Forward).await;
                }
                Err(error) => {
                    self.note(pool, &mut saved, &done, Heading::Back).await;
                    self.go_back(pool, &done).await;
                    self.finish(pool, saved.intake).await;
                    return Err(format!("{}: {error}", hand.key.1));
                }
            }
        }
        self.finish(pool, Intake::Open).await;
        Ok(())
    }

    async fn note(&self, pool: &PoolId, saved: &mut SavedPool, done: &[Done], heading: Heading) {
        if let Some(reload) = &mut saved.reload {
            reload.done = done.to_vec();
            reload.heading = heading;
        }
        if !self.keep(pool, saved).await {
            warn!(target: "orchestratord::lifecycle", pool_id = %pool, "how far the reload is could not be stored");
        }
    }

    /// A pool that got a model serves it, also when it was drained before.
    async fn finish(&self, pool: &PoolId, intake: Intake) {
        let saved = SavedPool::at_rest(intake);
        if !self.keep(pool, &saved).await {
            warn!(target: "orchestratord::lifecycle", pool_id = %pool, "the end of the reload could not be stored");
        }
        if intake == Intake::Open {
            self.tell_open(pool);
        }
    }

    // N11
    async fn go_back(&self, pool: &PoolId, done: &[Done]) {
        for hand in self.hands(pool).await {
            let before = done.iter().find(|done| done.replica == hand.key.1.as_str());
            let Some(old_model) = before.and_then(|done| done.old_model.clone()) else { continue };
            let back =
                ReloadPool { new_model_ref: old_model, model_digest: None, deadline_ms: None, wait_ms: None };
            if let Err(error) = self.change(&hand, &back).await {
                let replica_id = &hand.key.1;
                warn!(target: "orchestratord::lifecycle", pool_id = %pool, %replica_id, error, "the replica cannot go back");
            }
        }
    }

    /// Changes one replica: empty, then another model, then open, whichever model it has by then.
    async fn change(&self, hand: &Hand, wanted: &ReloadPool) -> Result<(), String> {
        let (pool, replica) = hand.key.clone();
        let patience = wanted.deadline_ms.map_or(DEADLINE_DEFAULT, Duration::from_millis);
        let deadline = self.parts.clock.now() + patience;
        let emptied = self.parts.scheduler.close((pool.clone(), Some(replica.clone())), deadline).await;
        let emptied = emptied.map_err(|_full| "the scheduler has too much to do".to_owned())?;
        // It is empty by the deadline, when what still runs is stopped.
        emptied.await.ok();
        let outcome = hand.reload(wanted).await;
        // What was known of its model may be wrong now, so nothing of it is believed until it is seen again.
        self.parts.pools.distrust(&hand.key);
        self.parts.nodes.ask_again(&hand.key).await;
        let seen = self.until_seen(hand).await;
        info!(target: "orchestratord::lifecycle", pool_id = %pool, replica_id = %replica, model = wanted.new_model_ref,
            changed = outcome.is_ok(), "replica is open again");
        self.parts.scheduler.tell(Event::Open { pool, replica: Some(replica) });
        outcome.and(seen)
    }

    /// Waits until the engine of a replica has answered to us.
    async fn until_seen(&self, hand: &Hand) -> Result<(), String> {
        let until = Instant::now() + SEEN_WITHIN;
        while !self.parts.pools.is_ready(&hand.key) {
            if Instant::now() > until {
                return Err("the engine does not answer the control plane".to_owned());
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Goes on with what an earlier process had begun.
    pub(super) async fn reload_again(self: Arc<Self>, pool: PoolId, saved: SavedPool, reload: SavedReload) {
        info!(target: "orchestratord::lifecycle", pool_id = %pool, new_model_ref = reload.new_model_ref,
            heading = ?reload.heading, "a reload of an earlier process goes on");
        let until = Instant::now() + BACK_WITHIN;
        let back = || {
            let replicas = self.parts.pools.replicas_of(&pool);
            !replicas.is_empty() && replicas.iter().all(|key| self.parts.nodes.is_online(key))
        };
        while !back() && Instant::now() < until {
            sleep(LOOK_INTERVAL).await;
        }
        if self.begin(&pool, Kind::Reload, None).await.is_err() {
            warn!(target: "orchestratord::lifecycle", pool_id = %pool, "the reload could not go on");
            return;
        }
        self.started(&pool, OperationKind::Reload, Some(reload.new_model_ref.clone()));
        let outcome = if reload.heading == Heading::Back {
            self.go_back(&pool, &reload.done).await;
            self.finish(&pool, saved.intake).await;
            Err("the server was stopped while the pool went back to its model; it has done so now".to_owned())
        } else {
            // A replica that has the model already changes to what it has.
            let wanted = ReloadPool {
                new_model_ref: reload.new_model_ref,
                model_digest: reload.model_digest,
                deadline_ms: None,
                wait_ms: None,
            };
            self.change_all(&pool, &wanted, saved).await
        };
        self.ended(&pool, outcome);
    }
}

fn saved(wanted: &ReloadPool) -> SavedReload {
    SavedReload {
        new_model_ref: wanted.new_model_ref.clone(),
        model_digest: wanted.model_digest.clone(),
        done: Vec::new(),
        heading: Heading::Forward,
    }
}
