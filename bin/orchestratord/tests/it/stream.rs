//! A task's stream as a client reads it.
//!
//! It stands alone, so that suites of other crates read streams in the same way.

use serde_json::Value;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// Reads a stream by the standard's rules, strictly: every event has an id, a name and JSON data.
pub(crate) fn parse(stream: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for block in stream.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':')) {
        let field = |name: &str| {
            let prefix = format!("{name}: ");
            let line = block.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
            line.unwrap_or_else(|| panic!("no {name} in {block:?}"))
        };
        events.push(Event {
            id: field("id").parse().unwrap(),
            name: field("event").to_owned(),
            data: serde_json::from_str(field("data")).unwrap(),
        });
    }
    events
}
