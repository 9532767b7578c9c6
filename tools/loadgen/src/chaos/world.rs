//! What all clients know together: the tasks, and whether the server is meant to be up.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    client::Answer,
    dice::Dice,
    task::{Asked, Breach, Promise, Standing, Task},
    verdict::Ending,
};

/// With so many open tasks nobody submits another one, so that the engines keep up.
const OPEN_MAX: usize = 60;

/// The truth that is kept outside of the server.
pub(crate) struct World {
    pub(crate) target: SocketAddr,
    down: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
pub(crate) struct Known {
    pub(crate) tasks: Vec<Task>,
    /// Those that may be open, by index.
    open: Vec<usize>,
    /// Those whose submission had no answer.
    unanswered: Vec<usize>,
    pub(crate) figures: Figures,
}

/// What was done and found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) kills: u32,
    pub(crate) kills_at_start: u32,
    pub(crate) refused: u32,
    pub(crate) repeated: u32,
    pub(crate) reads: u64,
    pub(crate) events: u64,
    pub(crate) verdicts: u64,
    pub(crate) completed: u32,
    pub(crate) canceled: u32,
    pub(crate) failed: u32,
}

impl Figures {
    pub(crate) fn ended(&mut self, ending: Ending) {
        match ending {
            Ending::Completed => self.completed += 1,
            Ending::Canceled => self.canceled += 1,
            Ending::Failed => self.failed += 1,
        }
    }
}

impl World {
    pub(crate) fn new(target: SocketAddr) -> Self {
        Self { target, down: AtomicBool::new(true), known: Mutex::default() }
    }

    /// Whether connections may break.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }

    pub(crate) fn goes_down(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn comes_up(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// What is known. It is held for no longer than a statement.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A new task, unless there are enough.
    pub(crate) fn new_task(&mut self, dice: &mut Dice) -> Option<usize> {
        self.tidy();
        if self.open.len() >= OPEN_MAX {
            return None;
        }
        self.tasks.push(Task::new(Asked::new(dice)));
        Some(self.tasks.len() - 1)
    }

    /// A submission was answered.
    pub(crate) fn answered(&mut self, at: usize, answer: &Answer, before: Standing) -> Result<(), Breach> {
        match answer.status {
            200 | 202 => {
                let body = answer.json();
                let first = self.tasks[at].standing != Standing::Accepted;
                self.tasks[at].answered(answer.status, body["job_id"].as_str(), before)?;
                self.figures.repeated += u32::from(answer.status == 200);
                if first {
                    self.open.push(at);
                }
                Ok(())
            }
            429 | 503 if before == Standing::Unanswered => {
                self.figures.refused += 1;
                Ok(())
            }
            _ => Err(self.tasks[at].breach(&format!("its submission was answered {}", answer.shown()))),
        }
    }

    /// A submission had no answer: it is asked again later.
    pub(crate) fn unanswered(&mut self, at: usize) {
        let task = &self.tasks[at];
        if task.asked.promise == Promise::Kept && task.standing == Standing::Unanswered {
            self.unanswered.push(at);
        }
    }

    /// A submission that had no answer, for the caller alone.
    pub(crate) fn take_unanswered(&mut self) -> Option<usize> {
        self.unanswered.pop()
    }

    /// One of the open tasks, or now and then one that has ended.
    pub(crate) fn pick(&mut self, dice: &mut Dice) -> Option<usize> {
        self.tidy();
        if dice.happens(80) {
            return dice.pick(&self.open);
        }
        let any = dice.below(u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)) as usize;
        self.tasks.get(any).filter(|task| task.standing == Standing::Accepted).map(|_| any)
    }

    /// Indices of the open tasks.
    pub(crate) fn all_open(&mut self) -> Vec<usize> {
        self.tidy();
        self.open.clone()
    }

    /// Indices of all tasks to which the promise applies.
    pub(crate) fn all_promised(&self) -> Vec<usize> {
        let promised = |at: &usize| self.tasks[*at].standing == Standing::Accepted;
        (0..self.tasks.len()).filter(promised).collect()
    }

    /// The server was killed, and what was in its memory only went with it.
    pub(crate) fn forget_what_was_in_memory(&mut self) {
        for task in &mut self.tasks {
            if task.asked.promise == Promise::MemoryOnly && task.standing == Standing::Accepted {
                task.standing = Standing::GivenUp;
            }
        }
    }

    fn tidy(&mut self) {
        let tasks = &self.tasks;
        self.open.retain(|at| tasks[*at].is_open());
    }
}
