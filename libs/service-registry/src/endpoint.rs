//! Where a node may lead the control plane.
//!
//! A node says where its engines listen, and the control plane connects there. A node that lies must not lead
//! it to a cloud's metadata service, to this machine, or to some other host. So one parser reads the text, what it
//! read is judged, and what was judged is what is connected to: nobody reads the text a second time.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use pool_registry_types::Fault;
use url::{Host, Url};

use crate::network::Network;

/// Metadata services of clouds that are no link-local addresses.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// How an engine is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plainly.
    Http,
    /// Encrypted.
    Https,
}

/// Where an engine or an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At an address that was judged.
    Addr {
        /// How it is spoken to.
        scheme: Scheme,
        /// Where to connect.
        addr: SocketAddr,
    },
    /// At a name. It is to be resolved once, each address to be judged by [`check_address`], and the
    /// connection to be made to one that passed.
    Name {
        /// How it is spoken to.
        scheme: Scheme,
        /// The name, in lower case.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Endpoint {
    /// The address or the name, without the port.
    pub fn host(&self) -> String {
        match self {
            Self::Addr { addr, .. } => addr.ip().to_string(),
            Self::Name { host, .. } => host.clone(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Addr { addr, .. } => addr.port(),
            Self::Name { port, .. } => *port,
        }
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Addr { scheme, .. } | Self::Name { scheme, .. } => *scheme,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        match self {
            Self::Addr { addr, .. } => write!(f, "{scheme}://{addr}"),
            Self::Name { host, port, .. } => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// Reads the URL of an endpoint, and judges the address when it holds one.
///
/// `contact_peer` is who told it, `node_address_host` the host of the node's own address, which was judged when the
/// node registered, and `allow` lists the networks in which engines may listen besides. Without a port it is
/// the scheme's.
///
/// # Errors
/// What is wrong, of the field `endpoint`.
//= ORCH-3432
pub fn check_endpoint(
    endpoint: &str,
    contact_peer: IpAddr,
    node_address_host: &str,
    allow: &[Network],
) -> Result<Endpoint, Fault> {
    let parsed = parse(endpoint).ok_or_else(|| fault("must be an http or https URL of a host and a port"))?;
    if let Endpoint::Addr { addr, .. } = &parsed {
        check_address(addr.ip(), contact_peer, node_address_host, allow)?;
    }
    Ok(parsed)
}

/// Judges an address: one that an endpoint holds, or one that its name was resolved to.
///
/// # Errors
/// What is wrong, of the field `endpoint`.
//= ORCH-3432
pub fn check_address(
    address: IpAddr,
    contact_peer: IpAddr,
    node_address_host: &str,
    allow: &[Network],
) -> Result<(), Fault> {
    let (address, peer) = (address.to_canonical(), contact_peer.to_canonical());
    if is_never_a_host(address) {
        return Err(fault("must not be an unspecified, link-local, multicast or otherwise reserved address"));
    }
    if address.is_loopback() {
        let what = "must not be a loopback address, since the node is on another machine";
        return if peer.is_loopback() { Ok(()) } else { Err(fault(what)) };
    }
    let is_host = || node_address_host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical() == address);
    if address == peer || allow.iter().any(|network| network.contains(address)) || is_host() {
        return Ok(());
    }
    Err(fault("must be the node's own address, or lie in an allowed network"))
}

/// Reads and judges a node's own address: a URL, or host and port.
pub(crate) fn check_place(address: &str, peer: IpAddr, allow: &[Network]) -> Result<Endpoint, Fault> {
    let checked = if address.contains("://") {
        check_endpoint(address, peer, "", allow)
    } else {
        check_endpoint(&format!("http://{address}"), peer, "", allow)
    };
    checked.map_err(|fault| Fault::new("address", fault.what))
}

fn fault(what: &str) -> Fault {
    Fault::new("endpoint", what)
}

fn parse(text: &str) -> Option<Endpoint> {
    if !is_plain(text) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let scheme = match url.scheme() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let port = url.port_or_known_default().filter(|port| *port != 0)?;
    let at = |address: IpAddr| {
        let addr = SocketAddr::new(address.to_canonical(), port);
        Some(Endpoint::Addr { scheme, addr })
    };
    match url.host()? {
        Host::Ipv4(address) => at(address.into()),
        Host::Ipv6(address) => at(address.into()),
        Host::Domain(name) => {
            let host = name.strip_suffix('.').unwrap_or(name);
            is_name(host).then(|| Endpoint::Name { scheme, host: host.to_owned(), port })
        }
    }
}

/// Whether there is nothing in it but a scheme and an authority, without what the parser would drop or change in
/// silence: blanks, backslashes, further slashes, an empty user, characters that only look like others.
fn is_plain(text: &str) -> bool {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || b"\\@%".contains(&byte);
    // In `https:https://a` the parser takes the second scheme for a host.
    let parts =
        text.split_once("://").filter(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let authority = parts.map(|(_, rest)| rest.strip_suffix('/').unwrap_or(rest));
    !text.bytes().any(is_odd) && authority.is_some_and(|authority| !authority.contains('/'))
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_framed = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len()) && is_framed && label.bytes().all(plain)
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// Addresses at which no engine is, whoever says so.
fn is_never_a_host(address: IpAddr) -> bool {
    let is_reserved = match address {
        IpAddr::V4(address) => {
            // "This network", and what was never given out, up to broadcast.
            matches!(address.octets()[0], 0 | 240..)
                || address.is_multicast()
                || address.is_link_local()
                || address.is_documentation()
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || matches!((first, second), (0x2001, 0x0db8) | (0x3fff, 0..=0x0fff))
                || carries_another(address)
        }
    };
    is_reserved || METADATA.contains(&address)
}

/// Whether another address hides in this one: IPv4-compatible, NAT64, Teredo or 6to4.
fn carries_another(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, ..] => !address.is_loopback(),
        [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x2002, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.5";

    fn check(endpoint: &str, peer: &str) -> Result<Endpoint, Fault> {
        check_endpoint(endpoint, peer.parse().unwrap(), "", &["10.9.0.0/16".parse().unwrap()])
    }

    fn addr(text: &str) -> Endpoint {
        Endpoint::Addr { scheme: Scheme::Http, addr: text.parse().unwrap() }
    }

    // N07
    //= ORCH-3432 type=test
    #[test]
    fn an_engine_listens_at_its_nodes_own_address_or_in_an_allowed_network() {
        assert_eq!(check("http://10.0.0.5:8080", PEER), Ok(addr("10.0.0.5:8080")));
        assert_eq!(check("http://10.0.0.5:8080/", "::ffff:10.0.0.5"), Ok(addr("10.0.0.5:8080")));
        assert_eq!(check("http://[::ffff:10.0.0.5]", PEER), Ok(addr("10.0.0.5:80")));
        assert_eq!(check("http://10.9.255.1:1", PEER), Ok(addr("10.9.255.1:1")));
        assert_eq!(check("http://[fd00::1]:1", "fd00::1"), Ok(addr("[fd00::1]:1")));
        let what = "endpoint: must be the node's own address, or lie in an allowed network";
        assert_eq!(check("http://10.0.0.6:8080", PEER).unwrap_err().to_string(), what);
    }

    //= ORCH-3432 type=test
    #[test]
    fn the_host_of_the_nodes_address_stays_allowed_when_the_node_calls_from_another() {
        let of = |host| check_endpoint("http://10.0.0.5:1", "fd00::5".parse().unwrap(), host, &[]);
        assert_eq!(of("10.0.0.5"), Ok(addr("10.0.0.5:1")));
        assert!(of("10.0.0.6").is_err());
        assert!(of("gpu-1").is_err());
    }

    //= ORCH-3432 type=test
    #[test]
    fn loopback_is_for_nodes_on_this_machine() {
        for endpoint in
            ["http://127.0.0.1:1", "http://[::1]:1", "http://[::ffff:127.0.0.1]:1", "http://127.1:1"]
        {
            assert!(check(endpoint, "127.0.0.1").is_ok(), "{endpoint}");
            assert!(check(endpoint, "::1").is_ok(), "{endpoint}");
            assert!(check(endpoint, PEER).is_err(), "{endpoint}");
        }
    }

    //= ORCH-3432 type=test
    #[test]
    fn reserved_addresses_are_refused_though_they_be_the_peers_own_and_allowed() {
        let allow = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let addresses = "0.0.0.0 0.1.2.3 169.254.0.1 169.254.169.254 224.0.0.1 239.255.255.255 240.0.0.1 \
            255.255.255.255 192.0.2.1 198.51.100.1 203.0.113.1 100.100.100.200 192.0.0.192 :: fe80::1 febf::1 \
            ff02::1 2001:db8::1 3fff::1 ::7f00:1 ::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: \
            2001::1 fd00:ec2::254 ::ffff:169.254.169.254 ::ffff:0.0.0.0";
        for text in addresses.split_whitespace() {
            let address = text.parse().unwrap();
            assert!(check_address(address, address, text, &allow).is_err(), "{text}");
        }
        for text in ["1.2.3.4", "10.0.0.1", "100.100.100.201", "fd00::1", "2606:4700::1", "::1", "fec0::1"] {
            let address = text.parse().unwrap();
            assert_eq!(check_address(address, address, "", &[]), Ok(()), "{text}");
        }
    }

    // N08
    //= ORCH-3432 type=test
    #[test]
    fn a_name_is_given_back_to_be_resolved_once_and_its_addresses_are_judged_alike() {
        let name = Endpoint::Name { scheme: Scheme::Https, host: "gpu-1.example".into(), port: 443 };
        assert_eq!(check("https://GPU-1.example.", PEER), Ok(name));
        let judged =
            |address: &str| check_address(address.parse().unwrap(), PEER.parse().unwrap(), "gpu-1", &[]);
        assert_eq!(judged("10.0.0.5"), Ok(()));
        for address in ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.6", "::ffff:127.0.0.1"] {
            assert!(judged(address).is_err(), "{address}");
        }
    }

    //= ORCH-3432 type=test
    #[test]
    fn what_stands_before_the_first_slashes_is_a_scheme_and_nothing_more() {
        for endpoint in ["https:https://10.0.0.5", "http:10.0.0.5://", "http:gpu-1://x", "http:://10.0.0.5"] {
            assert!(check(endpoint, PEER).is_err(), "{endpoint}");
        }
        assert!(check("HTTP://10.0.0.5:1", PEER).is_ok());
    }

    #[test]
    fn a_nodes_own_address_may_leave_its_scheme_out() {
        let place = |text| check_place(text, PEER.parse().unwrap(), &[]);
        assert_eq!(place("10.0.0.5:9200"), Ok(addr("10.0.0.5:9200")));
        assert_eq!(place("http://10.0.0.5:9200"), Ok(addr("10.0.0.5:9200")));
        assert_eq!(place("gpu-1:9200").unwrap().to_string(), "http://gpu-1:9200");
        assert_eq!(place("10.0.0.6:9200").unwrap_err().field, "address");
        assert_eq!(place("user@10.0.0.5:9200").unwrap_err().field, "address");
    }
}
