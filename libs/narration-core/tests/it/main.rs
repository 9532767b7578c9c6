//! What narrations say, what they never say, and how a log line carries them.
#![cfg(test)]

mod line;
mod sentences;
