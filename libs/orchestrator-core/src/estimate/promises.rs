//! Places that were promised to clients that were turned away.
//!
//! A time to come back is worth something only if there is a place at that time. So each client gets
//! a time of its own, one gap after the one before it, and shortly before that time the place is no
//! longer given to clients who were promised nothing. A client who does not come loses it.
//!
//! A client that chose its job's id is known by it. Others come back under a fresh id, and are known by
//! what they ask for; where several ask for the same, each promise serves whoever of them comes next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
/// Promises are made more slowly than places become free: by this, for times that spread as exponential ones
/// do. At the same pace a run of bad luck would never be made up for.
const SLOWER: f64 = 0.15;
/// Places on which nobody counts, whatever the spread of times.
const UNCERTAIN: f64 = 1.0;
/// How many deviations fewer places may become free than are expected.
const DEVIATIONS: f64 = 1.5;
/// So many of the next places are looked at.
const LOOKED_AT: usize = 64;

/// How fast places become free.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// From one free place to the next, in seconds.
    pub(crate) gap: f64,
    /// The variance of the times between, relative to the square of their mean.
    pub(crate) spread: f64,
}

impl Pace {
    /// From one promise to the next, in seconds.
    fn between_promises(self) -> f64 {
        self.gap * (1.0 + SLOWER * self.spread.min(2.0))
    }

    /// How many places will surely have become free in so many seconds.
    fn surely_free(self, within: f64) -> f64 {
        if self.gap <= 0.0 {
            return f64::INFINITY;
        }
        let expected = within / self.gap;
        expected - DEVIATIONS * (self.spread * expected).sqrt() - UNCERTAIN
    }
}

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
    /// The same in the order of time.
    due: BTreeSet<(Timestamp, Claim, u64)>,
    made: u64,
    last: Timestamp,
}

impl Promises {
    //= ORCH-3061
    /// Promises the next place at this pace, and says when. `jitter` in 0..1 tells the jitter of up to 20 %,
    /// later only: a client that comes before its place is free comes for nothing.
    pub(crate) fn promise(&mut self, now: Timestamp, claim: Claim, pace: Pace, jitter: f64) -> Duration {
        self.expire(now);
        if let (Claim::Of(_), Some((_, at))) = (claim, self.first_of(claim))
            && at > now
        {
            // It came too early: its place is still its own.
            return (at - now).clamp(RETRY_MIN, RETRY_MAX);
        }
        let next = (self.last.max(now) + seconds(pace.between_promises())).max(now + RETRY_MIN);
        let horizon = now + RETRY_MAX;
        self.last = next.min(horizon);
        let wait = (self.last - now).as_secs_f64() * (1.0 + 0.2 * jitter);
        let wait = seconds(wait).clamp(RETRY_MIN, RETRY_MAX);
        if next < horizon && pace.gap > 0.0 && self.places.len() < KEPT {
            self.made += 1;
            self.places.insert((claim, self.made), now + wait);
            self.due.insert((now + wait, claim, self.made));
        }
        wait
    }

    /// Whether this client was promised a place and comes for it now. It can come once.
    pub(crate) fn redeem(&mut self, now: Timestamp, claim: Claim) -> bool {
        self.expire(now);
        match self.first_of(claim) {
            Some((made, at)) if at <= now => self.give_up(claim, made),
            _ => false,
        }
    }

    /// This client needs its place no more. One that it has lost already is not the one that it gives up.
    pub(crate) fn forget(&mut self, now: Timestamp, claim: Claim) {
        self.expire(now);
        if let Some((made, _)) = self.first_of(claim) {
            self.give_up(claim, made);
        }
    }

    fn give_up(&mut self, claim: Claim, made: u64) -> bool {
        let at = self.places.remove(&(claim, made));
        at.is_some_and(|at| self.due.remove(&(at, claim, made)))
    }

    /// The place of this client that comes first.
    fn first_of(&self, claim: Claim) -> Option<(u64, Timestamp)> {
        let own = self.places.range((claim, 0)..=(claim, u64::MAX));
        own.map(|((_, made), at)| (*made, *at)).min_by_key(|(_, at)| *at)
    }

    /// Places that must not be given to anyone else now: those that are promised for a time by which, at
    /// this pace, not enough others will surely have become free.
    pub(crate) fn kept(&self, now: Timestamp, pace: Pace) -> u32 {
        let mut kept = 0.0_f64;
        let mut promised = 0.0;
        for (at, _, _) in self.due.iter().filter(|(at, _, _)| now - *at <= PATIENCE).take(LOOKED_AT) {
            promised += 1.0;
            kept = kept.max(promised - pace.surely_free((*at - now).as_secs_f64()).max(0.0));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to LOOKED_AT")]
        let whole = kept.ceil() as u32;
        whole
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((at, claim, made)) = self.due.first().copied()
            && now - at > PATIENCE
        {
            self.give_up(claim, made);
        }
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

    /// Every so many seconds, to the microsecond.
    fn every(gap: f64) -> Pace {
        Pace { gap, spread: 0.0 }
    }

    #[test]
    fn clients_that_are_turned_away_get_one_place_each() {
        let mut promises = Promises::default();
        let waits: Vec<_> =
            (0..4).map(|id| promises.promise(NOW, of(id), every(4.0), 0.0).as_secs()).collect();
        assert_eq!(waits, [4, 8, 12, 16]);
        for id in 4..200 {
            assert!(promises.promise(NOW, of(id), every(4.0), 1.0) <= RETRY_MAX);
        }
    }

    #[test]
    fn who_comes_in_gives_up_a_place_that_is_still_kept_and_not_one_that_is_lost() {
        let mut promises = Promises::default();
        let like = Claim::Like(1);
        let first = promises.promise(NOW, like, every(4.0), 0.0);
        let later = NOW + first + SECOND;
        promises.promise(later, like, every(4.0), 0.0);
        // The first place is lost by now, and the second one is kept.
        let now = NOW + first + PATIENCE + Duration::from_millis(1);
        promises.forget(now, like);
        assert_eq!(promises.kept(now, every(4.0)), 0);
    }

    #[test]
    fn uncertain_places_are_promised_more_slowly() {
        let mut promises = Promises::default();
        let pace = Pace { gap: 4.0, spread: 1.0 };
        let waits: Vec<_> = (0..3).map(|id| promises.promise(NOW, of(id), pace, 0.0).as_millis()).collect();
        assert_eq!(waits, [4_600, 9_200, 13_800]);
    }

    #[test]
    fn nobody_is_told_to_come_in_less_than_a_second_and_no_two_at_once() {
        let mut promises = Promises::default();
        let waits: Vec<_> =
            (0..3).map(|id| promises.promise(NOW, of(id), every(0.25), 0.0).as_millis()).collect();
        assert_eq!(waits, [1_000, 1_250, 1_500]);
    }

    #[test]
    fn a_place_is_kept_for_its_client_and_not_for_ever() {
        let mut promises = Promises::default();
        let [first, second] = [1, 2].map(of);
        promises.promise(NOW, first, every(10.0), 0.0);
        // Two places become free until then, of which nobody counts on one.
        assert_eq!(promises.kept(NOW, every(5.0)), 0);
        assert_eq!(promises.kept(NOW + SECOND * 8, every(5.0)), 1);
        assert!(!promises.redeem(NOW + SECOND * 8, first), "too early");
        assert!(!promises.redeem(NOW + SECOND * 11, second), "promised nothing");
        assert!(promises.redeem(NOW + SECOND * 11, first));
        assert!(!promises.redeem(NOW + SECOND * 11, first), "once");
        promises.promise(NOW, second, every(10.0), 0.0);
        assert_eq!(promises.kept(NOW + SECOND * 40, every(1.0)), 0);
        assert!(!promises.redeem(NOW + SECOND * 40, second), "too late");
    }

    #[test]
    fn as_many_places_are_kept_as_may_be_missing() {
        let mut promises = Promises::default();
        for id in 0..10 {
            promises.promise(NOW, of(id), every(1.0), 0.0);
        }
        // Each finds the place that becomes free just before its time, but for the one on which nobody counts.
        assert_eq!(promises.kept(NOW, every(1.0)), 1);
        assert_eq!(promises.kept(NOW, every(2.0)), 6, "five of ten, and the one on which nobody counts");
        assert_eq!(promises.kept(NOW, every(0.5)), 0);
        let unsure = Pace { gap: 1.0, spread: 1.0 };
        assert_eq!(promises.kept(NOW, unsure), 6, "and the deviations of ten");
    }

    #[test]
    fn clients_that_ask_for_the_same_share_their_places() {
        let mut promises = Promises::default();
        let same = Claim::Like(5);
        let waits: Vec<_> = (0..3).map(|_| promises.promise(NOW, same, every(4.0), 0.0).as_secs()).collect();
        assert_eq!(waits, [4, 8, 12]);
        assert!(promises.redeem(NOW + SECOND * 4, same));
        assert!(!promises.redeem(NOW + SECOND * 5, same), "the next place is not due");
        assert!(!promises.redeem(NOW + SECOND * 8, Claim::Like(6)), "another client");
        assert!(promises.redeem(NOW + SECOND * 8, same));
    }
}
