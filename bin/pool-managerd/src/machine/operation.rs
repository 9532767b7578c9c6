//! What is done to a pool as a whole: drain, reload, purge, and back again.

use std::time::Duration;

use pool_registry_types::OperationKind;
use thiserror::Error;

use super::{Effect, Keeper, Machine, Moment, Phase, Then, Which};

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Take nothing new.
    Drain { within: Duration },
    /// Serve the candidate.
    Reload { within: Duration },
    /// Stop the engine and remove what it left.
    Purge {
        /// What runs may finish first, for so long.
        within: Option<Duration>,
        /// What then still runs.
        rest: Rest,
    },
    /// Take work again; start again what is down.
    Resume,
    /// The agent ends.
    Shutdown,
}

/// What becomes of streams that still run when an engine is to be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They keep it.
    Keeps,
    /// They are stopped.
    Stops,
}

/// Why an order is not taken now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Busy {
    /// One thing at a time.
    #[error("a {} is under way", .0.as_str())]
    Operation(OperationKind),
    /// Somebody else's work would be lost.
    #[error("{0} streams run, and neither drain_first nor force is set")]
    Streams(u32),
    /// Somebody else looks after the engine.
    #[error("the engine is external: whoever started it must do that")]
    NotOurs,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    kind: OperationKind,
    pub(super) step: Step,
    rest: Rest,
    within: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Whether the candidate can be started at all. The old engine serves.
    Checking,
    /// What runs may finish.
    Draining { until: Moment },
    /// The engine stops, and what it left goes.
    Purging,
    /// The candidate comes up.
    Switching,
    /// The old model comes up again.
    RollingBack { why: String },
}

impl Operation {
    pub(super) fn due(&self) -> Option<Moment> {
        match self.step {
            Step::Draining { until } => Some(until),
            _ => None,
        }
    }
}

impl Machine {
    /// Takes an order, or says why not.
    ///
    /// # Errors
    /// When another operation is under way, or work would be lost.
    // N13
    pub(crate) fn order(&mut self, now: Moment, order: Order) -> Result<Vec<Effect>, Busy> {
        if order == Order::Shutdown {
            self.operation = None;
            self.draining = true;
            return Ok(self.stop_then(Then::StayDown));
        }
        match &self.operation {
            // The control plane may see the last stream end before this node does.
            Some(running) if running.kind == OperationKind::Drain && order == Order::Resume => {
                let mut effects = self.finish(Err("it was given up: the pool takes work again".to_owned()));
                effects.extend(self.resume());
                return Ok(effects);
            }
            Some(running) => return Err(Busy::Operation(running.kind)),
            None => {}
        }
        let is_ours = self.rules.keeper == Keeper::Agent;
        let mut effects = match order {
            Order::Drain { within } => {
                self.begin(OperationKind::Drain, Step::Draining { until: now + within }, Rest::Keeps);
                self.draining = true;
                Vec::new()
            }
            Order::Reload { .. } | Order::Purge { .. } if !is_ours => return Err(Busy::NotOurs),
            Order::Reload { within } => {
                self.begin(OperationKind::Reload, Step::Checking, Rest::Stops).within = within;
                vec![Effect::Check]
            }
            Order::Purge { within: None, rest: Rest::Keeps } if self.busy > 0 => {
                return Err(Busy::Streams(self.busy));
            }
            Order::Purge { within, rest } => {
                let until = now + within.unwrap_or_default();
                self.begin(OperationKind::Purge, Step::Draining { until }, rest);
                self.draining = true;
                Vec::new()
            }
            Order::Resume => self.resume(),
            Order::Shutdown => Vec::new(),
        };
        effects.extend(self.progress(now));
        Ok(effects)
    }

    fn begin(&mut self, kind: OperationKind, step: Step, rest: Rest) -> &mut Operation {
        self.operation.insert(Operation { kind, step, rest, within: Duration::ZERO })
    }

    fn resume(&mut self) -> Vec<Effect> {
        self.draining = false;
        match self.phase {
            Phase::Down | Phase::Refused { .. } | Phase::Resting { .. } | Phase::Broken { .. } => {
                self.restarts.forget();
                self.prepare()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the candidate can be started. Only now does the old engine stop to take work.
    pub(super) fn checked(&mut self, now: Moment, outcome: Result<(), String>) -> Vec<Effect> {
        let Some(operation) = &mut self.operation else { return Vec::new() };
        if operation.step != Step::Checking {
            return Vec::new();
        }
        match outcome {
            Ok(()) => {
                operation.step = Step::Draining { until: now + operation.within };
                self.draining = true;
                Vec::new()
            }
            Err(why) => self.finish(Err(why)),
        }
    }

    /// Goes on with an operation that waited for streams to end, or for time to pass.
    pub(super) fn progress(&mut self, now: Moment) -> Vec<Effect> {
        let busy = if matches!(self.phase, Phase::Ready { .. }) { self.busy } else { 0 };
        let Some(operation) = &mut self.operation else { return Vec::new() };
        let Step::Draining { until } = operation.step else { return Vec::new() };
        if busy > 0 && now < until {
            return Vec::new();
        }
        match operation.kind {
            OperationKind::Drain => self.finish(Ok(())),
            OperationKind::Purge if busy > 0 && operation.rest == Rest::Keeps => {
                self.draining = false;
                self.finish(Err(format!("{busy} streams still run, and force is not set")))
            }
            OperationKind::Purge => {
                operation.step = Step::Purging;
                self.stop_then(Then::StayDown)
            }
            OperationKind::Reload => {
                operation.step = Step::Switching;
                self.which = Which::Candidate;
                self.restarts.forget();
                self.stop_then(Then::Start)
            }
        }
    }

    /// Nothing runs any more.
    pub(super) fn gone(&mut self) -> Vec<Effect> {
        let purges = self.operation.as_ref().is_some_and(|operation| operation.step == Step::Purging);
        if purges { vec![Effect::CleanUp] } else { Vec::new() }
    }

    /// The candidate came to nothing: the old model serves again.
    // N11
    //= ORCH-3443
    pub(super) fn roll_back(&mut self, why: String) -> Vec<Effect> {
        self.which = Which::Committed;
        if let Some(operation) = &mut self.operation {
            operation.step = Step::RollingBack { why };
        }
        self.prepare()
    }

    pub(super) fn finish(&mut self, outcome: Result<(), String>) -> Vec<Effect> {
        let Some(operation) = self.operation.take() else { return Vec::new() };
        if operation.kind == OperationKind::Reload {
            self.draining = false;
        }
        vec![Effect::Finished(operation.kind, outcome)]
    }
}
