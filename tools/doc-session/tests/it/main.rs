//! Every page of the repository, as its readers would use it.
#![cfg(test)]

mod blocks;
mod deploy;
mod pages;
mod sessions;
mod tables;
