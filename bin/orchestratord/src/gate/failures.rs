//! What is remembered of requests that were not let in: enough to slow a guesser down and to tell the
//! operator, and never more than a bound.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use auth_min::{AuthError, FailureLimiter};
use parking_lot::Mutex;

/// How long the log stays silent about a reason of which it has just told.
const SILENCE: Duration = Duration::from_mins(1);

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its credential does not open the route.
    Credential(AuthError),
    /// Its peer has failed too often, and is listened to again after this time.
    Limited(Duration),
    /// It came for a node, without a certificate that this server's authority signed.
    NoCertificate,
}

impl Refusal {
    /// Its name in metrics and logs: a closed list.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Credential(AuthError::Missing) => "missing",
            Self::Credential(AuthError::Bad) => "bad",
            Self::Credential(AuthError::WrongPlane) => "wrong_plane",
            Self::Limited(_) => "limited",
            Self::NoCertificate => "no_certificate",
        }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Credential(error)
    }
}

/// Whether the log should tell of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    Due,
    TooSoon,
}

/// The failures of all peers.
#[derive(Default)]
pub(crate) struct Failures {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    limiter: FailureLimiter,
    told: HashMap<&'static str, Duration>,
}

impl Failures {
    /// Refuses a peer that has failed too often. `now` is monotonic.
    pub(super) fn check(&self, peer: IpAddr, now: Duration) -> Result<(), Refusal> {
        self.seen.lock().limiter.blocked(peer, now).map_or(Ok(()), |rest| Err(Refusal::Limited(rest)))
    }

    /// Remembers a refusal. Only a wrong token counts against its peer: who sends none does not guess, and
    /// who sends one of another plane has a right to some of the server.
    pub(super) fn note(&self, refusal: Refusal, peer: IpAddr, now: Duration) -> Telling {
        let mut seen = self.seen.lock();
        if refusal == Refusal::Credential(AuthError::Bad) {
            seen.limiter.failed(peer, now);
        }
        let is_due = seen.told.get(refusal.reason()).is_none_or(|told| now >= *told + SILENCE);
        if !is_due {
            return Telling::TooSoon;
        }
        seen.told.insert(refusal.reason(), now);
        Telling::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_log_tells_of_each_reason_once_a_minute() {
        let (failures, peer) = (Failures::default(), "192.0.2.1".parse().unwrap());
        let missing = Refusal::Credential(AuthError::Missing);
        assert_eq!(failures.note(missing, peer, SECOND), Telling::Due);
        assert_eq!(failures.note(missing, peer, SECOND * 60), Telling::TooSoon);
        assert_eq!(failures.note(Refusal::NoCertificate, peer, SECOND * 60), Telling::Due);
        assert_eq!(failures.note(missing, peer, SECOND * 61), Telling::Due);
    }

    // X10
    #[test]
    fn only_wrong_tokens_count_against_a_peer() {
        let (failures, peer) = (Failures::default(), "192.0.2.1".parse().unwrap());
        for _ in 0..100 {
            failures.note(Refusal::Credential(AuthError::Missing), peer, SECOND);
            failures.note(Refusal::Credential(AuthError::WrongPlane), peer, SECOND);
            failures.note(Refusal::NoCertificate, peer, SECOND);
        }
        assert_eq!(failures.check(peer, SECOND), Ok(()));
        for _ in 0..31 {
            failures.note(Refusal::Credential(AuthError::Bad), peer, SECOND);
        }
        assert_eq!(failures.check(peer, SECOND), Err(Refusal::Limited(SECOND * 60)));
    }
}
