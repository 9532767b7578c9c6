//! The catalog on real files: roots, verification, headers, and ten thousand broken models.
#![cfg(test)]

mod files;
mod folder;
mod headers;
mod hostile_addresses;
mod mutations;
mod roots;
mod verify;
