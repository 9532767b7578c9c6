//! The agent over HTTP and as a process, with engines that are processes of their own.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time and ends its own tasks")]

mod access;
mod canary;
mod engine;
mod lifecycle;
mod node;
mod orphans;
mod plane;
mod registering;
mod reload;
mod traces;
