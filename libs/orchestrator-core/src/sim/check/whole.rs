//! What must hold of the whole state, between steps.

use super::{Breach, Checked, Checks, breach, hold};
use crate::{Closed, Timestamp};

fn closed(used: usize) -> Closed {
    if used > 0 { Closed::Draining } else { Closed::Drained }
}

impl Checked {
    /// No replica has room while a job waits that it may run.
    pub(super) fn work_conserving(&self, now: Timestamp) -> Checks {
        let book = &self.book;
        let open = (0..book.replicas.len()).filter(|index| book.is_open(*index, now));
        for replica in open {
            let idle = book.live.iter().find(|note| note.line().is_some() && book.suits_note(note, replica));
            if let Some(note) = idle {
                let name = &book.replicas[replica].view.replica;
                return breach("Q8", format!("{name} is idle while job {} waits for it", note.job.id));
            }
        }
        Ok(())
    }

    /// Whoever sleeps until the scheduler says so must not sleep through a deadline.
    pub(super) fn timer_is_set(&self, now: Timestamp) -> Checks {
        let deadlines = self.book.live.iter().filter_map(|note| note.job.deadline);
        let Some(first) = deadlines.chain(self.book.next_expiry()).min() else {
            return Ok(());
        };
        let due = self.scheduler.next_due();
        hold(due.is_some_and(|due| due <= first && now < due), "Q5", || {
            format!("a deadline is at {first:?}, the timer at {due:?}")
        })
    }

    /// The scheduler's own audit, and what it tells the outside, against the books.
    pub(in crate::sim) fn whole(&self, now: Timestamp) -> Checks {
        if let Err(what) = self.scheduler.audit(now) {
            return Err(Breach { invariant: "audit", what });
        }
        let (book, scheduler) = (&self.book, &self.scheduler);
        let live = book.live.len() as u64;
        hold(book.accepted == live + book.ended, "T6", || format!("{live} live jobs do not add up"))?;
        let idle = live == 0 && book.leases.is_empty();
        hold(scheduler.is_idle() == idle, "P2", || format!("idle is {idle}, and is told otherwise"))?;
        self.pools_are_told_right()?;
        self.sessions_are_told_right(now)?;
        for (place, note) in book.live.iter().enumerate() {
            let rank = note.line().map(|line| {
                let before = |other: &(usize, usize)| *other < (note.job.priority as usize, place);
                let others = book.live.iter().enumerate().filter(|(_, it)| it.line() == Some(line));
                others.map(|(place, it)| (it.job.priority as usize, place)).filter(before).count()
            });
            let told = scheduler.queue_position(note.job.id).map(|position| position as usize);
            hold(told == rank, "Q6", || format!("job {} stands at {rank:?}, is told {told:?}", note.job.id))?;
        }
        Ok(())
    }

    fn sessions_are_told_right(&self, now: Timestamp) -> Checks {
        let (book, scheduler) = (&self.book, &self.scheduler);
        for account in &book.ledger.accounts {
            let told = scheduler.session(now, account.id);
            let last = account.last.map(|index| &book.replicas[index].view);
            let right = told.as_ref().is_some_and(|told| {
                let there = told.last.as_ref().map(|(pool, replica)| (pool, replica));
                told.remaining == book.ledger.remaining(account)
                    && told.live as usize == book.ledger.live(account)
                    && told.turns_used == account.turns
                    && told.warm == account.warm
                    && there == last.map(|view| (&view.pool, &view.replica))
                    && told.ttl_remaining == book.ledger.ttl(account, now)
            });
            hold(right, "S3", || format!("{account:?} is told as {told:?}"))?;
        }
        Ok(())
    }

    fn pools_are_told_right(&self) -> Checks {
        let book = &self.book;
        for told in self.scheduler.pools() {
            let Some(pool) = book.find_pool(&told.pool) else {
                return breach("P1", format!("pool {} was never seen", told.pool));
            };
            let waiting = told.waiting.iter().sum::<u32>() as usize;
            hold(waiting == book.waiting(pool), "T6", || {
                format!("{waiting} jobs are said to wait in {}, not {}", told.pool, book.waiting(pool))
            })?;
            let whole = book.find_hold(pool, None).map(|_| book.used_in(pool));
            let right = told.operation == book.operation(pool)
                && told.running as usize == book.used_in(pool)
                && told.closed == whole.map(closed);
            hold(right, "P11", || format!("{} is told as {told:?}", told.pool))?;
            let here = book.replicas.iter().filter(|it| it.pool == pool && it.is_here()).count();
            hold(told.replicas.len() == here, "P1", || format!("{} has {here} replicas", told.pool))?;
            for summary in &told.replicas {
                let note = book.find_replica(&told.pool, &summary.view.replica);
                let right = note.is_some_and(|index| {
                    let note = &book.replicas[index];
                    note.is_here()
                        && note.used == summary.slots_used
                        && note.record.circuit() == summary.circuit
                        && note.view == summary.view
                        && summary.closed == book.is_closed(index).then(|| closed(note.used as usize))
                });
                hold(right, "P2", || format!("{summary:?} is not what was seen"))?;
            }
        }
        Ok(())
    }
}
