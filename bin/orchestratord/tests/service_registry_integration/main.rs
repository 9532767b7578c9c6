//! Nodes and their pools over HTTP: who is there, who gets work, and what operators do to pools.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time and ends its own tasks")]
#![expect(clippy::format_collect, reason = "an expected text is read here, not made fast")]

#[expect(dead_code, reason = "shared with another suite, which uses more of it")]
#[path = "../it/daemon.rs"]
mod daemon;
#[path = "../it/model_root.rs"]
mod model_root;
#[path = "../it/stream.rs"]
mod stream;
#[expect(dead_code, reason = "shared with another suite, which uses more of it")]
#[path = "../it/support.rs"]
mod support;

mod lifecycle;
mod narration;
mod node;
mod nodes;
mod placement;
mod polling;
mod restart;
