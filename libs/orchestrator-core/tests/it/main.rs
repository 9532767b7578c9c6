//! The scheduler as a whole: by script, by model, by simulation.
#![cfg(test)]

mod model;
mod player;
mod pools;
mod scripts;
mod sim;
