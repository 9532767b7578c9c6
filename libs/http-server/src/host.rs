//! Whether a request is meant for this server.
//!
//! A page in a browser can reach a server on loopback under any name that it owns (DNS rebinding);
//! the `Host` header gives it away. Two headers, or a target that names another host, are tricks.

use http::{Request, header, uri::Authority};
use thiserror::Error;

/// Why a request is not for this server. The words are for the one who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadHost {
    /// There is no `Host` header, or more than one.
    #[error("the request needs exactly one Host header")]
    NotOne,
    /// It holds something else.
    #[error("the Host header names no host")]
    NoHost,
    /// The target has a host of its own.
    #[error("the request's target and its Host header name different hosts")]
    TwoHosts,
    /// The rule does not permit it.
    #[error("this server does not answer under that Host name")]
    Foreign,
}

/// Checks the one `Host` of a request against `permits`, which gets it with its port.
///
/// # Errors
/// When there is not exactly one, or it is not permitted.
// H26
pub fn check_host<B>(request: &Request<B>, permits: impl Fn(&str) -> bool) -> Result<(), BadHost> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(BadHost::NotOne) };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = authority.filter(|authority| !authority.as_str().contains('@')) else {
        return Err(BadHost::NoHost);
    };
    if request.uri().authority().is_some_and(|target| *target != authority) {
        return Err(BadHost::TwoHosts);
    }
    if permits(authority.as_str()) { Ok(()) } else { Err(BadHost::Foreign) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, hosts: &[&str]) -> Result<(), BadHost> {
        let request = hosts.iter().fold(Request::get(target), |it, host| it.header(header::HOST, *host));
        check_host(&request.body(()).unwrap(), |host| host == "ours:80")
    }

    // H26
    #[test]
    fn only_the_one_permitted_host_that_the_target_agrees_with_is_ours() {
        assert_eq!(check("/a", &["ours:80"]), Ok(()));
        assert_eq!(check("http://ours:80/a", &["ours:80"]), Ok(()));
        assert_eq!(check("/a", &[]), Err(BadHost::NotOne));
        assert_eq!(check("/a", &["ours:80", "ours:80"]), Err(BadHost::NotOne));
        for odd in ["", "x/?", "u@ours:80", "a b"] {
            assert_eq!(check("/a", &[odd]), Err(BadHost::NoHost), "{odd}");
        }
        assert_eq!(check("http://theirs/a", &["ours:80"]), Err(BadHost::TwoHosts));
        assert_eq!(check("/a", &["theirs"]), Err(BadHost::Foreign));
    }
}
