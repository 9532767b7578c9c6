//! Which of the replicas with room gets a job. Pure choices over what is already known.

use crate::{
    pool::{Replica, ReplicaKey},
    rules::PlacementKind,
};

/// The choice, and what it must remember.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Placement {
    kind: PlacementKind,
    last: Option<ReplicaKey>,
}

impl Placement {
    pub(crate) fn new(kind: PlacementKind) -> Self {
        Self { kind, last: None }
    }

    /// Chooses one of `candidates`, which come in the order of their keys.
    //= ORCH-3008
    pub(crate) fn choose<'a>(
        &mut self,
        candidates: impl Iterator<Item = (ReplicaKey, &'a Replica)>,
    ) -> Option<ReplicaKey> {
        let chosen = match self.kind {
            PlacementKind::LeastLoaded => least_loaded(candidates),
            PlacementKind::RoundRobin => round_robin(self.last, candidates.map(|(key, _)| key)),
        };
        if chosen.is_some() {
            self.last = chosen;
        }
        chosen
    }
}

//= ORCH-3012
fn least_loaded<'a>(candidates: impl Iterator<Item = (ReplicaKey, &'a Replica)>) -> Option<ReplicaKey> {
    candidates
        .min_by(|(key_a, a), (key_b, b)| {
            let vram = |replica: &Replica| replica.view.vram_free_bytes.unwrap_or(0);
            vram(b)
                .cmp(&vram(a))
                .then_with(|| a.used.cmp(&b.used))
                .then_with(|| a.view.replica.cmp(&b.view.replica))
                .then_with(|| key_a.cmp(key_b))
        })
        .map(|(key, _)| key)
}

fn round_robin(last: Option<ReplicaKey>, keys: impl Iterator<Item = ReplicaKey>) -> Option<ReplicaKey> {
    let mut first = None;
    for key in keys {
        if last.is_none_or(|last| key > last) {
            return Some(key);
        }
        first = first.or(Some(key));
    }
    first
}
