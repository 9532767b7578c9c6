//! The catalog: every model that clients registered, by its id and by the name that engines use.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use thiserror::Error;

use crate::{
    model::{Declared, MalformedDeclaration, Model, ModelState},
    model_id::ModelId,
    model_ref::ModelRef,
    outcome::{Outcome, WarnReason},
    roots::FileFacts,
    signature::TrustedKeys,
    trust::{TrustPolicy, Untrusted, placeable},
    verify::Verified,
};

/// How many models there may be unless the operator says otherwise.
pub const MODELS_MAX: usize = 10_000;
/// No page of the list is longer.
pub const PAGE_MAX: usize = 200;

/// What the operator decided about the catalog.
#[derive(Debug, Clone)]
pub struct CatalogSettings {
    /// How many models there may be.
    pub models_max: usize,
    /// How much must be known of a model before it is placed.
    pub policy: TrustPolicy,
    /// Whose signatures count.
    pub keys: TrustedKeys,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self { models_max: MODELS_MAX, policy: TrustPolicy::default(), keys: TrustedKeys::default() }
    }
}

/// All models. It is plain memory: whoever owns it locks it, and keeps its records.
#[derive(Debug, Default)]
pub struct Catalog {
    settings: CatalogSettings,
    models: BTreeMap<ModelId, Model>,
    by_name: HashMap<Arc<str>, BTreeSet<ModelId>>,
}

/// What registering a model did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// The model is new.
    Created,
    /// The very same was registered before, and nothing changed.
    Already,
}

/// Why a model was not registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CannotRegister {
    /// A field has no size to be kept.
    #[error(transparent)]
    Malformed(#[from] MalformedDeclaration),
    /// The id is taken by another model.
    #[error("`{0}` is registered already, as something else")]
    Conflict(ModelId),
    /// There is no room.
    #[error("the catalog is full: it holds {0} models")]
    Full(usize),
}

/// There is no such model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no model `{0}`")]
pub struct UnknownModel(pub ModelId);

/// Why a verification was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CannotRecord {
    /// The model was removed meanwhile.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// Another model was registered under its id meanwhile.
    #[error("`{0}` became another model while it was verified")]
    Superseded(ModelId),
}

/// A part of the list, in the order of ids.
#[derive(Debug)]
pub struct Page<'a> {
    /// The models.
    pub models: Vec<&'a Model>,
    /// The id to go on behind, unless this was the last page.
    pub next: Option<&'a ModelId>,
}

impl Catalog {
    /// An empty catalog.
    pub fn new(settings: CatalogSettings) -> Self {
        Self { settings, models: BTreeMap::new(), by_name: HashMap::new() }
    }

    /// Registers what a client declared. Saying the same again is no conflict, whatever became of the model.
    ///
    /// # Errors
    /// When a field is out of bounds, the id is another model's, or there is no room.
    //= ORCH-3037
    pub fn register(&mut self, declared: Declared) -> Result<Registered, CannotRegister> {
        declared.check()?;
        match self.models.get(&declared.id) {
            Some(known) if known.declared == declared => Ok(Registered::Already),
            Some(_) => Err(CannotRegister::Conflict(declared.id)),
            None => self.insert(Model::new(declared)).map(|()| Registered::Created),
        }
    }

    /// Takes a record back that an earlier run kept.
    ///
    /// # Errors
    /// As [`Self::register`], also when the very same is there already.
    pub fn restore(&mut self, model: Model) -> Result<(), CannotRegister> {
        model.declared.check()?;
        if self.models.contains_key(&model.declared.id) {
            return Err(CannotRegister::Conflict(model.declared.id));
        }
        self.insert(model)
    }

    fn insert(&mut self, mut model: Model) -> Result<(), CannotRegister> {
        if self.models.len() >= self.settings.models_max {
            return Err(CannotRegister::Full(self.models.len()));
        }
        check_signatures(&mut model, &self.settings.keys);
        let id = model.declared.id.clone();
        let name = Arc::clone(model.declared.source.name());
        self.by_name.entry(name).or_default().insert(id.clone());
        self.models.insert(id, model);
        Ok(())
    }

    /// The model with this id.
    pub fn get(&self, id: &ModelId) -> Option<&Model> {
        self.models.get(id)
    }

    /// The model that `name` means: an id, or else a name or reference that engines or clients use. Of several
    /// models from one source an active one comes first.
    pub fn resolve(&self, name: &str) -> Option<&Model> {
        if let Some(model) = self.models.get(name) {
            return Some(model);
        }
        let reference: ModelRef = name.parse().ok()?;
        let named = self.by_name.get(reference.name())?;
        let models = named.iter().filter_map(|id| self.models.get(id));
        models.min_by_key(|model| model.state != ModelState::Active)
    }

    /// At most `limit` models (1 to [`PAGE_MAX`]) behind the id `after`, or from the first.
    pub fn list(&self, after: Option<&ModelId>, limit: usize) -> Page<'_> {
        let limit = limit.clamp(1, PAGE_MAX);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.models.range::<ModelId, _>((from, Bound::Unbounded)).map(|(_, model)| model);
        let models: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest.next().and_then(|_| models.last()).map(|model| &model.declared.id);
        Page { models, next }
    }

    /// All models, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    /// How many models there are.
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Forgets a model.
    pub fn remove(&mut self, id: &ModelId) -> Option<Model> {
        let model = self.models.remove(id)?;
        let name = model.declared.source.name();
        if let Some(named) = self.by_name.get_mut(name) {
            named.remove(id);
            if named.is_empty() {
                self.by_name.remove(name);
            }
        }
        Some(model)
    }

    /// Takes a model out of use, or back into it.
    ///
    /// # Errors
    /// When there is no such model.
    //= ORCH-3037
    pub fn set_state(&mut self, id: &ModelId, state: ModelState) -> Result<&Model, UnknownModel> {
        let model = self.models.get_mut(id).ok_or_else(|| UnknownModel(id.clone()))?;
        model.state = state;
        Ok(model)
    }

    /// Records what was `found`, at `at_ms` milliseconds since 1970, of the file of the model that was
    /// `declared` when its verification began.
    ///
    /// A model without a digest takes the one that was found; from then on its file must have that.
    ///
    /// # Errors
    /// When the model was removed or replaced meanwhile.
    //= ORCH-3413
    pub fn record(
        &mut self,
        declared: &Declared,
        found: Verified,
        at_ms: u64,
    ) -> Result<&Model, CannotRecord> {
        let id = &declared.id;
        let model = self.models.get_mut(id).ok_or_else(|| UnknownModel(id.clone()))?;
        if model.declared != *declared {
            return Err(CannotRecord::Superseded(id.clone()));
        }
        let mut made = found.at(at_ms);
        if !made.is_fail() {
            model.recorded_digest =
                model.recorded_digest.or(found.digest.filter(|_| declared.digest.is_none()));
            model.size_bytes = found.facts.map(|facts| facts.size_bytes);
            model.meta = found.meta;
            check_signatures(model, &self.settings.keys);
        }
        let is_lenient = self.settings.policy == TrustPolicy::Permissive;
        if made.outcome == Outcome::Pass && is_lenient && !model.is_signed() {
            made.outcome = Outcome::Warn(WarnReason::Unsigned);
        }
        model.verification = Some(made);
        Ok(model)
    }

    /// Whether `model` may be placed under the catalog's policy; see [`placeable`].
    ///
    /// # Errors
    /// Tells the first thing that is against it.
    pub fn placeable(&self, model: &Model, now: Option<FileFacts>) -> Result<(), Untrusted> {
        placeable(model, self.settings.policy, now)
    }
}

fn check_signatures(model: &mut Model, keys: &TrustedKeys) {
    let digest = model.digest();
    let signatures = model.declared.signatures.iter();
    model.signature_checks = signatures.map(|signature| keys.check(signature, digest.as_ref())).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::Digest,
        outcome::FailReason,
        signature::{
            SignatureCheck,
            tests::{key, sign},
        },
    };

    const DIGEST: Digest = Digest::new([7; 32]);
    const FACTS: FileFacts = FileFacts { size_bytes: 1, mtime_ns: 2, inode: 3, device: 4 };

    fn declared(id: &str, source: &str) -> Declared {
        Declared::new(id.parse().unwrap(), source.parse().unwrap())
    }

    fn found(outcome: Outcome, digest: Digest) -> Verified {
        Verified { outcome, digest: Some(digest), facts: Some(FACTS), meta: None }
    }

    fn id(text: &str) -> ModelId {
        text.parse().unwrap()
    }

    fn resolved(catalog: &Catalog, name: &str) -> Option<String> {
        catalog.resolve(name).map(|model| model.declared.id.to_string())
    }

    //= ORCH-3037 type=test
    #[test]
    fn registering_the_same_again_changes_nothing_and_something_else_is_a_conflict() {
        let mut catalog = Catalog::default();
        let first = declared("m", "file:/m");
        assert_eq!(catalog.register(first.clone()), Ok(Registered::Created));
        catalog.set_state(&id("m"), ModelState::Retired { deadline_ms: None }).unwrap();
        catalog.record(&first, found(Outcome::Warn(WarnReason::NoDigest), DIGEST), 1).unwrap();
        assert_eq!(catalog.register(first.clone()), Ok(Registered::Already));
        assert_eq!(catalog.get(&id("m")).unwrap().recorded_digest, Some(DIGEST));
        for other in [
            declared("m", "file:/n"),
            Declared { digest: Some(DIGEST), ..first.clone() },
            Declared { ctx_max: Some(1), ..first },
        ] {
            assert_eq!(catalog.register(other), Err(CannotRegister::Conflict(id("m"))));
        }
        assert_eq!(catalog.len(), 1);
    }

    //= ORCH-3037 type=test
    #[test]
    fn the_catalog_has_a_bound() {
        let mut catalog = Catalog::new(CatalogSettings { models_max: 2, ..CatalogSettings::default() });
        catalog.register(declared("a", "a")).unwrap();
        catalog.register(declared("b", "b")).unwrap();
        assert_eq!(catalog.register(declared("c", "c")), Err(CannotRegister::Full(2)));
        assert_eq!(catalog.restore(Model::new(declared("c", "c"))), Err(CannotRegister::Full(2)));
        assert_eq!(catalog.register(declared("a", "a")), Ok(Registered::Already));
        catalog.remove(&id("a")).unwrap();
        assert_eq!(catalog.register(declared("c", "c")), Ok(Registered::Created));
        assert_eq!(CatalogSettings::default().models_max, 10_000);
        let broken = Declared { ctx_max: Some(0), ..declared("d", "d") };
        let malformed = |refused| matches!(refused, Err(CannotRegister::Malformed(_)));
        assert!(malformed(catalog.register(broken.clone()).map(|_| ())));
        assert!(malformed(catalog.restore(Model::new(broken))));
    }

    //= ORCH-3037 type=test
    #[test]
    fn a_model_is_found_by_its_id_and_by_every_way_of_naming_its_source() {
        let mut catalog = Catalog::default();
        catalog.register(declared("big", "hf:org/repo")).unwrap();
        catalog.register(declared("local", "file:/srv/m.gguf")).unwrap();
        for (name, found) in [
            ("big", Some("big")),
            ("org/repo", Some("big")),
            ("hf:org/repo", Some("big")),
            ("/srv/m.gguf", Some("local")),
            ("file:///srv/m.gguf", Some("local")),
            ("org/other", None),
            ("", None),
            ("http://x/y", None),
        ] {
            assert_eq!(resolved(&catalog, name).as_deref(), found, "{name}");
        }
        // An id wins over a name.
        catalog.register(declared("org/repo", "elsewhere")).unwrap();
        assert_eq!(resolved(&catalog, "org/repo").as_deref(), Some("org/repo"));
        assert_eq!(resolved(&catalog, "hf:org/repo").as_deref(), Some("big"));
    }

    #[test]
    fn of_several_models_from_one_source_the_active_one_is_meant() {
        let mut catalog = Catalog::default();
        for name in ["a", "b"] {
            catalog.register(declared(name, "hf:org/repo")).unwrap();
        }
        assert_eq!(resolved(&catalog, "org/repo").as_deref(), Some("a"));
        catalog.set_state(&id("a"), ModelState::Retired { deadline_ms: None }).unwrap();
        assert_eq!(resolved(&catalog, "org/repo").as_deref(), Some("b"));
        catalog.set_state(&id("b"), ModelState::Retired { deadline_ms: None }).unwrap();
        assert_eq!(resolved(&catalog, "org/repo").as_deref(), Some("a"));
        catalog.remove(&id("a")).unwrap();
        catalog.remove(&id("b")).unwrap();
        assert_eq!(resolved(&catalog, "org/repo"), None);
        assert!(catalog.by_name.is_empty());
    }

    #[test]
    fn pages_follow_each_other_without_gaps_also_when_models_go() {
        let mut catalog = Catalog::default();
        for name in ["e", "b", "d", "a", "c"] {
            catalog.register(declared(name, name)).unwrap();
        }
        let page = |catalog: &Catalog, after: Option<&str>, limit: usize| {
            let page = catalog.list(after.map(id).as_ref(), limit);
            let ids: String = page.models.iter().map(|model| model.declared.id.as_str()).collect();
            (ids, page.next.map(ToString::to_string))
        };
        assert_eq!(page(&catalog, None, 2), ("ab".to_owned(), Some("b".to_owned())));
        catalog.remove(&id("b")).unwrap();
        assert_eq!(page(&catalog, Some("b"), 2), ("cd".to_owned(), Some("d".to_owned())));
        assert_eq!(page(&catalog, Some("d"), 2), ("e".to_owned(), None));
        assert_eq!(page(&catalog, Some("a"), 3), ("cde".to_owned(), None));
        assert_eq!(page(&catalog, Some("e"), 2), (String::new(), None));
        assert_eq!(page(&catalog, None, 0).0, "a");
        assert_eq!(page(&catalog, None, usize::MAX).0, "acde");
    }

    #[test]
    fn a_model_that_is_not_there_has_no_state() {
        let mut catalog = Catalog::default();
        let unknown = UnknownModel(id("m"));
        assert_eq!(catalog.set_state(&id("m"), ModelState::Active).err(), Some(unknown.clone()));
        let refused = catalog.record(&declared("m", "m"), found(Outcome::Pass, DIGEST), 1).err();
        assert_eq!(refused, Some(CannotRecord::Unknown(unknown)));
        assert_eq!(catalog.remove(&id("m")), None);
    }

    //= ORCH-3413 type=test
    #[test]
    fn a_verification_of_another_model_under_the_same_id_is_not_recorded() {
        let mut catalog = Catalog::default();
        let first = declared("m", "file:/m");
        catalog.register(first.clone()).unwrap();
        catalog.remove(&id("m")).unwrap();
        catalog.register(declared("m", "file:/n")).unwrap();
        let refused = catalog.record(&first, found(Outcome::Pass, DIGEST), 1).err();
        assert_eq!(refused, Some(CannotRecord::Superseded(id("m"))));
        assert_eq!(catalog.get(&id("m")).unwrap().verification, None);
    }

    //= ORCH-3413 type=test
    #[test]
    fn the_first_digest_that_is_found_stays_and_a_failure_records_none() {
        let mut catalog = Catalog::default();
        let model = declared("m", "file:/m");
        catalog.register(model.clone()).unwrap();
        let failed = catalog.record(&model, found(Outcome::Fail(FailReason::Truncated), DIGEST), 1).unwrap();
        assert_eq!((failed.recorded_digest, failed.size_bytes), (None, None));
        let warned = found(Outcome::Warn(WarnReason::NoDigest), DIGEST);
        let recorded = catalog.record(&model, warned, 2).unwrap();
        assert_eq!((recorded.digest(), recorded.size_bytes), (Some(DIGEST), Some(1)));
        let other = found(Outcome::Warn(WarnReason::NoDigest), Digest::new([8; 32]));
        assert_eq!(catalog.record(&model, other, 3).unwrap().digest(), Some(DIGEST));
        let strict = Declared { digest: Some(DIGEST), ..declared("n", "file:/n") };
        catalog.register(strict.clone()).unwrap();
        let recorded = catalog.record(&strict, found(Outcome::Pass, DIGEST), 4).unwrap();
        assert_eq!((recorded.recorded_digest, recorded.verification.as_ref().unwrap().at_ms), (None, 4));
    }

    //= ORCH-3414 type=test
    #[test]
    fn signatures_are_checked_when_the_digest_is_known_and_never_taken_from_a_record() {
        let keys = TrustedKeys::new(&[("ours".to_owned(), key(1).1)]).unwrap();
        let settings = CatalogSettings { policy: TrustPolicy::Strict, keys, ..CatalogSettings::default() };
        let mut catalog = Catalog::new(settings);
        let signatures = vec![sign(&key(1).0, Some("ours"), DIGEST)];
        let model = Declared { signatures, ..declared("m", "file:/m") };
        catalog.register(model.clone()).unwrap();
        assert_eq!(catalog.get(&id("m")).unwrap().signature_checks, [SignatureCheck::Unchecked]);
        let warned = found(Outcome::Warn(WarnReason::NoDigest), DIGEST);
        assert!(catalog.record(&model, warned, 1).unwrap().is_signed());
        catalog.record(&model, found(Outcome::Pass, DIGEST), 2).unwrap();
        let kept = catalog.get(&id("m")).unwrap().clone();
        assert_eq!(catalog.placeable(&kept, Some(FACTS)), Ok(()));
        // Another run that trusts nobody finds no valid signature in the same record.
        let mut doubting =
            Catalog::new(CatalogSettings { policy: TrustPolicy::Strict, ..Default::default() });
        doubting.restore(kept.clone()).unwrap();
        let restored = doubting.get(&id("m")).unwrap();
        assert_eq!(doubting.placeable(restored, Some(FACTS)), Err(Untrusted::Unsigned));
        assert_eq!(doubting.restore(kept), Err(CannotRegister::Conflict(id("m"))));
    }

    //= ORCH-3414 type=test
    #[test]
    fn the_permissive_policy_warns_of_a_missing_signature() {
        let mut catalog = Catalog::default();
        let model = Declared { digest: Some(DIGEST), ..declared("m", "file:/m") };
        catalog.register(model.clone()).unwrap();
        let recorded = catalog.record(&model, found(Outcome::Pass, DIGEST), 1).unwrap().clone();
        assert_eq!(recorded.verification.as_ref().unwrap().outcome, Outcome::Warn(WarnReason::Unsigned));
        assert_eq!(catalog.placeable(&recorded, None), Ok(()));
    }
}
