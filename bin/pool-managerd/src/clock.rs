//! Wall time, which is only shown and counted with, and decides nothing.

use std::time::SystemTime;

use jiff::Timestamp;

/// Now as people write it: RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339_now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Now, for what is only told.
#[expect(clippy::disallowed_methods, reason = "this is the one place where wall time is read")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Now in whole seconds of Unix time.
pub(crate) fn unix_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}
