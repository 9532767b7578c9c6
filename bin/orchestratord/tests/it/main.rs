//! The server over HTTP, in this process: real sockets, real adapters, engines that play scripts.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time and ends its own tasks")]
#![expect(clippy::format_collect, reason = "an expected text is read here, not made fast")]

mod support;

mod artifacts;
mod auth;
mod backup;
mod canary;
mod cancel;
mod catalog;
mod churn;
mod configuration;
mod daemon;
mod durable;
mod engine_faults;
mod events;
mod fleet;
mod hostile;
mod logs;
mod metrics;
mod metrics_contract;
mod model_root;
mod openai;
mod operations;
mod placement;
mod proxy;
mod queue;
mod recovery;
mod restart;
mod sessions;
mod storage;
mod stream;
mod tasks;
mod tls;
mod traces;
mod workloads;
