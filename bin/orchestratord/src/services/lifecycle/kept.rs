//! What outlives the process of an operation: that a pool is closed, and a reload that is under way.

use std::sync::Arc;

use anyhow::Context;
use orchestrator_core::{Event, PoolId};
use serde::{Deserialize, Serialize};
use store_api::{Change, RecordKey, Shelf};
use tracing::info;

use super::Lifecycle;
use crate::services::{
    keeper::Keeper,
    saved::{self, Version},
};

/// A pool as it is kept. One of which nothing is kept is open.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedPool {
    version: Version,
    pub(super) intake: Intake,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reload: Option<SavedReload>,
}

/// Whether a pool takes anything new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Intake {
    #[default]
    Open,
    Closed,
}

/// Where a reload is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Heading {
    /// To the new model.
    Forward,
    /// One replica failed, and the others go back to what they had.
    Back,
}

/// A reload that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedReload {
    pub(super) new_model_ref: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model_digest: Option<String>,
    /// What each replica served before, as far as it was changed already.
    pub(super) done: Vec<Done>,
    pub(super) heading: Heading,
}

/// A replica that has the new model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) replica: String,
    /// The model that it had; without it there is no way back.
    pub(super) old_model: Option<String>,
}

/// What an earlier process left unfinished.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Vec<(PoolId, SavedPool)>);

impl SavedPool {
    pub(super) fn closed() -> Self {
        Self::at_rest(Intake::Closed)
    }

    /// One with which nothing is being done.
    pub(super) fn at_rest(intake: Intake) -> Self {
        Self { intake, ..Self::default() }
    }

    /// One whose reload begins.
    pub(super) fn reloading(intake: Intake, reload: SavedReload) -> Self {
        Self { intake, reload: Some(reload), ..Self::default() }
    }
}

fn key(pool: &PoolId) -> RecordKey {
    RecordKey { shelf: Shelf::Pools, name: pool.as_str().into() }
}

impl Unfinished {
    /// Reads what earlier processes kept of pools.
    pub(crate) async fn load(keeper: &Keeper) -> anyhow::Result<Self> {
        let records = keeper.store().records(Shelf::Pools).await;
        let mut all = Vec::new();
        for record in records.context("the pools of the store cannot be read")? {
            let saved = saved::read(&record.body)
                .with_context(|| format!("pool {} in the store cannot be read", record.name))?;
            all.push((PoolId::new(&*record.name), saved));
        }
        Ok(Self(all))
    }
}

impl Lifecycle {
    /// Keeps how a pool stands. False when that cannot be kept now.
    pub(super) async fn keep(&self, pool: &PoolId, saved: &SavedPool) -> bool {
        let change = if *saved == SavedPool::default() {
            Change::Remove(key(pool))
        } else {
            Change::Put { record: key(pool), body: saved::write(saved) }
        };
        self.parts.keeper.keeps_up() && self.parts.keeper.keep(change).await
    }

    /// Closes what was closed, before anything is placed. Reloads go on later, by [`Self::go_on`].
    //= ORCH-3038
    pub(crate) fn close_again(&self, unfinished: &Unfinished) {
        for (pool, _) in unfinished.0.iter().filter(|(_, saved)| saved.intake == Intake::Closed) {
            info!(target: "orchestratord::lifecycle", pool_id = %pool, "pool stays closed");
            let (pool, deadline) = (pool.clone(), self.parts.clock.now());
            self.parts.scheduler.tell(Event::Close { pool, replica: None, deadline });
        }
    }

    /// Finishes the reloads that an earlier process had begun, or goes back as it was doing.
    // N12
    //= ORCH-3038
    pub(crate) fn go_on(self: &Arc<Self>, unfinished: Unfinished) {
        for (pool, saved) in unfinished.0 {
            if let Some(reload) = saved.reload.clone() {
                let lifecycle = Arc::clone(self);
                self.spawn(async move { lifecycle.reload_again(pool, saved, reload).await });
            }
        }
    }
}
