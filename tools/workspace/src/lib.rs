//! What the tools know of the workspace: the floors of its crates, its Rust files, and its Markdown pages.
//!
//! The checks of `xtask` and the tools beside it ask the same questions of the same text. They are answered here,
//! so that two tools never read one file in two ways.

mod ending;
pub mod floors;
pub mod markdown;
pub mod source;

pub use ending::ending;
