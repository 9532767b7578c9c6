//! The accept loop, seen from the other end of the wire.
#![cfg(test)]

mod authority;
mod tls;
mod workers;
