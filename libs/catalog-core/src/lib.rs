//! How models are called, and where they come from.
//!
//! A client may name a model as an engine does, or by where it lies. Both are the same model, so a
//! [`ModelRef`] knows the name that engines use, and comparing models is comparing those names.
//!
//! It opens no file and no connection: whether a model exists is for others to find out.
#![warn(missing_docs)]

mod model_ref;

pub use model_ref::{MODEL_REF_BYTES_MAX, MalformedModelRef, ModelRef, ModelSource};
