//! Whatever comes over a connection, the server answers with whole answers and lets go of it.
#![no_main]

use std::{sync::OnceLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use orchestratord::fuzzing::Server;
use orchestratord_fuzz::{parts, seeded, without_network};

/// Longer than any wait that a peer can bring about who has closed its side.
const PATIENCE: Duration = Duration::from_secs(15);
const STATUSES: [&str; 20] = [
    "200", "201", "202", "204", "400", "401", "403", "404", "405", "408", "409", "410", "413", "414", "415",
    "417", "429", "431", "500", "503",
];

fuzz_target!(|data: &[u8]| {
    let Some((seed, bytes)) = seeded(data) else { return };
    let server = server();
    let parts = parts(seed, bytes);
    let answer = server.run(async { tokio::time::timeout(PATIENCE, server.connection(&parts)).await });
    let answer = answer.expect("the connection never ends");
    if answer.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 ") || text.starts_with("HTTP/1.0 "), "no answer: {text:?}");
    let status = &text[9..12];
    assert!(status == "100" || STATUSES.contains(&status), "{text:?}");
    assert_ne!(status, "500", "{text:?}");
    // The parser's own refusals, which come before the gate, have no name.
    let by_the_gate = !matches!(status, "100" | "400" | "414" | "431");
    assert!(!by_the_gate || text.to_ascii_lowercase().contains("\r\nx-correlation-id: "), "{text:?}");
});

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(without_network)
}
