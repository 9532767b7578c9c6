//! Seeing in a test what was narrated.
//!
//! A subscriber would have to parse text back; the capture hands over the narrations themselves. It is
//! bound to its thread, so tests that run at the same time do not see each other. A test of a server
//! therefore runs it on a current-thread runtime.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use crate::narration::Narration;

type Seen = RefCell<Vec<Narration>>;

thread_local! {
    static LISTENERS: RefCell<Vec<Weak<Seen>>> = const { RefCell::new(Vec::new()) };
}

/// Records what this thread narrates, from its start until it is dropped.
//= ORCH-3306
#[derive(Debug)]
pub struct Capture {
    seen: Rc<Seen>,
}

impl Capture {
    /// Begins to listen on this thread.
    #[must_use = "the capture ends when it is dropped"]
    pub fn start() -> Self {
        let seen = Rc::new(Seen::default());
        LISTENERS.with_borrow_mut(|listeners| {
            listeners.retain(|listener| listener.strong_count() > 0);
            listeners.push(Rc::downgrade(&seen));
        });
        Self { seen }
    }

    /// What was narrated so far, oldest first.
    pub fn seen(&self) -> Vec<Narration> {
        self.seen.borrow().clone()
    }
}

/// Hands `narration` to every capture of this thread.
pub fn record(narration: Narration) {
    LISTENERS.with_borrow(|listeners| {
        for seen in listeners.iter().filter_map(Weak::upgrade) {
            seen.borrow_mut().push(narration);
        }
    });
}
