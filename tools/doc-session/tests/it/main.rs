//! Every page of the repository, as its readers would use it.
#![cfg(test)]

mod blocks;
mod pages;
mod sessions;
