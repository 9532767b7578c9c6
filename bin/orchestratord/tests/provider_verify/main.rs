//! The server does what its documents say: every operation is asked, and each answer is held against them.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time and ends its own tasks")]
#![expect(clippy::format_collect, reason = "an expected text is read here, not made fast")]

#[path = "../it/model_root.rs"]
mod model_root;
#[expect(dead_code, reason = "shared with another suite, which uses more of it")]
#[path = "../service_registry_integration/node.rs"]
mod node;
#[path = "../it/stream.rs"]
mod stream;
#[expect(dead_code, reason = "shared with another suite, which uses more of it")]
#[path = "../it/support.rs"]
mod support;

mod pact;
mod refusals;
mod successes;
