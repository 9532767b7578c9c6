//! The server over HTTP, in this process: real sockets, real adapters, engines that play scripts.
#![cfg(test)]

mod support;

mod auth;
mod cancel;
mod engine_faults;
mod events;
mod hostile;
mod operations;
mod queue;
mod restart;
mod tasks;
