//! Stories of pools.
