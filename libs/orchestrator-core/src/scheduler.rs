//! The scheduler: state, and the one function that moves it.
//!
//! The parts: [`admit`] decides whether a job comes in, [`predict`] when it will start, [`place`]
//! which job gets which slot, [`explain`] why, [`end`]
//! what happens when something is over, [`hold`] what operators close and open, [`hope`] who waits in
//! vain, [`audit`] what must hold after every step.

mod admit;
mod audit;
mod end;
mod explain;
mod hold;
mod hope;
mod place;
mod predict;
mod views;

use std::{collections::BTreeSet, vec::Drain};

use crate::{
    effect::Effect,
    event::Event,
    ids::{JobId, LeaseId},
    lease::Leases,
    placement::Placement,
    pool::{Pool, ReplicaKey},
    quarantine::Quarantine,
    queue::Jobs,
    rules::Rules,
    sessions::Sessions,
    time::Timestamp,
};

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Deadline(JobId),
    /// The time that an attempt holds of its session's budget is used up.
    Allowance(LeaseId),
    /// What was closed in a pool is to be empty, by its index.
    Emptied(usize),
    Rested(ReplicaKey),
}

/// Whether jobs still come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
}

/// All pools, all live jobs, all slots in use.
#[derive(Debug)]
pub struct Scheduler {
    rules: Rules,
    phase: Phase,
    pools: Vec<Pool>,
    jobs: Jobs,
    leases: Leases,
    placement: Placement,
    quarantine: Quarantine,
    sessions: Sessions,
    due: BTreeSet<(Timestamp, Due)>,
    effects: Vec<Effect>,
}

impl Scheduler {
    /// An empty scheduler.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Open,
            pools: Vec::new(),
            jobs: Jobs::default(),
            leases: Leases::default(),
            placement: Placement::new(rules.placement),
            quarantine: Quarantine::default(),
            sessions: Sessions::new(rules.sessions),
            due: BTreeSet::new(),
            effects: Vec::new(),
        }
    }

    /// Applies one event at `now`, and returns what must be done, in order.
    ///
    /// `now` must not go backwards. What was due before `now` happens first, so that nothing is
    /// dispatched at or after its deadline, however late the tick comes.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Drain<'_, Effect> {
        self.settle_due(now);
        match event {
            Event::Submit(job) => self.submit(now, job),
            Event::Recover(recovered) => self.recover(now, recovered),
            Event::RecoverSession(record) => self.sessions.recover(now, *record),
            Event::Cancel(job) => self.cancel(now, job),
            Event::AttemptEnded(lease, outcome, spent) => self.attempt_ended(now, lease, outcome, spent),
            Event::ReplicaSeen(view) => self.replica_seen(now, view),
            Event::ReplicaGone(pool, replica) => self.replica_gone(now, &pool, &replica),
            Event::Begin { pool, operation } => self.begin(now, pool, operation),
            Event::Close { pool, replica, deadline } => {
                let index = self.pool_named(pool);
                self.close(now, index, replica, Some(deadline));
            }
            Event::Open { pool, replica } => self.open(now, &pool, replica.as_ref()),
            Event::Settle { pool } => self.settle(now, &pool),
            Event::EndSession(session) => self.sessions.end(session),
            Event::Tick => {}
            Event::Shutdown => self.shut_down(now),
            Event::StopRunning => self.stop_running(now),
        }
        self.effects.drain(..)
    }

    /// When the next tick is due, if nothing else happens before.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at);
        due.into_iter().chain(self.sessions.next_expiry()).min()
    }

    fn settle_due(&mut self, now: Timestamp) {
        // Every deadline comes first: a replica that is rested for a while already must not be given
        // a job whose deadline has passed since.
        let mut rested = Vec::new();
        while let Some((at, due)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            match due {
                Due::Deadline(job) => self.deadline_passed(now, job),
                Due::Allowance(lease) => self.allowance_used(now, lease),
                Due::Emptied(pool) => self.expire_holds(now, pool, at),
                Due::Rested(key) => rested.push(key),
            }
        }
        self.sessions.expire(now);
        for key in rested {
            self.fill(now, key);
        }
    }
}
