//! Which job may start where, and whether it was its turn.

use super::{Checks, Step, breach, hold};
use crate::{
    Affinity, Assignment, JobId, PlacementKind, Priority,
    sim::{
        book::{LeaseNote, Standing, memory},
        expect::Cause,
        rare::Rare,
    },
};

/// Decides whose turn it is: class, then the replica's own line, then age.
type Turn = (Priority, bool, usize);

impl Step<'_> {
    pub(super) fn dispatch(&mut self, told: &Assignment) -> Checks {
        let Some(place) = self.book.find(told.job) else {
            return breach("T4", format!("job {} starts and is not alive", told.job));
        };
        let Some(line) = self.book.live[place].line() else {
            return breach("T7", format!("job {} starts and runs already", told.job));
        };
        let Some(replica) = self.book.find_replica(&told.pool, &told.replica) else {
            return breach("P1", format!("job {} starts on a replica nobody knows", told.job));
        };
        self.may_run_there(place, replica)?;
        self.may_be_tried(place, replica, told)?;
        self.is_its_turn(place, line, replica)?;
        let fresh = self.newcomer == Some(told.job) || self.expected.again == Some(told.job);
        if fresh {
            self.is_best_choice(place, replica)?;
        } else {
            self.tally.reach_if(self.book.replicas[replica].pool != line, Rare::Steal);
        }
        let retry = !self.book.live[place].tried.is_empty();
        self.tally.reach_if(retry, Rare::Retry);
        self.tally.reach_if(self.expected.cause == Cause::LossAfterTokens, Rare::RetryAfterTokens);
        self.tally.reach_if(self.expected.cause == Cause::Time, Rare::RestEndsIntoWork);
        self.tally.reach_if(self.expected.cause == Cause::Opening, Rare::OpenedIntoWork);
        let evicted = self.expected.cause == Cause::Eviction && self.expected.again == Some(told.job);
        self.tally.reach_if(evicted, Rare::EvictedElsewhere);
        let (need, at) = (&self.book.live[place].job.requirements, &self.book.replicas[replica].view);
        self.tally.reach_if(need.pin_node.is_some(), Rare::PinnedNodeStart);
        self.tally.reach_if(need.vram_need.is_some() && memory(at).is_some(), Rare::NeedStart);
        let affinity = self.book.ledger.start(told.job, told.lease, self.now, replica);
        hold(told.affinity == affinity, "S1", || {
            format!("job {} is told {:?} of its session, which is {affinity:?}", told.job, told.affinity)
        })?;
        self.tally.reach_if(affinity == Affinity::Kept, Rare::AffinityKept);
        self.tally.reach_if(affinity == Affinity::Moved, Rare::AffinityMoved);
        self.book.newest_lease = Some(told.lease);
        let (aborted, evicted) = (false, None);
        self.book.leases.push(LeaseNote { id: told.lease, job: told.job, replica, aborted, evicted });
        self.book.replicas[replica].used += 1;
        self.book.replicas[replica].record.starts(told.lease);
        self.book.live[place].standing = Standing::Running(told.lease);
        Ok(())
    }

    fn may_run_there(&self, place: usize, replica: usize) -> Checks {
        let (note, at) = (&self.book.live[place], &self.book.replicas[replica]);
        let id = note.job.id;
        let name = || format!("{}/{}", at.view.pool, at.view.replica);
        hold(at.used < at.view.slots, "P2", || {
            format!("job {id} starts on {}, which has no free slot", name())
        })?;
        hold(at.record.admits(self.now), "P9", || format!("job {id} starts on {}, which fails", name()))?;
        hold(!self.book.is_closed(replica), "P10", || {
            format!("job {id} starts on {}, which is closed", name())
        })?;
        hold(self.book.is_open(replica, self.now), "P1", || {
            format!("job {id} starts on {}, which is not open: {at:?}", name())
        })?;
        let pinned = note.job.requirements.pin_pool.as_ref().is_none_or(|pin| *pin == at.view.pool);
        hold(pinned, "P7", || format!("job {id} is pinned and starts on {}", name()))?;
        let wanted = note.job.requirements.pin_node.as_ref();
        hold(wanted.is_none() || wanted == at.view.node.as_ref(), "P7", || {
            format!("job {id} is pinned to {wanted:?} and starts on {}", name())
        })?;
        let (need, have) = (note.job.requirements.vram_need, memory(&at.view));
        hold(need.zip(have).is_none_or(|(need, have)| need <= have), "P14", || {
            format!("job {id} needs {need:?} bytes and starts on {}, which has {have:?}", name())
        })?;
        hold(!note.tried.contains(&replica), "X6", || {
            format!("job {id} starts on {}, where it was lost", name())
        })?;
        hold(self.book.suits_note(note, replica), "P1", || {
            format!("job {id} starts on {}, which does not suit", name())
        })
    }

    fn may_be_tried(&self, place: usize, replica: usize, told: &Assignment) -> Checks {
        let note = &self.book.live[place];
        let id = note.job.id;
        let poisoned = note.job.fingerprint.is_some_and(|print| self.book.breaks.refuses(self.now, print));
        hold(!poisoned, "X5", || format!("job {id} starts, and its like broke two replicas"))?;
        hold(!self.book.closing, "T2", || format!("job {id} starts while the server goes down"))?;
        let in_time = note.job.deadline.is_none_or(|deadline| self.now < deadline);
        hold(in_time, "Q5", || format!("job {id} starts after its deadline"))?;
        let attempt = note.earlier.unwrap_or(0) as usize + note.tried.len() + 1;
        let allowed = attempt <= note.job.max_attempts as usize && told.attempt as usize == attempt;
        hold(allowed, "X1", || {
            format!("job {id} starts attempt {} of {}", told.attempt, note.job.max_attempts)
        })?;
        let fresh = self.book.newest_lease.is_none_or(|newest| newest < told.lease);
        hold(fresh, "C4", || format!("lease {} is given out again, on {replica}", told.lease))
    }

    fn is_its_turn(&self, place: usize, line: usize, replica: usize) -> Checks {
        let own = self.book.replicas[replica].pool;
        let turn =
            |place: usize, line: usize| -> Turn { (self.book.live[place].job.priority, line != own, place) };
        let mine = turn(place, line);
        let first = self
            .book
            .live
            .iter()
            .enumerate()
            .filter_map(|(other, note)| Some((turn(other, note.line()?), note)))
            .find(|(other, note)| *other < mine && self.book.suits_note(note, replica));
        let Some((other, first)) = first else { return Ok(()) };
        let id: JobId = self.book.live[place].job.id;
        let invariant = if other.0 == mine.0 { "Q2" } else { "Q3" };
        breach(invariant, format!("job {id} starts before job {}, whose turn it is", first.job.id))
    }

    /// A job that starts at once, or at once elsewhere, gets the best of what is free.
    fn is_best_choice(&self, place: usize, replica: usize) -> Checks {
        let note = &self.book.live[place];
        let prefer = &note.job.requirements.prefer_pools;
        let session = note.job.session.and_then(|asked| self.book.ledger.account(asked.id));
        let last = session.and_then(|account| account.last);
        let by_load = self.book.rules.placement == PlacementKind::LeastLoaded;
        let badness = |index: usize| {
            let it = &self.book.replicas[index];
            let full = if by_load { u64::MAX - it.view.vram_free_bytes.unwrap_or(0) } else { 0 };
            let used = if by_load { it.used } else { 0 };
            let name = if by_load { it.view.replica.as_str() } else { "" };
            let preferred = prefer.contains(&it.view.pool);
            let warm = last == Some(index) && (prefer.is_empty() || preferred);
            (!warm, !preferred, full, used, name)
        };
        let free = (0..self.book.replicas.len())
            .filter(|&index| self.book.is_open(index, self.now) && self.book.suits_note(note, index));
        let best = free.map(badness).min();
        hold(best.is_none_or(|best| badness(replica) <= best), "P6", || {
            format!("job {} starts on {replica}, and something better is free: {best:?}", note.job.id)
        })
    }
}
