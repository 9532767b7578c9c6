//! The store against real files.
#![cfg(test)]

mod damage;
mod room;
mod suite;
