//! The process's clock: monotonic for every decision, wall time only to be shown.

use std::time::{Duration, SystemTime};

use orchestrator_core::Timestamp;
use tokio::time::Instant;

/// What the scheduler's time is when the server starts. Jobs of earlier processes were accepted before it.
const STARTED: Timestamp = Timestamp::from_micros(40 * 365 * 24 * 3_600 * 1_000_000);

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

    /// When a moment of the wall clock was, as far as that is behind the start; else the start or a later one.
    pub(crate) fn at_unix_ms(&self, ms: u64) -> Timestamp {
        let started = self.unix_ms(STARTED);
        let micros = STARTED.as_micros().saturating_add(ms.saturating_mul(1_000));
        Timestamp::from_micros(micros.saturating_sub(started.saturating_mul(1_000)))
    }

    /// A moment of the scheduler's time in milliseconds of Unix time.
    pub(crate) fn unix_ms(&self, at: Timestamp) -> u64 {
        let since = self.wall(at).duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// A moment of the scheduler's time on the wall clock.
    pub(crate) fn wall(&self, at: Timestamp) -> SystemTime {
        match at.as_micros().checked_sub(STARTED.as_micros()) {
            Some(after) => self.wall_at_start + Duration::from_micros(after),
            None => self.wall_at_start - Duration::from_micros(STARTED.as_micros() - at.as_micros()),
        }
    }

    /// How long the server runs.
    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time by which the scheduler decides.
    pub(crate) fn now(&self) -> Timestamp {
        STARTED + self.start.elapsed()
    }

    /// When the runtime reaches a moment of the scheduler's time.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(STARTED)
    }

    /// When the server started, in whole seconds of Unix time.
    pub(crate) fn started_unix(&self) -> u64 {
        self.wall_at_start.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// A moment as people write it: RFC 3339 in UTC, to the millisecond.
    pub(crate) fn rfc3339(&self, at: Timestamp) -> String {
        jiff::Timestamp::try_from(self.wall(at)).map(|wall| format!("{wall:.3}")).unwrap_or_default()
    }
}
