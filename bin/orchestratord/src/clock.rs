//! The process's clock: monotonic for every decision, wall time only to be shown.

use std::time::SystemTime;

use orchestrator_core::Timestamp;
use tokio::time::Instant;

/// Started once. It follows the runtime's time, so that a test which pauses that pauses this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall_at_start: SystemTime,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where wall time is read")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), wall_at_start: SystemTime::now() }
    }

    /// The time by which the scheduler decides.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// When the runtime reaches a moment of the scheduler's time.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(Timestamp::default())
    }

    /// When the server started, in whole seconds of Unix time.
    pub(crate) fn started_unix(&self) -> u64 {
        self.wall_at_start.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// A moment as people write it: RFC 3339 in UTC, to the millisecond.
    pub(crate) fn rfc3339(&self, at: Timestamp) -> String {
        let wall = self.wall_at_start + at.since(Timestamp::default());
        jiff::Timestamp::try_from(wall).map(|wall| format!("{wall:.3}")).unwrap_or_default()
    }
}
