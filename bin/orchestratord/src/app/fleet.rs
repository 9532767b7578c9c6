//! The machines and engines: built, brought back from the store, and watched from then on.

use std::sync::Arc;

use anyhow::Context;
use config_schema::Config;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{StartRefused, until};
use crate::{
    clock::Clock,
    metrics::Metrics,
    services::{
        Fleet, Keeper, Lifecycle, LifecycleParts, Models, Nodes, NodesParts, Pools, PoolsParts,
        SchedulerHandle, Unfinished,
    },
    settings,
};

/// What the parts of the fleet share with the rest of the server.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) keeper: Arc<Keeper>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) models: Arc<Models>,
    pub(super) scheduler: SchedulerHandle,
    pub(super) tracker: TaskTracker,
    pub(super) closing: CancellationToken,
}

/// The fleet before anything is placed on it.
pub(super) struct Built {
    pub(super) fleet: Fleet,
    unfinished: Unfinished,
}

impl Built {
    /// Makes known what is attached and what earlier processes knew, and closes what they had closed.
    pub(super) async fn build(config: &Config, shared: &Shared) -> anyhow::Result<Self> {
        let Shared { clock, keeper, metrics, models, scheduler, tracker, closing } = shared.clone();
        let pools = Arc::new(Pools::new(PoolsParts {
            scheduler: scheduler.clone(),
            metrics: Arc::clone(&metrics),
            tracker: tracker.clone(),
            closing: closing.clone(),
            connector: settings::connector(config)?,
            interval: config.engine.health_interval,
        }));
        pools.attach(settings::replicas(config)?);
        let nodes = Arc::new(Nodes::new(NodesParts {
            rules: settings::node_rules(&config.nodes)?,
            pools: Arc::clone(&pools),
            models: Arc::clone(&models),
            scheduler: scheduler.clone(),
            keeper: Arc::clone(&keeper),
            metrics,
            clock,
            token: settings::node_token(config),
            stand_in: settings::stand_in(config),
        }));
        nodes.restore().await.context(StartRefused)?;
        let unfinished = Unfinished::load(&keeper).await.context(StartRefused)?;
        let parts = LifecycleParts {
            scheduler,
            pools: Arc::clone(&pools),
            nodes: Arc::clone(&nodes),
            models,
            keeper,
            clock,
            tracker,
            closing,
        };
        let lifecycle = Arc::new(Lifecycle::new(parts));
        lifecycle.close_again(&unfinished);
        Ok(Self { fleet: Fleet { pools, nodes, lifecycle }, unfinished })
    }

    /// Looks at engines and nodes from now on, and goes on with what an earlier process had begun.
    pub(super) fn start(self, config: &Config, shared: &Shared) -> Fleet {
        let Self { fleet, unfinished } = self;
        fleet.pools.watch_attached();
        let Shared { tracker, closing, .. } = shared;
        tracker.spawn(until(closing.clone(), Arc::clone(&fleet.nodes).work()));
        for manager in config.nodes.managers.clone() {
            tracker.spawn(until(closing.clone(), Arc::clone(&fleet.nodes).poll(manager)));
        }
        fleet.lifecycle.go_on(unfinished);
        fleet
    }
}
