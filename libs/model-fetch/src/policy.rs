//! Where a download may go.

use std::{fmt, net::IpAddr};

use thiserror::Error;
use url::{Host, Url};

use crate::error::FetchError;

/// Why the policy refuses a URL, in a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Which schemes are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Only https.
    #[default]
    Tls,
    /// Plain http, too, to addresses of this machine. For tests.
    PlainOnLoopback,
}

/// Where a download may go. Each part is asked again on every connection and on every redirect.
pub struct Policy<'a> {
    /// Whether this URL may be asked.
    pub url: &'a (dyn Fn(&Url) -> Result<(), Refused> + Send + Sync),
    /// Whether a connection to this address may be made. IPv4 in IPv6 is shown as IPv4.
    pub address: &'a (dyn Fn(IpAddr) -> bool + Send + Sync),
    /// The hosts to which redirects are followed, in lower case; without any, none is followed.
    pub redirect_hosts: &'a [String],
    /// Which schemes are spoken.
    pub transport: Transport,
}

impl fmt::Debug for Policy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("redirect_hosts", &self.redirect_hosts)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl Policy<'_> {
    /// Whether `url` is well-formed for a download and may be asked.
    //= ORCH-3080
    pub(crate) fn check(&self, url: &Url) -> Result<(), FetchError> {
        match url.scheme() {
            "https" => {}
            "http" if self.transport == Transport::PlainOnLoopback => {}
            _ => return Err(FetchError::Url("must begin with https://")),
        }
        if url.host().is_none() {
            return Err(FetchError::Url("must name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url("must hold no credentials"));
        }
        (self.url)(url).map_err(|why| FetchError::Refused { host: host_of(url), why })
    }

    /// Whether a redirect to `url` is followed.
    //= ORCH-3080
    pub(crate) fn check_redirect(&self, url: &Url) -> Result<(), FetchError> {
        let host = host_of(url);
        if !self.redirect_hosts.contains(&host) {
            return Err(FetchError::Redirected { host });
        }
        self.check(url)
    }

    /// Whether a connection to `addr` may be made for `url`.
    //= ORCH-3080
    pub(crate) fn admits(&self, url: &Url, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        let is_private_enough = url.scheme() == "https" || addr.is_loopback();
        is_private_enough && (self.address)(addr)
    }
}

/// The host of a URL, as errors and lists write it: in lower case and without brackets.
pub(crate) fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(name)) => name.to_ascii_lowercase(),
        Some(Host::Ipv4(addr)) => addr.to_string(),
        Some(Host::Ipv6(addr)) => addr.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(transport: Transport, url: &str) -> Result<(), String> {
        let policy = Policy {
            url: &|url| match url.host_str() {
                Some("evil.test") => Err(Refused("it is on no list".to_owned())),
                _ => Ok(()),
            },
            address: &|_| true,
            redirect_hosts: &["cdn.test".to_owned(), "evil.test".to_owned()],
            transport,
        };
        policy.check(&url.parse().unwrap()).map_err(|error| error.to_string())
    }

    //= ORCH-3080 type=test
    #[test]
    fn only_https_without_credentials_is_asked() {
        assert_eq!(check(Transport::Tls, "https://host.test/m.gguf"), Ok(()));
        let scheme = Err("the url must begin with https://".to_owned());
        for url in ["http://host.test/m", "ftp://host.test/m", "file:///etc/passwd", "data:,x"] {
            assert_eq!(check(Transport::Tls, url), scheme, "{url}");
        }
        assert_eq!(check(Transport::PlainOnLoopback, "http://127.0.0.1/m"), Ok(()));
        let credentials = Err("the url must hold no credentials".to_owned());
        for url in ["https://u@host.test/m", "https://u:p@host.test/m", "https://:p@host.test/m"] {
            assert_eq!(check(Transport::Tls, url), credentials, "{url}");
        }
        let refused = "a download from evil.test is not allowed: it is on no list".to_owned();
        assert_eq!(check(Transport::Tls, "https://evil.test/m"), Err(refused));
    }

    //= ORCH-3080 type=test
    #[test]
    fn a_redirect_is_followed_only_to_a_listed_host_that_the_policy_allows() {
        let hosts = ["cdn.test".to_owned(), "evil.test".to_owned(), "::1".to_owned()];
        let policy = Policy {
            url: &|url| match url.host_str() {
                Some("evil.test") => Err(Refused("no".to_owned())),
                _ => Ok(()),
            },
            address: &|_| true,
            redirect_hosts: &hosts,
            transport: Transport::Tls,
        };
        let follow = |url: &str| policy.check_redirect(&url.parse().unwrap());
        assert!(follow("https://CDN.test/m").is_ok());
        assert!(follow("https://[::1]/m").is_ok());
        assert!(matches!(follow("https://evil.test/m"), Err(FetchError::Refused { .. })));
        assert!(matches!(follow("http://cdn.test/m"), Err(FetchError::Url(_))));
        for url in ["https://other.test/m", "https://cdn.test.evil/m", "https://a.cdn.test/m"] {
            assert!(matches!(follow(url), Err(FetchError::Redirected { .. })), "{url}");
        }
    }

    //= ORCH-3080 type=test
    #[test]
    fn an_ipv4_address_in_disguise_is_shown_as_itself() {
        let policy = Policy {
            url: &|_| Ok(()),
            address: &|addr| !addr.is_loopback(),
            redirect_hosts: &[],
            transport: Transport::PlainOnLoopback,
        };
        let admits = |url: &str, addr: &str| policy.admits(&url.parse().unwrap(), addr.parse().unwrap());
        assert!(admits("https://h.test/", "192.0.2.1"));
        assert!(!admits("https://h.test/", "127.0.0.1"));
        assert!(!admits("https://h.test/", "::ffff:127.0.0.1"));
        assert!(!admits("http://h.test/", "192.0.2.1"), "plain http never leaves the machine");
    }
}
