//! What may be fetched, and where engines may be reached, lies at the hosts that were allowed, also as a second parser
//! reads it; and a name of a model has one spelling.
#![no_main]

use std::net::IpAddr;

use catalog_core::{ModelRef, OutboundPolicy, Remote};
use http::Uri;
use libfuzzer_sys::fuzz_target;
use service_registry::{Endpoint, Network, check_endpoint};
use url::Url;

/// The hosts that the operator allows, with their ports.
const ALLOWED: [(&str, u16); 5] = [
    ("huggingface.co", 443),
    ("models.example", 443),
    ("models.example", 8443),
    ("weights.s3.amazonaws.com", 443),
    ("10.0.0.1", 5000),
];
const PEER: &str = "10.1.0.7";
const NETWORK: &str = "10.9.0.0/16";

fuzz_target!(|text: &str| {
    let hosts = [
        "huggingface.co",
        "models.example",
        "models.example:8443",
        "weights.s3.amazonaws.com",
        "10.0.0.1:5000",
    ];
    let policy = OutboundPolicy::From(hosts.map(|host| host.parse().expect("it is a host")).to_vec());
    if let Ok(url) = policy.check_url(text) {
        assert_eq!(url.as_str(), text, "it is connected to as it was not written");
        is_allowed(text);
    }
    if let Ok(model) = text.parse::<ModelRef>() {
        names_one_thing(&model, text);
        match policy.check(&model) {
            Ok(Remote::Https(url)) => is_allowed(url.as_str()),
            Ok(Remote::Oci { registry, repository, reference }) => {
                is_allowed(registry.as_str());
                oci_is_plain(&registry, &repository, &reference.to_string());
            }
            Err(_) => {}
        }
        assert!(OutboundPolicy::Off.check(&model).is_err());
    }
    if let Ok(endpoint) = reach(text) {
        is_reachable(&endpoint, text);
    }
});

/// A name reads again to itself, and is nothing that a shell, a path or a log would take for more.
fn names_one_thing(model: &ModelRef, text: &str) {
    let written = model.to_string();
    assert_eq!(written.parse().as_ref(), Ok(model), "{text:?}");
    let name = model.name();
    assert!(!name.is_empty() && !name.starts_with('-'), "{name:?}");
    assert!(!name.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\'), "{name:?}");
    assert!(name.split('/').all(|part| part != ".."), "{name:?}");
    let json = serde_json::to_string(model).expect("a text");
    assert_eq!(serde_json::from_str::<ModelRef>(&json).ok().as_ref(), Some(model));
}

/// Another parser finds an allowed host, too, and nothing before it.
fn is_allowed(text: &str) {
    let read: Uri = text.parse().unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert_eq!(read.scheme_str(), Some("https"), "{text:?}");
    let authority = read.authority().expect("it has a host").as_str();
    let (host, port) = (read.host().expect("it has a host"), read.port_u16().unwrap_or(443));
    assert!(ALLOWED.contains(&(host, port)), "{text:?} leads to {host} {port}");
    // By hand, a third time: what stands up to the first slash, question mark or number sign.
    let rest = text.strip_prefix("https://").expect("its scheme");
    let by_hand = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    assert_eq!(by_hand, authority, "{text:?}");
    assert!(!by_hand.contains('@'), "{text:?}");
}

fn oci_is_plain(registry: &Url, repository: &str, reference: &str) {
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte));
    assert!(plain(repository) && plain(reference), "{repository:?} {reference:?}");
    assert!(!repository.split('/').any(|part| part.is_empty() || part.starts_with('.')), "{repository:?}");
    let joined = registry.join(&format!("v2/{repository}/manifests/{reference}")).expect("an address");
    assert_eq!(joined.path(), format!("/v2/{repository}/manifests/{reference}"));
    assert_eq!((joined.host_str(), joined.port()), (registry.host_str(), registry.port()));
}

fn reach(text: &str) -> Result<Endpoint, pool_registry_types::Fault> {
    let (peer, network) = (PEER.parse().expect("an address"), NETWORK.parse::<Network>().expect("a network"));
    check_endpoint(text, peer, "", &[network])
}

/// An address that passed is the peer's own, or lies in the network; as another parser reads it, too.
fn is_reachable(endpoint: &Endpoint, text: &str) {
    assert_eq!(reach(&endpoint.to_string()).as_ref(), Ok(endpoint), "{text:?}");
    let read: Uri = text.parse().unwrap_or_else(|error| panic!("{error}: {text:?}"));
    let host = read.host().expect("it has a host").trim_matches(['[', ']']);
    match endpoint {
        Endpoint::Addr { addr, .. } => {
            let peer: IpAddr = PEER.parse().expect("an address");
            let inside = matches!(addr.ip(), IpAddr::V4(address) if address.octets()[..2] == [10, 9]);
            assert!(addr.ip() == peer || inside, "{text:?} leads to {addr}");
            if let Ok(written) = host.parse::<IpAddr>() {
                assert_eq!(written.to_canonical(), addr.ip(), "{text:?}");
            }
        }
        Endpoint::Name { host: name, .. } => {
            assert!(host.parse::<IpAddr>().is_err(), "{text:?} is called a name");
            assert_eq!(name, host.to_ascii_lowercase().trim_end_matches('.'), "{text:?}");
        }
    }
    let usual = if read.scheme_str() == Some("https") { 443 } else { 80 };
    assert_eq!(endpoint.port(), read.port_u16().unwrap_or(usual), "{text:?}");
}
