//! The catalog on real files: roots, verification, headers, and ten thousand broken models.
#![cfg(test)]

mod folder;
mod roots;
