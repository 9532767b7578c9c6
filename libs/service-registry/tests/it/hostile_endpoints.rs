//! Endpoints that try to lead the control plane elsewhere.

use std::net::{IpAddr, Ipv4Addr};

use pool_registry_types::{Heartbeat, PoolReport, RegisterNode};
use service_registry::{Contact, Endpoint, Refusal, Scheme, check_address, check_endpoint};

use crate::world::{World, beat, contact, node, pool};

const PEER: &str = "10.0.0.1";

/// What is no bare http URL, or leads to an address at which a node on 10.0.0.1 is not.
const HOSTILE: &[&str] = &[
    // Other schemes, or none.
    "",
    "/",
    "10.0.0.1:8080",
    "//10.0.0.1:8080",
    "file:///etc/passwd",
    "file://10.0.0.1/etc/passwd",
    "ftp://10.0.0.1:21",
    "gopher://10.0.0.1:70",
    "unix:///run/docker.sock",
    "javascript:alert(1)",
    "data:,x",
    "ws://10.0.0.1:8080",
    "httpx://10.0.0.1:8080",
    "http:10.0.0.1:8080",
    "http:/10.0.0.1:8080",
    "http:///10.0.0.1:8080",
    "http:\\\\10.0.0.1:8080",
    // More than a host and a port.
    "http://user@10.0.0.1:8080",
    "http://user:word@10.0.0.1:8080",
    "http://@10.0.0.1:8080",
    "http://:@10.0.0.1:8080",
    "http://10.0.0.1:8080@169.254.169.254",
    "http://10.0.0.1:8080%40169.254.169.254",
    "http://10.0.0.1:8080/v1",
    "http://10.0.0.1:8080//",
    "http://10.0.0.1:8080/..",
    "http://10.0.0.1:8080/./",
    "http://10.0.0.1:8080/%2e",
    "http://10.0.0.1:8080?",
    "http://10.0.0.1:8080/?x",
    "http://10.0.0.1:8080#",
    "http://10.0.0.1:8080/#x",
    "http://10.0.0.1:8080\\@127.0.0.1",
    "http://10.0.0.1:8080\\",
    // Ports that are none.
    "http://10.0.0.1:0",
    "http://10.0.0.1:65536",
    "http://10.0.0.1:-1",
    "http://10.0.0.1:80:80",
    "http://10.0.0.1:8o80",
    // Blanks, controls and characters that only look like others.
    " http://10.0.0.1:8080",
    "http://10.0.0.1:8080 ",
    "http://10.0.0.1\t:8080",
    "http://10.0.0.1\r\n:8080",
    "ht\ntp://10.0.0.1:8080",
    "http://10.0.0.1\0:8080",
    "\u{feff}http://10.0.0.1:8080",
    "http\u{ff1a}//10.0.0.1:8080",
    "http://\u{ff11}27.0.0.1:8080",
    "http://\u{2460}27.0.0.1:8080",
    "http://127\u{3002}0\u{3002}0\u{3002}1:8080",
    "http://gpu\u{ad}-1:8080",
    "http://%31%32%37.0.0.1:8080",
    // This machine, in every spelling.
    "http://127.0.0.1:8080",
    "http://127.1:8080",
    "http://127.0.1:8080",
    "http://2130706433:8080",
    "http://0x7f000001:8080",
    "http://0x7f.0.0.1:8080",
    "http://0x7f.1:8080",
    "http://0177.0.0.1:8080",
    "http://017700000001:8080",
    "http://127.0.0.1.:8080",
    "http://127.255.255.254:8080",
    "http://[::1]:8080",
    "http://[0:0:0:0:0:0:0:1]:8080",
    "http://[::ffff:127.0.0.1]:8080",
    "http://[::ffff:7f00:1]:8080",
    "http://[::127.0.0.1]:8080",
    "http://[64:ff9b::7f00:1]:8080",
    "http://[2002:7f00:1::]:8080",
    "http://0:8080",
    "http://0.0.0.0:8080",
    "http://[::]:8080",
    // Metadata services and other links.
    "http://169.254.169.254",
    "http://169.254.169.254:80",
    "https://169.254.169.254",
    "http://2852039166",
    "http://0xa9fea9fe",
    "http://0251.0376.0251.0376",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[fd00:ec2::254]",
    "http://100.100.100.200",
    "http://192.0.0.192",
    "http://[fe80::1]:8080",
    "http://[fe80::1%25eth0]:8080",
    // Nobody, everybody, and examples.
    "http://224.0.0.1:8080",
    "http://255.255.255.255:8080",
    "http://240.0.0.1:8080",
    "http://192.0.2.1:8080",
    "http://198.51.100.1:8080",
    "http://203.0.113.1:8080",
    "http://[ff02::1]:8080",
    "http://[2001:db8::1]:8080",
    // Other hosts.
    "http://10.0.0.2:8080",
    "http://167772162:8080",
    "http://192.168.1.1:8080",
    "http://8.8.8.8:8080",
    "http://[fd00::1]:8080",
    "http://[::ffff:10.0.0.2]:8080",
    // Names that are none.
    "http://",
    "http://:8080",
    "http://.:8080",
    "http://..:8080",
    "http://-gpu:8080",
    "http://gpu-:8080",
    "http://gpu..1a:8080",
    "http://gpu..:8080",
    "http://*:8080",
    "http://gpu!x:8080",
    "http://gpu,x:8080",
    "http://[gpu]:8080",
    "http://[10.0.0.1]:8080",
    "http://<gpu>:8080",
    "http://gpu$x:8080",
    "http://1.2.3.4.5:8080",
    "http://10.0.0.256:8080",
];

fn peer() -> IpAddr {
    PEER.parse().unwrap()
}

// N07
//= ORCH-3432 type=test
#[test]
fn more_than_100_hostile_endpoints_are_all_refused() {
    assert!(HOSTILE.len() > 100, "{}", HOSTILE.len());
    for text in HOSTILE {
        assert!(check_endpoint(text, peer(), "10.0.0.1", &[]).is_err(), "{text:?}");
    }
    // The node's own address passes in any spelling, so the test can tell the two apart.
    for own in
        ["10.0.0.1", "10.0.1", "10.1", "167772161", "0xa.0.0.1", "012.0.0.1", "[::ffff:a00:1]", "10.0.0.1."]
    {
        let judged = check_endpoint(&format!("http://{own}:8080"), peer(), "", &[]);
        let addr = "10.0.0.1:8080".parse().unwrap();
        assert_eq!(judged, Ok(Endpoint::Addr { scheme: Scheme::Http, addr }), "{own}");
    }
}

// N07
//= ORCH-3432 type=test
#[test]
fn a_heartbeat_with_one_hostile_endpoint_is_refused_as_a_whole() {
    let mut world = World::of(&["n1"]);
    for text in HOSTILE {
        let bad = PoolReport { endpoint: Some((*text).to_owned()), ..pool("q") };
        match world.say("n1", beat(vec![pool("p"), bad])) {
            // What is empty or holds controls is no line at all.
            Err(Refusal::EndpointRefused(fault) | Refusal::Malformed(fault)) => {
                assert_eq!(fault.field, "pools[1].endpoint", "{text:?}");
            }
            other => panic!("{text:?} {other:?}"),
        }
        world.beat("n1").unwrap();
        assert_eq!(world.node("n1").replicas().len(), 1);
    }
}

// N07
//= ORCH-3432 type=test
#[test]
fn a_registration_with_a_hostile_address_is_refused() {
    let mut world = World::default();
    for text in HOSTILE.iter().filter(|text| text.starts_with("http")) {
        let mut hostile = node("n1", "n1", None);
        hostile.address = (*text).to_owned();
        assert!(world.register(hostile).is_err(), "{text:?}");
    }
    assert_eq!(world.registry.nodes().count(), 0);
    world.join("n1");
}

// N08
//= ORCH-3432 type=test
#[test]
fn what_a_name_resolves_to_is_judged_like_an_address() {
    let mut world = World::of(&["n1"]);
    for (text, scheme) in [("http://localhost:1", "http"), ("https://metadata.google.internal.:1", "https")] {
        let named = PoolReport { endpoint: Some(text.to_owned()), ..pool("p") };
        world.say("n1", beat(vec![named])).unwrap();
        let node = world.node("n1");
        let endpoint = node.replicas()[0].endpoint().unwrap();
        assert!(matches!(endpoint, Endpoint::Name { .. }), "{endpoint:?}");
        assert!(endpoint.to_string().starts_with(&format!("{scheme}://")), "{endpoint}");
        for address in ["127.0.0.1", "169.254.169.254", "10.0.0.2"] {
            let judged =
                check_address(address.parse().unwrap(), node.contact().peer, &node.place().host(), &[]);
            assert!(judged.is_err(), "{text} {address}");
        }
    }
}

fn numbered_at(seq: u64) -> Heartbeat {
    let pool = PoolReport { endpoint: Some("http://10.0.0.1:8080".into()), ..pool("p") };
    Heartbeat { incarnation: Some(1), seq: Some(seq), ..beat(vec![pool]) }
}

fn named_node() -> RegisterNode {
    RegisterNode { address: "gpu-1:9200".into(), ..node("n1", "n1", Some(1)) }
}

const ELSEWHERE: Contact = Contact { peer: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), credential: 1 };

// N07
//= ORCH-3432 type=test
#[test]
fn endpoints_are_judged_again_when_the_node_calls_or_registers_from_elsewhere() {
    assert_eq!(contact("n1").credential, ELSEWHERE.credential);
    let mut world = World::default();
    world.register(named_node()).unwrap();
    world.say("n1", numbered_at(1)).unwrap();
    let refused = |answer| matches!(answer, Err(Refusal::EndpointRefused(_)));
    assert!(refused(world.say_from("n1", numbered_at(2), ELSEWHERE)));
    world.say("n1", numbered_at(3)).unwrap();
    world.register_from(named_node(), ELSEWHERE).unwrap();
    assert!(refused(world.say_from("n1", numbered_at(4), ELSEWHERE)));
}

// N07
//= ORCH-3432 type=test
#[test]
fn endpoints_are_judged_again_when_the_node_has_another_address() {
    let mut world = World::default();
    world.register(node("n1", "n1", Some(1))).unwrap();
    world.say_from("n1", numbered_at(1), ELSEWHERE).unwrap();
    world.register_from(named_node(), ELSEWHERE).unwrap();
    let answer = world.say_from("n1", numbered_at(2), ELSEWHERE);
    assert!(matches!(answer, Err(Refusal::EndpointRefused(_))), "{answer:?}");
}
