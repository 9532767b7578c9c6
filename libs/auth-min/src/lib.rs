//! Who may speak to the server: the bearer check, planes, identities in logs, the loopback
//! rules, and a limit on failures.
//!
//! Everything here is a pure function of bytes and addresses, so that the rules of access can be read
//! and tested on one page, far from headers and sockets. The edge collects the facts of a request and
//! asks; this crate answers.
//!
//! Invariant: no type of this crate keeps a token; only its SHA-256 digest and a short fingerprint stay.
//! It knows no HTTP status, no route and no configuration file.
#![warn(missing_docs)]

mod identity;
mod limiter;
mod peer;
mod plane;
mod token;

pub use identity::{Fingerprint, Identity, NotAnIdentity};
pub use limiter::FailureLimiter;
pub use peer::{
    Forwarding, LoopbackPolicy, LoopbackRule, OpenBind, ProxyTrust, bind_rule, is_forwarding_header,
    loopback_exempt,
};
pub use plane::{Authorities, Plane};
pub use token::{AuthError, TOKEN_CHARS_MIN, TokenAuthority, UnusableToken};
