//! The rules that depend on where a request comes from and where the server listens.
//!
//! "From this machine" is a fact about the socket's peer, never about a header. A reverse proxy on the
//! same machine makes the whole world look local, so a request that says it was forwarded loses the
//! exemption, unless the operator vouches for that proxy.

use std::net::IpAddr;

use thiserror::Error;

use crate::token::TokenAuthority;

/// Whether peers on this machine need the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoopbackRule {
    /// They need it like everyone.
    #[default]
    TokenNeeded,
    /// They may leave it out.
    TokenOptional,
}

/// Whether the operator vouches for a proxy in front of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyTrust {
    /// No: forwarded requests are strangers.
    //= AUTH-1008
    #[default]
    Withheld,
    /// Yes: whatever the proxy lets through is let through.
    Given,
}

/// What the operator decided about peers on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoopbackPolicy {
    /// Whether they need the token.
    pub rule: LoopbackRule,
    /// Whether this holds for what a proxy forwards, too.
    pub proxy: ProxyTrust,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// From its peer itself, as far as its headers tell.
    Direct,
    /// Through a proxy, which says so in a header.
    Forwarded,
}

/// Whether a header of this name (lower case) says that a proxy forwarded the request.
pub fn is_forwarding_header(name: &str) -> bool {
    matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-")
}

/// Whether a request without a token from `peer` is let in as [`crate::Identity::Localhost`].
//= AUTH-1003
pub fn loopback_exempt(peer: IpAddr, forwarding: Forwarding, policy: LoopbackPolicy) -> bool {
    let vouched = forwarding == Forwarding::Direct || policy.proxy == ProxyTrust::Given;
    policy.rule == LoopbackRule::TokenOptional && is_loopback(peer) && vouched
}

/// The server would listen to other machines and ask nobody for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{addr} can be reached from other machines, so a token is needed")]
pub struct OpenBind {
    /// Where it would listen.
    pub addr: IpAddr,
}

/// Whether the server may listen on `addr` with what it has to check tokens.
///
/// # Errors
/// When other machines could reach `addr` and there is no token.
//= AUTH-1004
pub fn bind_rule(addr: IpAddr, authority: Option<&TokenAuthority>) -> Result<(), OpenBind> {
    if is_loopback(addr) || authority.is_some() { Ok(()) } else { Err(OpenBind { addr }) }
}

/// A dual-stack socket shows 127.0.0.1 as `::ffff:127.0.0.1`, which is the same machine.
pub(crate) fn is_loopback(addr: IpAddr) -> bool {
    addr.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [&str; 4] = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"];
    const FOREIGN: [&str; 6] = ["0.0.0.0", "::", "192.168.1.9", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1"];

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn open(proxy: ProxyTrust) -> LoopbackPolicy {
        LoopbackPolicy { rule: LoopbackRule::TokenOptional, proxy }
    }

    //= AUTH-1003 type=test
    #[test]
    fn only_direct_loopback_peers_are_exempt() {
        let policy = open(ProxyTrust::Withheld);
        for peer in LOCAL {
            assert!(loopback_exempt(addr(peer), Forwarding::Direct, policy), "{peer}");
            assert!(!loopback_exempt(addr(peer), Forwarding::Forwarded, policy), "{peer}");
        }
        for peer in FOREIGN {
            assert!(!loopback_exempt(addr(peer), Forwarding::Direct, policy), "{peer}");
        }
    }

    #[test]
    fn nobody_is_exempt_until_the_operator_says_so() {
        for forwarding in [Forwarding::Direct, Forwarding::Forwarded] {
            assert!(!loopback_exempt(addr("127.0.0.1"), forwarding, LoopbackPolicy::default()));
        }
    }

    //= AUTH-1008 type=test
    #[test]
    fn proxy_trust_is_off_by_default_and_reaches_no_further_than_loopback() {
        assert_eq!(LoopbackPolicy::default().proxy, ProxyTrust::Withheld);
        let policy = open(ProxyTrust::Given);
        assert!(loopback_exempt(addr("127.0.0.1"), Forwarding::Forwarded, policy));
        assert!(!loopback_exempt(addr("10.0.0.1"), Forwarding::Forwarded, policy));
        let closed = LoopbackPolicy { rule: LoopbackRule::TokenNeeded, proxy: ProxyTrust::Given };
        assert!(!loopback_exempt(addr("127.0.0.1"), Forwarding::Forwarded, closed));
    }

    //= AUTH-1004 type=test
    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let authority = TokenAuthority::new(&"a".repeat(32)).unwrap();
        for bind in FOREIGN {
            assert_eq!(bind_rule(addr(bind), None), Err(OpenBind { addr: addr(bind) }));
            assert_eq!(bind_rule(addr(bind), Some(&authority)), Ok(()));
        }
        for bind in LOCAL {
            assert_eq!(bind_rule(addr(bind), None), Ok(()));
        }
    }

    #[test]
    fn the_headers_of_proxies_are_known() {
        for name in
            ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
        {
            assert!(is_forwarding_header(name), "{name}");
        }
        for name in ["authorization", "host", "x-correlation-id", "x-forward"] {
            assert!(!is_forwarding_header(name), "{name}");
        }
    }
}
