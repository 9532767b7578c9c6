//! What the store knows without asking the disk: sizes, ages and pins.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use orchestrator_core::JobId;

use crate::{
    id::ArtifactId,
    meta::{Meta, WallMillis},
    store::Limits,
};

/// One stored artifact.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) meta: Meta,
    /// Its file, head included.
    pub(crate) file_bytes: u64,
}

/// All stored artifacts.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<ArtifactId, Entry>,
    oldest_first: BTreeSet<(WallMillis, ArtifactId)>,
    used_bytes: u64,
    pins: HashMap<JobId, HashSet<ArtifactId>>,
    /// How many jobs pin each artifact.
    pinned: HashMap<ArtifactId, usize>,
}

impl Index {
    pub(crate) fn get(&self, id: ArtifactId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// The stored artifacts, the latest first.
    pub(crate) fn latest_first(&self) -> impl Iterator<Item = &Meta> {
        let entries = self.oldest_first.iter().rev().filter_map(|(_, id)| self.entries.get(id));
        entries.map(|entry| &entry.meta)
    }

    /// Adds an artifact, or replaces what is known of it.
    pub(crate) fn insert(&mut self, meta: Meta, file_bytes: u64) {
        self.remove(meta.id);
        self.used_bytes = self.used_bytes.saturating_add(file_bytes);
        self.oldest_first.insert((meta.created, meta.id));
        self.entries.insert(meta.id, Entry { meta, file_bytes });
    }

    /// Forgets an artifact and answers what was known of it.
    pub(crate) fn remove(&mut self, id: ArtifactId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.oldest_first.remove(&(entry.meta.created, id));
        self.used_bytes = self.used_bytes.saturating_sub(entry.file_bytes);
        Some(entry)
    }

    pub(crate) fn is_pinned(&self, id: ArtifactId) -> bool {
        self.pinned.contains_key(&id)
    }

    /// How many artifacts `job` pins besides `id`.
    pub(crate) fn pins_beside(&self, job: JobId, id: ArtifactId) -> usize {
        self.pins.get(&job).map_or(0, |ids| ids.len() - usize::from(ids.contains(&id)))
    }

    pub(crate) fn pin(&mut self, job: JobId, id: ArtifactId) {
        if self.pins.entry(job).or_default().insert(id) {
            *self.pinned.entry(id).or_default() += 1;
        }
    }

    /// Takes all pins of `job` away.
    pub(crate) fn release(&mut self, job: JobId) {
        for id in self.pins.remove(&job).unwrap_or_default() {
            if let Some(jobs) = self.pinned.get_mut(&id) {
                *jobs -= 1;
                if *jobs == 0 {
                    self.pinned.remove(&id);
                }
            }
        }
    }

    /// The artifacts without a pin that are older than they may be.
    pub(crate) fn outdated(&self, now: WallMillis, limits: &Limits) -> Vec<ArtifactId> {
        let age_max = u64::try_from(limits.age_max.as_millis()).unwrap_or(u64::MAX);
        let old = self.oldest_first.iter().take_while(|(at, _)| at.0.saturating_add(age_max) < now.0);
        old.map(|(_, id)| *id).filter(|id| !self.is_pinned(*id)).collect()
    }

    /// The oldest artifacts without a pin that are in the way of the bounds.
    pub(crate) fn surplus(&self, limits: &Limits) -> Vec<ArtifactId> {
        self.oldest_until(None, |used, count| used <= limits.quota_bytes && count <= limits.count_max).1
    }

    /// The oldest artifacts without a pin that must go so that `id` can have `bytes`; `None` when even
    /// that would not be enough.
    pub(crate) fn in_the_way(&self, id: ArtifactId, bytes: u64, limits: &Limits) -> Option<Vec<ArtifactId>> {
        let fits = |used: u64, count: usize| {
            used.saturating_add(bytes) <= limits.quota_bytes && count < limits.count_max
        };
        let (left, victims) = self.oldest_until(Some(id), fits);
        fits(left.0, left.1).then_some(victims)
    }

    /// Takes artifacts out, the oldest first and never `except`, until what is left `fits`. Answers the
    /// bytes and the number of what is left, both without `except`, and what was taken out.
    fn oldest_until(
        &self,
        except: Option<ArtifactId>,
        fits: impl Fn(u64, usize) -> bool,
    ) -> ((u64, usize), Vec<ArtifactId>) {
        let own = except.and_then(|id| self.get(id));
        let mut used = self.used_bytes - own.map_or(0, |entry| entry.file_bytes);
        let mut count = self.entries.len() - usize::from(own.is_some());
        let mut victims = Vec::new();
        let candidates = self.oldest_first.iter().map(|(_, id)| *id);
        for id in candidates.filter(|id| Some(*id) != except && !self.is_pinned(*id)) {
            if fits(used, count) {
                break;
            }
            used -= self.get(id).map_or(0, |entry| entry.file_bytes);
            count -= 1;
            victims.push(id);
        }
        ((used, count), victims)
    }
}
