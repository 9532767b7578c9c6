//! Sessions of single jobs, of which the scheduler keeps nothing.

use orchestrator_core::{SessionRules, SessionView, Timestamp};

use super::job::{JobEntry, OwnSession};

/// The session of a job that named none and has no budget; `None` once its time is over.
pub(super) fn of_its_own(entry: &JobEntry, now: Timestamp, rules: &SessionRules) -> Option<SessionView> {
    let status = entry.status();
    if status.session == OwnSession::GivenUp {
        return None;
    }
    let idle = status.ended.map_or_else(Default::default, |(at, _)| now.since(at));
    let ttl_remaining = rules.ttl.checked_sub(idle).filter(|left| !left.is_zero())?;
    let last = status.attempt.as_ref().map(|attempt| &attempt.assignment);
    Some(SessionView {
        ttl_remaining,
        turns: rules.turns,
        turns_used: 1,
        live: u32::from(status.ended.is_none()),
        last: last.map(|it| (it.pool.clone(), it.replica.clone())),
        warm: status.finish.and_then(|finish| finish.usage.cached).is_some_and(|cached| cached > 0),
        remaining: status.remaining.unwrap_or_default(),
    })
}
