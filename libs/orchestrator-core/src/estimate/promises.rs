//! Places that were promised to clients that were turned away.
//!
//! A time to come back is worth something only if there is a place at that time. So each client gets
//! a time of its own, one gap after the one before it, and shortly before that time the place is no
//! longer given to clients who were promised nothing. A client who does not come loses it.
//!
//! A client that chose its job's id is known by it. Others come back under a fresh id, and are known by
//! what they ask for; where several ask for the same, each promise serves whoever of them comes next.

use std::{collections::BTreeMap, time::Duration};

use super::seconds;
use crate::{ids::JobId, time::Timestamp};

/// A client is never told to come back later than this.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// Nor sooner than this.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Clients whose places are remembered. The others are told the same and are promised nothing.
const KEPT: usize = 1024;
/// How long a place is kept for a client that is late.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how many gaps before its time a place is kept.
const LEAD: f64 = 4.0;

/// By what a client is known that was promised a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// The id of its job.
    Of(JobId),
    /// What it asks for.
    Like(u64),
}

/// Promised places of one pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promises {
    /// When each client may come. One that is known by its job has one place at most.
    places: BTreeMap<(Claim, u64), Timestamp>,
    made: u64,
    last: Timestamp,
}

impl Promises {
    /// Promises the next place, one `gap` (seconds) after the place before it, and says when.
    /// `spread` in 0..1 tells the jitter of up to 20 %, later only:
    /// a client that comes before its place is free comes for nothing.
    pub(crate) fn promise(&mut self, now: Timestamp, claim: Claim, gap: f64, spread: f64) -> Duration {
        self.expire(now);
        if let (Claim::Of(_), Some((_, at))) = (claim, self.first_of(claim))
            && at > now
        {
            // It came too early: its place is still its own.
            return (at - now).clamp(RETRY_MIN, RETRY_MAX);
        }
        let place = self.last.max(now) + seconds(gap);
        let horizon = now + RETRY_MAX;
        self.last = place.min(horizon);
        let wait = (self.last - now).as_secs_f64() * (1.0 + 0.2 * spread);
        let wait = seconds(wait).clamp(RETRY_MIN, RETRY_MAX);
        if place < horizon && gap > 0.0 && self.places.len() < KEPT {
            self.made += 1;
            self.places.insert((claim, self.made), now + wait);
        }
        wait
    }

    /// Whether this client was promised a place and comes for it now. It can come once.
    pub(crate) fn redeem(&mut self, now: Timestamp, claim: Claim) -> bool {
        self.expire(now);
        match self.first_of(claim) {
            Some((made, at)) if at <= now => self.places.remove(&(claim, made)).is_some(),
            _ => false,
        }
    }

    /// This client needs its place no more.
    pub(crate) fn forget(&mut self, claim: Claim) {
        if let Some((made, _)) = self.first_of(claim) {
            self.places.remove(&(claim, made));
        }
    }

    /// The place of this client that comes first.
    fn first_of(&self, claim: Claim) -> Option<(u64, Timestamp)> {
        let own = self.places.range((claim, 0)..=(claim, u64::MAX));
        own.map(|((_, made), at)| (*made, *at)).min_by_key(|(_, at)| *at)
    }

    /// Places that must not be given to anyone else now.
    pub(crate) fn kept(&self, now: Timestamp, gap: f64) -> u32 {
        let until = now + seconds(gap * LEAD);
        let due = self.places.values().filter(|at| **at <= until && now - **at <= PATIENCE);
        u32::try_from(due.count()).unwrap_or(u32::MAX)
    }

    fn expire(&mut self, now: Timestamp) {
        self.places.retain(|_, at| now - *at <= PATIENCE);
        if self.places.is_empty() {
            // Nobody comes any more: what was promised last binds nobody.
            self.last = self.last.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(7);
    const SECOND: Duration = Duration::from_secs(1);

    fn of(number: u128) -> Claim {
        Claim::Of(JobId::from_u128(number))
    }

    #[test]
    fn clients_that_are_turned_away_get_one_place_each() {
        let mut promises = Promises::default();
        let waits: Vec<_> = (0..4).map(|id| promises.promise(NOW, of(id), 4.0, 0.0).as_secs()).collect();
        assert_eq!(waits, [4, 8, 12, 16]);
        for id in 4..200 {
            assert!(promises.promise(NOW, of(id), 4.0, 1.0) <= RETRY_MAX);
        }
    }

    #[test]
    fn a_place_is_kept_for_its_client_and_not_for_ever() {
        let mut promises = Promises::default();
        let [first, second] = [1, 2].map(of);
        promises.promise(NOW, first, 10.0, 0.0);
        assert_eq!(promises.kept(NOW, 1.0), 0);
        assert_eq!(promises.kept(NOW + SECOND * 8, 1.0), 1);
        assert!(!promises.redeem(NOW + SECOND * 8, first), "too early");
        assert!(!promises.redeem(NOW + SECOND * 11, second), "promised nothing");
        assert!(promises.redeem(NOW + SECOND * 11, first));
        assert!(!promises.redeem(NOW + SECOND * 11, first), "once");
        promises.promise(NOW, second, 10.0, 0.0);
        assert_eq!(promises.kept(NOW + SECOND * 40, 1.0), 0);
        assert!(!promises.redeem(NOW + SECOND * 40, second), "too late");
    }

    #[test]
    fn clients_that_ask_for_the_same_share_their_places() {
        let mut promises = Promises::default();
        let waits: Vec<_> =
            (0..3).map(|_| promises.promise(NOW, Claim::Like(5), 4.0, 0.0).as_secs()).collect();
        assert_eq!(waits, [4, 8, 12]);
        assert!(promises.redeem(NOW + SECOND * 4, Claim::Like(5)));
        assert!(!promises.redeem(NOW + SECOND * 5, Claim::Like(5)), "the next place is not due");
        assert!(!promises.redeem(NOW + SECOND * 8, Claim::Like(6)), "another client");
        assert!(promises.redeem(NOW + SECOND * 8, Claim::Like(5)));
    }
}
