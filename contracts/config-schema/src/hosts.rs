//! The names under which the server answers.
//!
//! A browser can be made to send a request to 127.0.0.1 under any name that an attacker owns. A server
//! that needs no token on loopback is safe from that only if it answers to its own names and no other.

use std::net::{IpAddr, SocketAddr};

use crate::{
    fault::Problem,
    form::Text,
    value::{line, shown},
};

pub(crate) static NAME: Text = Text::new(
    "HOST",
    "a host name or address without a port, IPv6 in brackets, or * for any",
    r"^(\*|[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])$",
)
.of_chars(1, 253);

/// Which `Host` a request may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// Whatever it likes.
    Any,
    /// One of these, in lower case and without a port.
    Only(Vec<String>),
}

impl HostRule {
    /// Whether a request for `authority`, a name or address with or without a port, is for us.
    pub fn permits(&self, authority: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => without_port(authority)
                .is_some_and(|host| names.iter().any(|name| name.eq_ignore_ascii_case(host))),
        }
    }

    /// The rule of a server that was told nothing: its own names when it listens on loopback.
    pub fn for_bind(bind: SocketAddr) -> Self {
        if !bind.ip().to_canonical().is_loopback() {
            return Self::Any;
        }
        let own = match bind.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let mut names = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
        if !names.contains(&own) {
            names.push(own);
        }
        Self::Only(names)
    }

    /// Reads `*`, or a comma list of names and addresses.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let (mut names, mut problems) = (Vec::new(), Vec::new());
        for item in line(text)?.split(',') {
            let name = item.trim().to_ascii_lowercase();
            if is_name(&name) {
                names.push(name);
            } else {
                let what = format!("{} is not a host name or address without a port", shown(item));
                problems.push(Problem::new(what).hint("write IPv6 addresses in brackets, or * for any name"));
            }
        }
        if problems.is_empty() { Ok(Self::Only(names)) } else { Err(problems) }
    }
}

fn is_name(name: &str) -> bool {
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    letters && NAME.fits(name)
}

fn without_port(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let sound = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (sound && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_server_answers_to_its_own_names() {
        let rule = HostRule::for_bind("127.0.0.1:8080".parse().unwrap());
        for own in ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
            assert!(rule.permits(own), "{own}");
        }
        let foreign = [
            "",
            ":8080",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1:80@evil",
            "::1",
            "[::1",
        ];
        for other in foreign {
            assert!(!rule.permits(other), "{other}");
        }
    }

    #[test]
    fn a_server_on_another_loopback_address_answers_to_that_too() {
        assert!(HostRule::for_bind("127.9.9.9:1".parse().unwrap()).permits("127.9.9.9:1"));
    }

    #[test]
    fn a_public_server_answers_to_any_name_until_told() {
        assert_eq!(HostRule::for_bind("0.0.0.0:8080".parse().unwrap()), HostRule::Any);
    }

    #[test]
    fn a_list_is_read_in_lower_case() {
        let rule = HostRule::parse("Llm.Example.org, [::1]").unwrap();
        assert_eq!(rule, HostRule::Only(vec!["llm.example.org".to_owned(), "[::1]".to_owned()]));
        assert_eq!(HostRule::parse("*").unwrap(), HostRule::Any);
        assert_eq!(HostRule::parse("a:80,b,,[zz]").unwrap_err().len(), 3);
    }
}
