//! Whose turn it is to run the scheduler.
//!
//! Whoever brings a command runs all that wait, unless somebody is at it, who then runs this one, too. So there is
//! one owner and one order of commands, as with a task that owns the state; but nobody has to be woken for a
//! decision, nobody waits for another's, and who asks mostly has the answer when it begins to wait for it.
//!
//! What comes from outside (submits, cancels, questions) is refused when too much of it waits. The end of an
//! attempt is never refused: a lost one would leak a slot. It needs no bound of its own, since there is at most
//! one for each slot that was given out.

use super::command::Refused;
use crate::sync::Mutex;

/// At some microseconds each, what waits is handled in a few milliseconds.
const ASKED_MAX: usize = 4_096;

/// Who handles commands, one after the other.
pub(super) trait Owner {
    /// What it is asked and told.
    type Command;

    /// Does what a command says. What it tells the same [`Turns`] meanwhile waits for its own turn.
    fn handle(&mut self, command: Self::Command);

    /// Nothing waits now.
    fn rest(&mut self);
}

/// The commands that wait, and their one owner. Without an owner they wait on.
pub(super) struct Turns<O: Owner> {
    waiting: Mutex<Waiting<O::Command>>,
    /// Empty while the owner is at work, and for good once it has panicked.
    seat: Mutex<Option<Seat<O>>>,
}

struct Waiting<C> {
    commands: Vec<C>,
    /// How many of them count against the bound.
    asked: usize,
}

struct Seat<O: Owner> {
    owner: Box<O>,
    /// Commands that were taken all at once; kept for its memory.
    taken: Vec<O::Command>,
}

impl<O: Owner> Default for Turns<O> {
    fn default() -> Self {
        let waiting = Waiting { commands: Vec::new(), asked: 0 };
        Self { waiting: Mutex::new(waiting), seat: Mutex::new(None) }
    }
}

impl<O: Owner> Turns<O> {
    /// Gives the commands an owner.
    pub(super) fn seat(&self, owner: O) {
        *self.seat.lock() = Some(Seat { owner: Box::new(owner), taken: Vec::new() });
    }

    /// Takes the owner away, if there is one.
    pub(super) fn dismiss(&self) {
        // It is dropped when the lock is free: what it drops may bring commands.
        let seat = self.seat.lock().take();
        drop(seat);
    }

    /// Looks at the owner when it is at rest; `None` when there is none any more.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut O) -> T) -> Option<T> {
        self.seat.lock().as_mut().map(|seat| look(&mut seat.owner))
    }

    /// Leaves a question, unless too much waits already. Somebody must [`run`](Self::run) then.
    pub(super) fn ask(&self, command: O::Command) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock();
        if waiting.asked >= ASKED_MAX {
            return Err(Refused);
        }
        waiting.asked += 1;
        waiting.commands.push(command);
        Ok(())
    }

    /// Leaves a command that must not be lost. Somebody must [`run`](Self::run) then.
    pub(super) fn tell(&self, command: O::Command) {
        self.waiting.lock().commands.push(command);
    }

    /// Has all that waits handled: here, or where it is being done.
    pub(super) fn run(&self) {
        loop {
            {
                let Some(mut seat) = self.seat.try_lock() else { return };
                // While it works its seat is empty, so an owner that panics is gone, and is seen to be.
                let Some(mut at_work) = seat.take() else { return };
                at_work.run(&self.waiting);
                *seat = Some(at_work);
            }
            // What came when the last look was over and the seat was not yet free is nobody else's.
            if self.waiting.lock().commands.is_empty() {
                return;
            }
        }
    }
}

impl<O: Owner> Seat<O> {
    fn run(&mut self, waiting: &Mutex<Waiting<O::Command>>) {
        loop {
            {
                let mut waiting = waiting.lock();
                if waiting.commands.is_empty() {
                    break;
                }
                waiting.asked = 0;
                std::mem::swap(&mut waiting.commands, &mut self.taken);
            }
            for command in self.taken.drain(..) {
                self.owner.handle(command);
            }
        }
        self.owner.rest();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Arc,
        thread,
    };

    use super::*;

    /// Notes what it is told, and tells itself a number that is one less as long as it can.
    #[derive(Default)]
    struct Book {
        turns: Option<Arc<Turns<Self>>>,
        seen: Vec<u32>,
        rests: u32,
    }

    impl Owner for Book {
        type Command = u32;

        fn handle(&mut self, number: u32) {
            assert_ne!(number, 13, "on purpose");
            self.seen.push(number);
            if let (Some(turns), Some(less)) = (&self.turns, number.checked_sub(1)) {
                turns.tell(less);
                turns.run();
            }
        }

        fn rest(&mut self) {
            self.rests += 1;
        }
    }

    fn seen(turns: &Turns<Book>) -> Vec<u32> {
        turns.look(|book| book.seen.clone()).unwrap_or_default()
    }

    #[test]
    fn commands_wait_for_an_owner_and_keep_their_order() {
        let turns = Turns::default();
        for number in [3, 1, 2] {
            turns.tell(number);
            turns.run();
        }
        turns.seat(Book::default());
        turns.run();
        assert_eq!((seen(&turns), turns.look(|book| book.rests)), (vec![3, 1, 2], Some(1)));
    }

    #[test]
    fn what_the_owner_brings_itself_has_its_turn_later() {
        let turns = Arc::new(Turns::default());
        turns.seat(Book { turns: Some(Arc::clone(&turns)), ..Book::default() });
        turns.tell(2);
        turns.tell(5);
        turns.run();
        assert_eq!(seen(&turns), [2, 5, 1, 4, 0, 3, 2, 1, 0]);
        turns.dismiss();
    }

    #[test]
    fn questions_are_bounded_and_what_must_not_be_lost_is_not() {
        let turns = Turns::default();
        for number in 0..ASKED_MAX {
            turns.ask(u32::try_from(number).unwrap() + 20).unwrap();
        }
        assert_eq!(turns.ask(14), Err(Refused));
        turns.tell(15);
        turns.seat(Book::default());
        turns.run();
        assert_eq!(seen(&turns).len(), ASKED_MAX + 1);
        assert_eq!(turns.ask(14), Ok(()));
    }

    #[test]
    fn an_owner_that_panicked_is_gone_and_what_comes_then_waits() {
        let turns = Turns::default();
        turns.seat(Book::default());
        turns.tell(13);
        assert!(catch_unwind(AssertUnwindSafe(|| turns.run())).is_err());
        assert_eq!(turns.look(|book| book.rests), None);
        turns.tell(1);
        turns.run();
    }

    #[test]
    fn everything_that_many_threads_bring_is_handled_once() {
        let turns = Turns::default();
        turns.seat(Book::default());
        thread::scope(|scope| {
            for thread in 0..4 {
                let turns = &turns;
                scope.spawn(move || {
                    for number in 0..1_000 {
                        turns.tell(20 + thread * 1_000 + number);
                        turns.run();
                    }
                });
            }
        });
        let mut all = seen(&turns);
        for thread in 0..4 {
            let own = all.iter().filter(|number| (**number - 20) / 1_000 == thread);
            assert!(own.is_sorted(), "the order of one thread is kept");
        }
        all.sort_unstable();
        assert_eq!(all, (20..4_020).collect::<Vec<_>>());
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod interleavings {
    use std::sync::Arc;

    use shuttle::{check_pct, check_random, thread};

    use super::*;

    #[derive(Default)]
    struct Count(Vec<u32>);

    impl Owner for Count {
        type Command = u32;

        fn handle(&mut self, number: u32) {
            self.0.push(number);
            thread::yield_now();
        }

        fn rest(&mut self) {}
    }

    #[test]
    fn nothing_is_left_when_all_have_run_whatever_their_order() {
        let scenario = || {
            let turns = Arc::new(Turns::default());
            turns.seat(Count::default());
            let bring = |first: u32| {
                let turns = Arc::clone(&turns);
                move || {
                    for number in first..first + 2 {
                        turns.tell(number);
                        turns.run();
                    }
                }
            };
            let others = [thread::spawn(bring(10)), thread::spawn(bring(20))];
            bring(30)();
            for other in others {
                other.join().expect("it does not panic");
            }
            // Nobody runs any more, so whatever is not handled now never would be.
            let mut seen = turns.look(|count| count.0.clone()).expect("the owner is there");
            seen.sort_unstable();
            assert_eq!(seen, [10, 11, 20, 21, 30, 31]);
        };
        check_random(scenario, 3_000);
        check_pct(scenario, 3_000, 3);
    }
}
