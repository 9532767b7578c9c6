//! The dialect that most engines share: `OpenAI`'s completions and chat completions, streamed.
//!
//! Servers agree on its shape and differ in its corners, so it is read leniently where a difference is
//! harmless and strictly where it is not. What an adapter adds is its engine's own probe.
//!
//! Invariant: `[DONE]` alone is no good end. An engine that is told to stop sends it too; only a finish
//! reason that means a whole answer, and `[DONE]` after it, end a stream well.

mod dialect;
mod echo;
mod models;
mod refusal;
mod relay;
mod request;
mod summary;
mod template;
mod vectors;
mod wire;
mod work;

pub use dialect::OpenAiDialect;
pub use echo::Echo;
pub use models::{Model, Models, ServedModels, model_names};
pub use refusal::error;
pub use relay::{RelayDialect, relay_body};
pub use request::{CompletionCall, Extras};
pub use vectors::{DocumentReader, EmbeddingReader, RerankReader, embedding_body, rerank_body};
pub use work::{Asked, embed, relay, rerank, submit};
