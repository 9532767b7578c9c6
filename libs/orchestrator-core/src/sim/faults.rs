//! What the books know of replicas and requests that go wrong: told anew from outcomes alone.

use std::time::Duration;

use crate::{Circuit, LeaseId, Outcome, Timestamp};

/// Two breaks within this belong together; a fingerprint is refused for as long.
const PERIOD: Duration = Duration::from_mins(10);

/// Whether an outcome speaks for the replica, against it, or not at all.
pub(super) fn verdict(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Completed => Some(true),
        Outcome::Lost { .. } | Outcome::TimedOut { .. } => Some(false),
        _ => None,
    }
}

/// What the requests to one replica came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// Verdicts since the circuit was last closed, in order.
    verdicts: Vec<bool>,
    /// How often it opened since then.
    openings: u32,
    pub(super) closed_until: Timestamp,
    trial: Option<LeaseId>,
}

/// What an outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    Opened,
    TrialFailed,
    TrialSucceeded,
}

impl Record {
    pub(super) fn admits(&self, now: Timestamp) -> bool {
        self.openings == 0 || (self.trial.is_none() && self.closed_until <= now)
    }

    pub(super) fn circuit(&self) -> Circuit {
        match (self.openings, self.trial) {
            (0, _) => Circuit::Closed,
            (_, Some(_)) => Circuit::HalfOpen,
            (_, None) => Circuit::Open { until: self.closed_until },
        }
    }

    pub(super) fn starts(&mut self, lease: LeaseId) {
        if self.openings > 0 {
            self.trial = Some(lease);
        }
    }

    pub(super) fn ends(&mut self, now: Timestamp, lease: LeaseId, outcome: Outcome) -> Turn {
        if self.openings > 0 {
            if self.trial != Some(lease) {
                return Turn::None;
            }
            self.trial = None;
            return match verdict(outcome) {
                None => {
                    self.closed_until = now;
                    Turn::None
                }
                Some(true) => {
                    *self = Self::default();
                    Turn::TrialSucceeded
                }
                Some(false) => {
                    self.open(now);
                    Turn::TrialFailed
                }
            };
        }
        self.verdicts.extend(verdict(outcome));
        if !self.is_bad() || verdict(outcome).is_none() {
            return Turn::None;
        }
        self.open(now);
        Turn::Opened
    }

    fn open(&mut self, now: Timestamp) {
        let pause = Duration::from_secs(1 << self.openings.min(6)).min(Duration::from_mins(1));
        self.openings += 1;
        self.closed_until = now + pause;
    }

    fn is_bad(&self) -> bool {
        let in_a_row = self.verdicts.iter().rev().take_while(|good| !**good).count();
        let rate = self.verdicts.iter().fold(0.0, |rate, good| {
            let failed = if *good { 0.0 } else { 1.0 };
            rate + 0.1 * (failed - rate)
        });
        in_a_row >= 3 || (self.verdicts.len() >= 10 && rate > 0.5)
    }
}

/// Every break of a replica by a request with a fingerprint, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaks {
    seen: Vec<(u64, Timestamp, usize)>,
    refused: Vec<(u64, Timestamp)>,
}

impl Breaks {
    pub(super) fn refuses(&self, now: Timestamp, fingerprint: u64) -> bool {
        self.refused.iter().any(|(print, until)| *print == fingerprint && now < *until)
    }

    /// Notes a break. True when the fingerprint is refused from now on.
    pub(super) fn note(&mut self, now: Timestamp, fingerprint: u64, replica: usize) -> bool {
        if self.refuses(now, fingerprint) {
            return true;
        }
        let before = self.seen.iter().rposition(|(print, ..)| *print == fingerprint);
        let before = before.map(|index| self.seen.remove(index));
        let twice = before.is_some_and(|(_, at, on)| now - at < PERIOD && on != replica);
        if twice {
            self.refused.push((fingerprint, now + PERIOD));
        } else {
            self.seen.push((fingerprint, now, replica));
        }
        twice
    }
}
