//! How often jobs come, and how many of those that wait are ever started.
//!
//! A batch job waits also for interactive jobs that have not come yet, and it does not wait for
//! those ahead of it that give up. Both are shares that only counting can tell.

use std::collections::VecDeque;

use crate::time::Timestamp;

/// Arrivals that are kept.
const KEPT: usize = 64;
/// The weight of the newest job that left a line.
const WEIGHT: f64 = 0.02;

/// The newest arrivals of one class in one pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrivals(VecDeque<Timestamp>);

impl Arrivals {
    pub(crate) fn count(&mut self, now: Timestamp) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// Arrivals in a second. Silence since the newest one counts.
    pub(crate) fn rate(&self, now: Timestamp) -> f64 {
        let Some(first) = self.0.front().filter(|_| self.0.len() >= 8) else { return 0.0 };
        let span = (now - *first).as_secs_f64();
        if span > 0.0 { super::count(self.0.len() - 1) / span } else { 0.0 }
    }
}

/// The share of waiting jobs that are started, not canceled or too late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starters(f64);

impl Default for Starters {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Starters {
    pub(crate) fn started(&mut self) {
        self.0 += WEIGHT * (1.0 - self.0);
    }

    pub(crate) fn gave_up(&mut self) {
        self.0 -= WEIGHT * self.0;
    }

    pub(crate) fn share(self) -> f64 {
        self.0
    }
}
