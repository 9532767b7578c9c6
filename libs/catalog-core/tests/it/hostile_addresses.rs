//! Addresses that try to reach another host than the one that was allowed.

use catalog_core::{ModelRef, OutboundPolicy, Remote};

const ALLOWED: &str = "models.example";

/// Hosts that are, or lead to, something else than the allowed one.
const HOSTS: &[&str] = &[
    // This machine and its network, in every spelling.
    "localhost",
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "0.0.0.0",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "127.0.0.0x1",
    "10.0.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[2002:7f00:1::]",
    "\u{ff11}27.0.0.1",
    "\u{2460}27.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "%31%32%37.0.0.1",
    // Names that look like the allowed one.
    "models.example.",
    "models.example..",
    "MODELS.EXAMPLE",
    "models.example.evil.example",
    "evilmodels.example",
    "evil.models.example",
    "models-example",
    "models.example%2eevil.example",
    "models.example%00.evil.example",
    "models.example%2f",
    "models%2eexample",
    "m\u{f6}dels.example",
    "model\u{17f}.example",
    "models\u{ff0e}example",
    "models\u{3002}example",
    "models.ex\u{ad}ample",
    "models.ex\u{200b}ample",
    "metadata.google.internal",
    // Names and ports together with the allowed one.
    "models.example:80",
    "models.example:22",
    "models.example:443",
    "models.example:8443",
    "models.example:0",
    "models.example:65536",
    "models.example:",
    "models.example:443:443",
    "user@models.example",
    "user:password@models.example",
    "@models.example",
    ":@models.example",
    "models.example@127.0.0.1",
    "models.example@evil.example",
    "models.example:443@evil.example",
    "models.example%40evil.example",
    "evil.example#@models.example",
    "evil.example?@models.example",
    "evil.example\\@models.example",
    "evil.example\\.models.example",
    "models.example\\evil.example",
    "models.example\t.evil.example",
    "models.example\n",
    "models.example evil.example",
    "",
    "/models.example",
    "//models.example",
    ".",
    "..",
    "*",
    "[",
    "[models.example]",
    "<models.example>",
];

/// What may stand before and behind a host.
const FRAMES: &[(&str, &str)] = &[("https://", "/m.gguf"), ("https://", "/a/b/m.gguf?version=1")];

/// Addresses of the allowed host that are wrong in themselves.
const ADDRESSES: &[&str] = &[
    "http://models.example/m",
    "HTTPS://models.example/m",
    "https:models.example/m",
    "https:/models.example/m",
    "https:///models.example/m",
    "https:\\\\models.example\\m",
    "ftp://models.example/m",
    "file://models.example/m",
    "gopher://models.example/m",
    "data:,m",
    "javascript:m",
    "//models.example/m",
    "models.example/m",
    "https://models.example",
    "https://models.example/m#fragment",
    "https://models.example/m#",
    "https://models.example/../m",
    "https://models.example/a/../m",
    "https://models.example/./m",
    "https://models.example/%2e%2e/m",
    "https://models.example/.%2E/m",
    "https://models.example/..%2fm",
    "https://models.example/..%5cm",
    "https://models.example/a%2fm",
    "https://models.example/a%5Cm",
    "https://models.example/%00",
    "https://models.example/%0d%0aHost:evil.example",
    "https://models.example/%252e%252e/m",
    "https://models.example/%",
    "https://models.example/%2",
    "https://models.example/%zz",
    "https://models.example/a\\m",
    "https://models.example/a m",
    "https://models.example/a\tm",
    "https://models.example/a\nm",
    "https://models.example/\u{202e}m",
    "https://models.example/m\u{e9}",
    " https://models.example/m",
    "https://models.example/m ",
    "\u{feff}https://models.example/m",
    "https\u{ff1a}//models.example/m",
    "https://models.example/m?a=%0a",
    "s3://models.example/m",
    "s3://models.example#/m",
    "s3://evil.example?/m",
    "s3://127.0.0.1/m",
    "s3://a/../b/m",
    "s3://-ab/m",
    "s3://UPPER/m",
    "s3://user@bucket/m",
    "s3://bucket:80/m",
    "s3://bucket%2f/m",
    "s3://other-bucket/m",
    "oci://127.0.0.1/m",
    "oci://0x7f.1/m",
    "oci://[::1]/m",
    "oci://localhost/m",
    "oci://evil.example/m",
    "oci://models.example:5000/m",
    "oci://models.example./m",
    "oci://user@models.example/m",
    "oci://evil.example#@models.example/m",
    "oci://evil.example?/m",
    "oci://models.example/../m",
    "oci://models.example/a%2fm",
    "oci://models.example/m:v1/x",
    "oci://models.example/m@sha256:../../etc/passwd",
    "hf:org/repo",
    "hf:org/repo/m.gguf",
    "file:/etc/passwd",
    "/etc/passwd",
    "m",
];

fn policy() -> OutboundPolicy {
    OutboundPolicy::From(vec![ALLOWED.parse().unwrap()])
}

fn corpus() -> Vec<String> {
    let mut corpus = Vec::new();
    for host in HOSTS {
        corpus.extend(FRAMES.iter().map(|(before, behind)| format!("{before}{host}{behind}")));
    }
    corpus.extend(ADDRESSES.iter().map(|address| (*address).to_owned()));
    corpus
}

fn is_let_through(text: &str) -> bool {
    text.parse::<ModelRef>().is_ok_and(|model| policy().check(&model).is_ok())
}

//= ORCH-3080 type=test
#[test]
fn more_than_200_hostile_addresses_are_all_refused() {
    let corpus = corpus();
    assert!(corpus.len() > 200, "{}", corpus.len());
    for text in &corpus {
        assert!(!is_let_through(text), "{text:?}");
    }
    // One that is not hostile passes, so the test can tell the two apart.
    for (before, behind) in FRAMES {
        assert!(is_let_through(&format!("{before}{ALLOWED}{behind}")));
    }
}

//= ORCH-3080 type=test
#[test]
fn a_server_cannot_lead_on_to_a_hostile_address() {
    for text in corpus() {
        // A redirect to the bare host of the list is harmless; as a reference it names no file.
        if text != "https://models.example" {
            assert!(policy().check_url(&text).is_err(), "{text:?}");
        }
    }
}

//= ORCH-3080 type=test
#[test]
fn what_is_let_through_connects_to_the_allowed_host_and_port_alone() {
    for host in HOSTS.iter().chain(&[ALLOWED]) {
        for path in ["/m", "/a%20b", "/m?x=y", "/m@v1", "/m:v1"] {
            let Ok(model) = format!("https://{host}{path}").parse::<ModelRef>() else { continue };
            if let Ok(Remote::Https(url)) = policy().check(&model) {
                assert_eq!(url.host_str(), Some(ALLOWED), "{model}");
                assert_eq!(url.port_or_known_default(), Some(443), "{model}");
                assert_eq!(url.as_str(), model.to_string());
            }
        }
    }
}
