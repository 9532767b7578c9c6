//! Downloads from servers on loopback that behave well, badly and worse.
#![expect(clippy::unwrap_used, reason = "this folder is tests and their helpers")]

mod outbound;
mod recovery;
mod server;
mod tls;
mod whole;
