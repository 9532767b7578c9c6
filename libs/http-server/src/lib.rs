//! The part of an HTTP server that is the same for each of our binaries: how connections come in,
//! plain or by TLS, how a request is called in logs, and whether it is meant for this server at all.
//!
//! The ready-made accept loop waits for ever for a slow header and takes what it gets. Ours has a bound on
//! everything that a peer can make it hold, and is written once so that no binary has a weaker one.
//!
//! Invariant: a connection costs at most one slot of [`Limits::connections_max`], and gives it back.
//! It knows no route, no token and no configuration file.
#![warn(missing_docs)]

mod certificate;
mod correlation;
mod host;
mod server;
mod tls;
mod workers;

pub use certificate::PeerCertificate;
pub use correlation::CorrelationId;
pub use host::{BadHost, check_host};
pub use server::{Answers, Limits, Server, listen};
pub use tls::{Renewal, Tls, TlsError, TlsFiles};
pub use workers::Workers;
