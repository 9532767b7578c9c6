//! The scheduler by itself: how many decisions a second it makes, and whether a long queue makes it slower.
//!
//! It runs in this process, since it needs nothing but events; its cost is this thread's CPU time.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Result, ensure};
use orchestrator_core::{
    Effect, Event, JobId, LeaseId, NewJob, Outcome, PoolId, Priority, ReplicaId, ReplicaView, Requirements,
    Rules, Scheduler, Spent, Timestamp,
};

use super::{Bench, row::Row};
use crate::{
    load::as_f64,
    relay::{median, time_of_thread},
};

const REPLICAS: u32 = 64;
const SLOTS: u32 = 4;
const SHORT: u32 = 1_000;
const LONG: u32 = 100_000;
/// Decisions a second that one core is to make.
const GOAL: f64 = 1e6;
/// A longer queue may cost what its memory costs to reach, and no more than that.
const GROWTH: f64 = 4.0;
/// Events of one measurement.
const BATCH: u32 = 50_000;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rounds = Vec::new();
    for _ in 0..bench.pick(1, 5) {
        rounds.push((costs(SHORT)?, costs(LONG)?));
    }
    let of = |figure: fn(&(Costs, Costs)) -> f64| median(rounds.iter().map(figure).collect());
    let per_s = 1e9 / of(|(_, long)| long.place);
    let grown = |what: &str, short: f64, long: f64| {
        let what = format!("{what} with {LONG} queued, beside {SHORT}");
        Row::new(what, "CPU ns", long).against(Some(short)).ratio_at_most(GROWTH)
    };
    let what = format!("an attempt ends, the next job is placed; {LONG} queued, {REPLICAS} replicas");
    Ok(vec![
        Row::new(what, "per s and core", per_s).at_least(GOAL),
        grown("enqueue", of(|(short, _)| short.enqueue), of(|(_, long)| long.enqueue)),
        grown("end and place", of(|(short, _)| short.place), of(|(_, long)| long.place)),
        grown("cancel", of(|(short, _)| short.cancel), of(|(_, long)| long.cancel)),
    ])
}

/// Nanoseconds of one event of each kind, at one length of the queue.
#[derive(Debug, Clone, Copy)]
struct Costs {
    enqueue: f64,
    place: f64,
    cancel: f64,
}

/// Fills the queue, then moves it up and down in small steps, so that its length stays about the same.
fn costs(queued: u32) -> Result<Costs> {
    let mut world = World::new();
    let full = queued + REPLICAS * SLOTS;
    world.submit(full)?;
    ensure!(world.running.len() == (REPLICAS * SLOTS) as usize, "only {} jobs run", world.running.len());
    let step = (queued / 10).min(BATCH);
    let (mut enqueue, mut place, mut cancel) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let rounds = BATCH / step;
    for _ in 0..rounds {
        place += world.end(step)?;
        enqueue += world.submit(step)?;
        cancel += world.cancel(step)?;
        enqueue += world.submit(step)?;
    }
    let each = |took: Duration, events: u32| took.as_secs_f64() * 1e9 / f64::from(events);
    let events = rounds * step;
    Ok(Costs { enqueue: each(enqueue, events * 2), place: each(place, events), cancel: each(cancel, events) })
}

struct World {
    scheduler: Scheduler,
    requirements: Requirements,
    now: u64,
    jobs: u128,
    /// Jobs that wait, in the order in which they came.
    waiting: VecDeque<JobId>,
    running: VecDeque<LeaseId>,
}

impl World {
    fn new() -> Self {
        let mut scheduler = Scheduler::new(Rules { capacity: 1_000_000, ..Rules::default() });
        for number in 0..REPLICAS {
            let replica = ReplicaId::new(format!("r{number}"));
            let view = ReplicaView { slots: SLOTS, ..ReplicaView::ready(PoolId::new("p"), replica, "m") };
            drop(scheduler.handle(Timestamp::from_micros(0), Event::ReplicaSeen(view)));
        }
        Self {
            scheduler,
            requirements: Requirements::of("m", 100),
            now: 0,
            jobs: 0,
            waiting: VecDeque::new(),
            running: VecDeque::new(),
        }
    }

    /// New jobs, and what it took to take them in. All of one class, so that they are placed as they came.
    fn submit(&mut self, count: u32) -> Result<Duration> {
        let events: Vec<_> = (0..count)
            .map(|_| {
                self.jobs += 1;
                // Ids that are as far from each other as real ones are.
                let id = JobId::from_u128(self.jobs.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
                self.waiting.push_back(id);
                Event::Submit(NewJob::of(id, Priority::Batch, self.requirements.clone()))
            })
            .collect();
        self.time(events, |effect| matches!(effect, Effect::Accept(..)))
    }

    /// Attempts end, and the next jobs get their slots.
    fn end(&mut self, count: u32) -> Result<Duration> {
        let mut took = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            let part = left.min(REPLICAS * SLOTS);
            let leases = self.running.drain(..part as usize);
            let end = |lease| Event::AttemptEnded(lease, Outcome::Completed, Spent::default());
            let events: Vec<_> = leases.map(end).collect();
            took += self.time(events, |effect| matches!(effect, Effect::Dispatch(_)))?;
            left -= part;
        }
        Ok(took)
    }

    /// Clients take back jobs from the middle of the queue.
    fn cancel(&mut self, count: u32) -> Result<Duration> {
        let first = (self.waiting.len() - count as usize) / 2;
        let events: Vec<_> = self.waiting.drain(first..first + count as usize).map(Event::Cancel).collect();
        self.time(events, |effect| matches!(effect, Effect::Finish(..)))
    }

    /// Hands the events in. Each must have the effect that it is for.
    fn time(&mut self, events: Vec<Event>, wanted: fn(&Effect) -> bool) -> Result<Duration> {
        let (count, mut effects) = (events.len() as u64, 0);
        let begun = time_of_thread()?;
        for event in events {
            self.now += 1;
            for effect in self.scheduler.handle(Timestamp::from_micros(self.now), event) {
                effects += u64::from(wanted(&effect));
                if let Effect::Dispatch(assignment) = effect {
                    self.running.push_back(assignment.lease);
                    self.waiting.pop_front();
                }
            }
        }
        let took = time_of_thread()?.saturating_sub(begun);
        ensure!(effects == count, "{count} events had only {:.0} of their effects", as_f64(effects));
        Ok(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_effect_and_the_queue_keeps_its_length() {
        let mut world = World::new();
        world.submit(REPLICAS * SLOTS + 500).unwrap();
        assert_eq!(world.waiting.len(), 500);
        world.end(400).unwrap();
        assert_eq!((world.waiting.len(), world.running.len()), (100, (REPLICAS * SLOTS) as usize));
        world.cancel(50).unwrap();
        world.submit(50).unwrap();
        assert_eq!(world.waiting.len(), 100);
    }

    #[test]
    fn event_without_its_effect_is_an_error() {
        let mut world = World::new();
        let stranger = vec![Event::Cancel(JobId::from_u128(7))];
        world.time(stranger, |effect| matches!(effect, Effect::Finish(..))).unwrap_err();
    }
}
