//! The models that clients registered: what they declared, what is known of the files, and which may be used.
//!
//! The catalog itself is plain memory under a lock that is never held while anything waits. Each change is left
//! in the journal under that lock, so that the store sees changes in the order in which they were made.

mod places;
mod verifier;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use catalog_core::{
    CannotRegister, Catalog, CatalogSettings, Declared, FileFacts, KvType, Model, ModelId, ModelRef,
    ModelState, TrustPolicy, Untrusted,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store_api::{Change, RecordKey, Shelf};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use self::verifier::{Line, Verifier};
use super::{
    keeper::Keeper,
    saved::{self, Version},
};
use crate::metrics::Metrics;

pub(crate) use self::{
    places::{Fetched, Fetching, Places},
    verifier::Step,
};

/// How often the files of all models are held against what is known of them.
const LOOK_INTERVAL: Duration = Duration::from_mins(5);
/// A file of which nothing was learned is read again no sooner than this after the last time, in milliseconds.
const AGAIN_AFTER_MS: u64 = 60_000;

/// The catalog, and all that is done with it.
pub(crate) struct Models {
    catalog: Mutex<Catalog>,
    policy: TrustPolicy,
    places: Places,
    keeper: Arc<Keeper>,
    metrics: Arc<Metrics>,
    verifier: Verifier,
}

/// A model, and what is being done with it.
pub(crate) struct Shown {
    pub(crate) model: Model,
    pub(crate) verifying: Option<Step>,
}

/// Why nothing was done about a model.
#[derive(Debug)]
pub(crate) enum ModelError {
    Register(CannotRegister),
    Unknown,
    Busy,
    /// The store cannot keep it now.
    NotKept,
}

/// Why a model may not be used.
#[derive(Debug, Clone)]
pub(crate) enum Unfit {
    /// The strict policy wants it in the catalog.
    NotInCatalog,
    Untrusted(Untrusted),
}

/// A model as it is kept.
#[derive(Serialize, Deserialize)]
struct SavedModel {
    version: Version,
    model: Model,
}

impl Models {
    /// Reads back what earlier processes kept.
    pub(crate) async fn load(
        settings: CatalogSettings,
        places: Places,
        keeper: Arc<Keeper>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let policy = settings.policy;
        let mut catalog = Catalog::new(settings);
        let records = keeper.store().records(Shelf::Models).await;
        for record in records.context("the models of the store cannot be read")? {
            let name = &record.name;
            let saved: SavedModel = saved::read(&record.body)
                .with_context(|| format!("model {name} in the store cannot be read"))?;
            catalog.restore(saved.model).map_err(|error| anyhow!("model {name} in the store: {error}"))?;
        }
        if !catalog.is_empty() {
            info!(target: "orchestratord::models", models = catalog.len(), "models of earlier processes are back");
        }
        let (catalog, verifier) = (Mutex::new(catalog), Verifier::default());
        Ok(Self { catalog, policy, places, keeper, metrics, verifier })
    }

    /// Registers a model. When this returns `Ok`, it is kept.
    //= ORCH-3037
    pub(crate) async fn register(&self, declared: Declared) -> Result<Shown, ModelError> {
        self.accepts()?;
        let id = declared.id.clone();
        let kept = {
            let mut catalog = self.catalog.lock();
            catalog.register(declared).map_err(ModelError::Register)?;
            // Also one that is there already: whether that was kept is not known.
            let model = catalog.get(&id).ok_or(ModelError::Unknown)?;
            self.keeper.keep(put(model))
        };
        if kept.await { self.get(&id) } else { Err(ModelError::NotKept) }
    }

    pub(crate) fn get(&self, id: &ModelId) -> Result<Shown, ModelError> {
        let model = self.catalog.lock().get(id).cloned().ok_or(ModelError::Unknown)?;
        Ok(self.shown(model))
    }

    fn shown(&self, model: Model) -> Shown {
        let verifying = self.verifier.step(&model.declared.id);
        Shown { model, verifying }
    }

    /// At most `limit` models behind the id `after`, and the id of the last one unless it is the very last.
    pub(crate) fn page(&self, after: Option<&ModelId>, limit: usize) -> (Vec<Shown>, Option<ModelId>) {
        let (models, next) = {
            let catalog = self.catalog.lock();
            let page = catalog.list(after, limit);
            (page.models.into_iter().cloned().collect::<Vec<_>>(), page.next.cloned())
        };
        (models.into_iter().map(|model| self.shown(model)).collect(), next)
    }

    /// Every model's id, and its state in one word.
    pub(crate) fn states(&self) -> Vec<(Arc<str>, &'static str)> {
        let catalog = self.catalog.lock();
        let state = |model: &Model| match model.state {
            ModelState::Active => "active",
            ModelState::Retired { .. } => "retired",
        };
        catalog.iter().map(|model| (model.declared.id.as_str().into(), state(model))).collect()
    }

    /// Forgets a model. When this returns `Ok`, that is kept.
    pub(crate) async fn remove(&self, id: &ModelId) -> Result<(), ModelError> {
        self.accepts()?;
        let kept = {
            let mut catalog = self.catalog.lock();
            catalog.remove(id).ok_or(ModelError::Unknown)?;
            self.keeper.keep(Change::Remove(key(id)))
        };
        if kept.await { Ok(()) } else { Err(ModelError::NotKept) }
    }

    /// Takes a model out of use, or back into it. When this returns `Ok`, that is kept.
    pub(crate) async fn set_state(&self, id: &ModelId, state: ModelState) -> Result<Shown, ModelError> {
        self.accepts()?;
        let kept = {
            let mut catalog = self.catalog.lock();
            let model = catalog.set_state(id, state).map_err(|_unknown| ModelError::Unknown)?;
            self.keeper.keep(put(model))
        };
        if kept.await { self.get(id) } else { Err(ModelError::NotKept) }
    }

    fn accepts(&self) -> Result<(), ModelError> {
        if self.keeper.keeps_up() { Ok(()) } else { Err(ModelError::NotKept) }
    }

    /// What engines call the model that a client names, by its id or in any other way.
    pub(crate) fn name_of(&self, given: &ModelRef) -> Arc<str> {
        let catalog = self.catalog.lock();
        let known = catalog.resolve(&given.to_string()).map(|model| model.declared.source.name());
        Arc::clone(known.unwrap_or(given.name()))
    }

    /// Where the file of a model of the catalog is, and the digest that it must have.
    pub(crate) fn source_of(&self, given: &str) -> Option<(String, Option<String>)> {
        let catalog = self.catalog.lock();
        let model = catalog.resolve(given)?;
        Some((model.declared.source.to_string(), model.digest().map(|digest| digest.to_string())))
    }

    /// The digest that the file of a model must have, as far as the catalog knows the model.
    pub(crate) fn digest_of(&self, given: &str) -> Option<String> {
        self.catalog.lock().resolve(given)?.digest().map(|digest| digest.to_string())
    }

    /// Whether a model must prove what it is.
    pub(crate) fn is_strict(&self) -> bool {
        self.policy == TrustPolicy::Strict
    }

    /// The bytes of device memory that a model needs with so much context, as far as its header is known.
    pub(crate) fn vram_need(&self, given: &str, ctx: u32) -> Option<u64> {
        let catalog = self.catalog.lock();
        let need = catalog.resolve(given)?.vram_need(ctx, KvType::default())?.ok()?;
        Some(need.total())
    }

    /// Whether the model that a client names may be used now. A file that changed since it was looked at is
    /// looked at again, in the background.
    //= ORCH-3413
    //= ORCH-3414
    pub(crate) fn check(&self, given: &str) -> Result<(), Unfit> {
        let known = self.catalog.lock().resolve(given).cloned();
        let result = match known {
            None if self.policy == TrustPolicy::Strict => Err(Unfit::NotInCatalog),
            None => Ok(()),
            Some(model) => self.check_known(model).map_err(Unfit::Untrusted),
        };
        if let Err(unfit) = &result {
            self.metrics.model_refused(unfit);
        }
        result
    }

    fn check_known(&self, mut model: Model) -> Result<(), Untrusted> {
        let now = self.facts(&model);
        if self.is_stale(&model, now) && self.verify(&model.declared.id).is_err() {
            warn!(target: "orchestratord::models", model = %model.declared.id, "too many models wait for verification");
        }
        if let ModelState::Retired { deadline_ms: Some(deadline) } = model.state
            && self.now_ms() < deadline
        {
            model.state = ModelState::Active;
        }
        catalog_core::placeable(&model, self.policy, now)
    }

    /// The model's file as it is, unless it has none that can be opened. A few calls of the system.
    fn facts(&self, model: &Model) -> Option<FileFacts> {
        let file = model.verification.is_some().then(|| self.places.open(&model.declared, model.digest()))?;
        file.ok().map(|file| file.facts)
    }

    /// Whether what is known of a model speaks of another file than the one that is there.
    fn is_stale(&self, model: &Model, now: Option<FileFacts>) -> bool {
        let Some(made) = &model.verification else { return false };
        match (made.facts, now) {
            (Some(_), Some(now)) => !made.is_current(now),
            // It could be opened then, and cannot be now.
            (Some(_), None) => true,
            // It could not be read then.
            (None, Some(_)) => self.now_ms().saturating_sub(made.at_ms) >= AGAIN_AFTER_MS,
            (None, None) => false,
        }
    }

    fn now_ms(&self) -> u64 {
        let clock = self.keeper.clock();
        clock.unix_ms(clock.now())
    }

    /// Reads files that are to be verified, and looks for those that changed.
    pub(crate) async fn work(self: Arc<Self>) {
        let (near, far) = (self.verify_in_turn(Line::Near), self.verify_in_turn(Line::Far));
        tokio::join!(near, far, Arc::clone(&self).look_regularly());
    }

    #[expect(clippy::infinite_loop, reason = "it is run under a token that ends it")]
    async fn look_regularly(self: Arc<Self>) {
        loop {
            sleep(LOOK_INTERVAL).await;
            let models = Arc::clone(&self);
            // A folder that does not answer keeps nobody else waiting.
            if let Ok(stale) = spawn_blocking(move || models.stale()).await {
                for id in stale {
                    // What finds no place now is found again the next time.
                    drop(self.verify(&id));
                }
            }
        }
    }

    fn stale(&self) -> Vec<ModelId> {
        let known: Vec<Model> = self.catalog.lock().iter().cloned().collect();
        let stale = known.into_iter().filter(|model| self.is_stale(model, self.facts(model)));
        stale.map(|model| model.declared.id).collect()
    }
}

fn key(id: &ModelId) -> RecordKey {
    RecordKey { shelf: Shelf::Models, name: id.as_str().into() }
}

fn put(model: &Model) -> Change {
    let saved = SavedModel { version: Version::default(), model: model.clone() };
    Change::Put { record: key(&model.declared.id), body: saved::write(&saved) }
}

#[cfg(test)]
mod tests;
