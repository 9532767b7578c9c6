//! Requests that broke the engines they met, known by their fingerprints.
//!
//! A request that crashes an engine crashes the next one too. After the second engine the request is
//! at fault and not the engines: it is refused for a while, and a third engine is spared.

use std::{collections::BTreeMap, time::Duration};

use crate::{fit::Tried, time::Timestamp};

/// How long two breaks belong together, and how long a fingerprint is refused after that.
const PERIOD: Duration = Duration::from_mins(10);
/// Fingerprints that are remembered; the oldest gives way.
const KEPT: usize = 1024;

#[derive(Debug, Clone)]
struct Suspect {
    /// The newest break, and where it was.
    at: Timestamp,
    on: Tried,
    refused_until: Option<Timestamp>,
}

/// The fingerprints under suspicion.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quarantine(BTreeMap<u64, Suspect>);

impl Quarantine {
    /// An attempt with this fingerprint broke on this replica. True when it is refused from now on.
    //= ORCH-3063
    pub(crate) fn broke(&mut self, now: Timestamp, fingerprint: u64, on: Tried) -> bool {
        if self.refuses(now, fingerprint) {
            return true;
        }
        let before = self.0.get(&fingerprint);
        let twice =
            before.is_some_and(|it| it.refused_until.is_none() && now - it.at < PERIOD && it.on != on);
        if before.is_none() && self.0.len() >= KEPT {
            let oldest = self.0.iter().min_by_key(|(print, it)| (it.at, **print)).map(|(print, _)| *print);
            oldest.and_then(|print| self.0.remove(&print));
        }
        let refused_until = twice.then(|| now + PERIOD);
        self.0.insert(fingerprint, Suspect { at: now, on, refused_until });
        twice
    }

    /// Whether such a request must not meet another engine.
    pub(crate) fn refuses(&self, now: Timestamp, fingerprint: u64) -> bool {
        self.0.get(&fingerprint).and_then(|it| it.refused_until).is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PoolId, ReplicaId};

    fn on(replica: &str) -> Tried {
        (PoolId::new("p"), ReplicaId::new(replica))
    }

    #[test]
    fn two_replicas_within_the_period_make_a_quarantine_of_the_same_length() {
        let mut quarantine = Quarantine::default();
        let start = Timestamp::from_micros(0);
        assert!(!quarantine.broke(start, 7, on("a")));
        assert!(!quarantine.broke(start, 7, on("a")), "the same replica twice may be the replica's fault");
        assert!(!quarantine.broke(start + PERIOD, 7, on("b")), "too long ago");
        assert!(quarantine.broke(start + PERIOD + Duration::from_secs(599), 7, on("c")));
        assert!(quarantine.refuses(start + PERIOD * 2, 7) && !quarantine.refuses(start + PERIOD * 2, 8));
        assert!(!quarantine.refuses(start + PERIOD * 3, 7));
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_gives_way() {
        let mut quarantine = Quarantine::default();
        for print in 0..=1024 {
            quarantine.broke(Timestamp::from_micros(print), print, on("a"));
        }
        assert_eq!(quarantine.0.len(), KEPT);
        assert!(!quarantine.broke(Timestamp::from_micros(2000), 0, on("b")), "forgotten");
        assert!(quarantine.broke(Timestamp::from_micros(2000), 1024, on("b")));
    }
}
