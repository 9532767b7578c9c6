//! Which replica has failed so many requests that it gets no more for a while.
//!
//! A probe asks whether an engine answers, not whether it works: one that is healthy on its own word
//! and fails every request would eat the queue. So only requests count here, and only a request that
//! succeeds closes the circuit again.

use std::time::Duration;

use crate::{event::Outcome, ids::LeaseId, time::Timestamp};

/// Failures in a row that open the circuit.
const IN_A_ROW: u32 = 3;
/// The share of failures that opens it, when they do not come in a row.
const RATE: f64 = 0.5;
/// Requests without which a share says nothing.
const SAMPLES: u32 = 10;
/// The weight of the newest request in that share.
const WEIGHT: f64 = 0.1;
/// How long the circuit stays open: at first, at most.
const OPEN: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];

/// Whether requests reach a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Circuit {
    /// They do.
    #[default]
    Closed,
    /// They do not before this; then a single one may try.
    Open {
        /// The end of the pause.
        until: Timestamp,
    },
    /// A single one is trying.
    HalfOpen,
}

/// What the requests to one replica have shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    circuit: Circuit,
    trial: Option<LeaseId>,
    in_a_row: u32,
    rate: f64,
    samples: u32,
    pause: Duration,
}

impl Breaker {
    pub(crate) fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Whether one more request may go there.
    pub(crate) fn allows(&self, now: Timestamp) -> bool {
        match self.circuit {
            Circuit::Closed => true,
            Circuit::Open { until } => until <= now,
            Circuit::HalfOpen => false,
        }
    }

    /// A request goes there.
    pub(crate) fn starts(&mut self, lease: LeaseId) {
        if self.circuit != Circuit::Closed {
            self.circuit = Circuit::HalfOpen;
            self.trial = Some(lease);
        }
    }

    /// A request came to its end. Says when to try again, if it must be tried.
    //= ORCH-3062
    pub(crate) fn ended(&mut self, now: Timestamp, lease: LeaseId, outcome: Outcome) -> Option<Timestamp> {
        let failed = match outcome {
            Outcome::Completed => Some(false),
            Outcome::Lost { .. } | Outcome::TimedOut { .. } => Some(true),
            Outcome::Aborted | Outcome::Busy { .. } | Outcome::Refused | Outcome::Evicted { .. } => None,
        };
        match (self.circuit, failed) {
            (Circuit::Closed, Some(failed)) => {
                self.count(failed);
                let often = self.samples >= SAMPLES && self.rate > RATE;
                (self.in_a_row >= IN_A_ROW || often).then(|| self.open(now, OPEN[0]))
            }
            (Circuit::HalfOpen, verdict) if self.trial == Some(lease) => match verdict {
                Some(true) => Some(self.open(now, (self.pause * 2).min(OPEN[1]))),
                Some(false) => {
                    *self = Self::default();
                    None
                }
                // The trial showed nothing: the next one may try at once.
                None => {
                    self.circuit = Circuit::Open { until: now };
                    self.trial = None;
                    None
                }
            },
            // What was started before the circuit opened says nothing about what is there now.
            _ => None,
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "one request, failed or not")]
    fn count(&mut self, failed: bool) {
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        self.samples = self.samples.saturating_add(1);
        self.rate += WEIGHT * (f64::from(u8::from(failed)) - self.rate);
    }

    fn open(&mut self, now: Timestamp, pause: Duration) -> Timestamp {
        let until = now + pause;
        self.pause = pause;
        self.trial = None;
        self.circuit = Circuit::Open { until };
        until
    }
}
