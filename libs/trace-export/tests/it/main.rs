//! The exporter against a collector that listens, hangs, fails, and is not there.
#![cfg(test)]

mod exporting;
