//! Whether operations begin, close, evict and end as they must.

use super::{Checks, Step, breach, hold};
use crate::{Effect, LeaseId, PoolId, ReplicaId, sim::expect::Cause, sim::rare::Rare};

impl Step<'_> {
    pub(super) fn answer(&mut self, told: &Effect) -> Checks {
        let due = self.expected.answer.take();
        hold(due.as_ref() == Some(told), "P11", || format!("{told:?} is said instead of {due:?}"))
    }

    pub(super) fn evict(&mut self, lease: LeaseId) -> Checks {
        let Some(due) = self.expected.evicts.iter().position(|due| *due == lease) else {
            return breach("P13", format!("lease {lease} is evicted for nothing, or twice"));
        };
        self.expected.evicts.swap_remove(due);
        Ok(())
    }

    pub(super) fn drained(&mut self, pool: &PoolId, replica: Option<&ReplicaId>) -> Checks {
        let name = || format!("{pool}/{replica:?}");
        let index = self.book.find_pool(pool).and_then(|pool| self.book.find_hold(pool, replica));
        let Some(index) = index else {
            return breach("P12", format!("{} is not closed, and is said to be drained", name()));
        };
        let note = &self.book.holds[index];
        hold(!note.told, "P12", || format!("{} is said to be drained twice", name()))?;
        let left = self.book.held_slots(note);
        hold(left == 0, "P12", || format!("{} is said to be drained, and has {left} slots in use", name()))?;
        self.book.holds[index].told = true;
        self.tally.reach_if(self.ended_an_attempt, Rare::DrainedByLast);
        Ok(())
    }

    /// What was asked for is answered, what is to stop is told so, and what is empty is said to be.
    pub(super) fn operations_are_told(&mut self) -> Checks {
        let waits_again = self.expected.cause == Cause::Eviction && self.expected.again.is_some();
        self.tally.reach_if(waits_again, Rare::EvictedWaitsAgain);
        if let Some(answer) = &self.expected.answer {
            return breach("P11", format!("nobody says {answer:?}"));
        }
        if let Some(lease) = self.expected.evicts.first() {
            return breach("P13", format!("lease {lease} is not evicted"));
        }
        let book = &self.book;
        let silent = book.holds.iter().find(|it| !it.told && book.held_slots(it) == 0);
        hold(silent.is_none(), "P12", || format!("{silent:?} is empty, and nobody says so"))?;
        let vain = book.live.iter().find(|note| book.hopeless(note).is_some());
        hold(vain.is_none(), "P15", || format!("{vain:?} waits for nothing"))
    }
}
