//! The registry over whole stories: silence, replays, flapping, owners, quarantine, endpoints, replicas.
#![cfg(test)]

mod availability;
mod book;
mod flapping;
mod hostile_endpoints;
mod impossible;
mod model;
mod owners;
mod polled;
mod replays;
mod replicas;
mod silence;
mod together;
mod world;
