//! An entry of the list of hosts that models may be fetched from.

use std::{net::IpAddr, str::FromStr};

use thiserror::Error;
use url::{Host, Url};

const HTTPS_PORT: u16 = 443;

/// A host, and the port of it: `models.example` (which means 443) or `models.example:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host<String>,
    port: u16,
}

/// A text is no host with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a host in lower case, or a host, `:` and a port other than 443")]
pub struct MalformedHost;

impl AllowedHost {
    pub(super) fn host(&self) -> &Host<String> {
        &self.host
    }

    /// Its name, or its address without brackets.
    pub fn name(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// Its address, if it was given as one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for AllowedHost {
    type Err = MalformedHost;

    /// The same parser as for addresses, so that a host cannot mean two things.
    fn from_str(text: &str) -> Result<Self, MalformedHost> {
        let address = format!("https://{text}/");
        let url = Url::parse(&address).ok().filter(|url| url.as_str() == address).ok_or(MalformedHost)?;
        let host = url.host().ok_or(MalformedHost)?.to_owned();
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let has_user = !url.username().is_empty() || url.password().is_some();
        if text.contains('*')
            || !is_bare
            || has_user
            || matches!(&host, Host::Domain(name) if name.ends_with('.'))
        {
            return Err(MalformedHost);
        }
        Ok(Self { host, port: url.port().unwrap_or(HTTPS_PORT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_carry_a_port_and_nothing_else() {
        let host: AllowedHost = "models.example:8443".parse().unwrap();
        assert_eq!((host.host().to_string().as_str(), host.port()), ("models.example", 8443));
        assert_eq!((host.name().as_str(), host.address()), ("models.example", None));
        let host: AllowedHost = "[::1]:8443".parse().unwrap();
        assert_eq!((host.name().as_str(), host.address()), ("::1", "::1".parse().ok()));
        assert_eq!("models.example".parse::<AllowedHost>().unwrap().port(), 443);
        assert_eq!("10.0.0.1".parse::<AllowedHost>().unwrap().port(), 443);
        for text in [
            "",
            ":8443",
            "a.example:443",
            "a.example:",
            "a.example:x",
            "A.example",
            "a.example.",
            "a.example/b",
            "a.example?b",
            "a.example#b",
            "user@a.example",
            "https://a.example",
            "a b",
            "127.1",
            "ä.example",
            "*",
        ] {
            assert_eq!(text.parse::<AllowedHost>(), Err(MalformedHost), "{text}");
        }
    }
}
