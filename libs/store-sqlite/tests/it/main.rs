//! The store against real files.
#![cfg(test)]

mod damage;
mod golden;
mod room;
mod suite;
