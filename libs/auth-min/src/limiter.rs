//! How often a peer may be wrong before it is not listened to for a while.
//!
//! A token of 256 bits cannot be guessed; a weak one might be, and trying costs the server work. The
//! count is kept per peer, for a bounded number of peers; whoever fails least recently is forgotten first.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    time::Duration,
};

use lru::LruCache;

use crate::peer::is_loopback;

/// How many peers are remembered.
const PEERS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How often a peer may fail within a window.
const FAILURES_MAX: u32 = 30;
/// How long failures count together.
const WINDOW: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Duration,
    count: u32,
}

/// Failures of peers. Times are those of a monotonic clock, since any moment that stays the same.
///
/// Peers on this machine are never limited: behind a proxy they are everyone.
#[derive(Debug)]
pub struct FailureLimiter {
    peers: LruCache<IpAddr, Failures>,
}

impl Default for FailureLimiter {
    fn default() -> Self {
        Self { peers: LruCache::new(PEERS_MAX) }
    }
}

impl FailureLimiter {
    /// For how long `peer` is not listened to, if it is not.
    //= AUTH-1011
    pub fn blocked(&self, peer: IpAddr, now: Duration) -> Option<Duration> {
        let failures = self.peers.peek(&subscriber(peer))?;
        let rest = (failures.since + WINDOW).checked_sub(now).filter(|rest| !rest.is_zero())?;
        (failures.count > FAILURES_MAX).then_some(rest)
    }

    /// Notes that `peer` presented a credential that is not valid.
    pub fn failed(&mut self, peer: IpAddr, now: Duration) {
        if is_loopback(peer) {
            return;
        }
        let fresh = Failures { since: now, count: 0 };
        let failures = self.peers.get_or_insert_mut(subscriber(peer), || fresh);
        if now >= failures.since + WINDOW {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
    }
}

/// Who is behind an address: of IPv6 everyone has a /64 to choose from.
fn subscriber(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn failed(limiter: &mut FailureLimiter, peer: &str, times: u32, now: Duration) {
        for _ in 0..times {
            limiter.failed(addr(peer), now);
        }
    }

    //= AUTH-1011 type=test
    // X10
    #[test]
    fn the_31st_failure_within_a_minute_blocks_the_peer_until_the_minute_is_over() {
        let mut limiter = FailureLimiter::default();
        failed(&mut limiter, "192.0.2.1", 30, SECOND);
        assert_eq!(limiter.blocked(addr("192.0.2.1"), SECOND), None);
        failed(&mut limiter, "192.0.2.1", 1, SECOND * 11);
        assert_eq!(limiter.blocked(addr("192.0.2.1"), SECOND * 11), Some(SECOND * 50));
        assert_eq!(limiter.blocked(addr("::ffff:192.0.2.1"), SECOND * 11), Some(SECOND * 50));
        assert_eq!(limiter.blocked(addr("192.0.2.2"), SECOND * 11), None);
        assert_eq!(limiter.blocked(addr("192.0.2.1"), SECOND * 61), None);
        failed(&mut limiter, "192.0.2.1", 1, SECOND * 61);
        assert_eq!(limiter.blocked(addr("192.0.2.1"), SECOND * 61), None, "the count begins anew");
    }

    #[test]
    fn addresses_of_one_ipv6_subscriber_count_together() {
        let mut limiter = FailureLimiter::default();
        for last in 0..31 {
            failed(&mut limiter, &format!("2001:db8:0:1::{last:x}"), 1, SECOND);
        }
        assert!(limiter.blocked(addr("2001:db8:0:1:ffff::"), SECOND).is_some());
        assert!(limiter.blocked(addr("2001:db8:0:2::"), SECOND).is_none());
    }

    #[test]
    fn peers_on_this_machine_are_never_blocked() {
        let mut limiter = FailureLimiter::default();
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            failed(&mut limiter, peer, 1_000, SECOND);
            assert_eq!(limiter.blocked(addr(peer), SECOND), None);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_one_that_failed_least_recently_is_forgotten() {
        let mut limiter = FailureLimiter::default();
        failed(&mut limiter, "192.0.2.1", 31, SECOND);
        failed(&mut limiter, "192.0.2.2", 31, SECOND);
        failed(&mut limiter, "192.0.2.1", 1, SECOND);
        for number in 1..10_000_u32 {
            limiter.failed(IpAddr::from(number.to_be_bytes()), SECOND);
        }
        assert_eq!(limiter.peers.len(), 10_000);
        assert!(limiter.blocked(addr("192.0.2.1"), SECOND).is_some());
        assert!(limiter.blocked(addr("192.0.2.2"), SECOND).is_none());
    }
}
