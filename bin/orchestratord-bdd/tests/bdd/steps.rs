//! The phrases, by what they are about.

mod agent;
mod answers;
mod disks;
mod engines;
mod files;
mod nodes;
mod observing;
mod server;
mod streams;
mod tasks;
mod tls;
mod traces;

use crate::phrases::Phrase;

/// All phrases.
pub(crate) const PHRASES: &[&[Phrase]] = &[
    agent::PHRASES,
    answers::PHRASES,
    disks::PHRASES,
    engines::PHRASES,
    files::PHRASES,
    nodes::PHRASES,
    observing::PHRASES,
    server::PHRASES,
    streams::PHRASES,
    tasks::PHRASES,
    tls::PHRASES,
    traces::PHRASES,
];
