//! The stream that an adapter yields, shaped so that many tokens can be taken at once.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use crate::{AdapterError, TokenBatch};

/// Why an engine stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FinishReason {
    /// The model ended its text, or a stop text was met.
    #[default]
    Stop,
    /// The token limit was reached.
    Length,
}

/// Token counts of one piece of work, as the engine counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt: u32,
    /// Tokens generated.
    pub generated: u32,
    /// Prompt tokens that the engine did not have to compute again.
    pub cached: Option<u32>,
}

/// The good end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Finish {
    /// Why the engine stopped.
    pub reason: FinishReason,
    /// What it counted.
    pub usage: Usage,
    /// Milliseconds that the engine spent on generating, where it tells.
    pub decode_ms: Option<f64>,
    /// True when bytes that are not UTF-8 were replaced by U+FFFD.
    pub invalid_utf8: bool,
}

/// What one call of [`TokenStream::poll_next`] brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// The batch grew; there is more to come.
    More,
    /// The engine is done. The batch may hold its last tokens.
    Ended(Finish),
}

/// Tokens as they come. Dropping it cancels the work at the engine.
pub trait TokenStream: Send + Unpin {
    /// Adds all that is ready to `batch` and returns, or waits when nothing is.
    ///
    /// The caller empties the batch between calls: a full one brings nothing new. After
    /// [`Progress::Ended`] or an error it must not be called again.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut TokenBatch,
    ) -> Poll<Result<Progress, AdapterError>>;
}

/// Waits for the next step of `stream`, adding its tokens to `batch`.
pub async fn next(stream: &mut dyn TokenStream, batch: &mut TokenBatch) -> Result<Progress, AdapterError> {
    poll_fn(|cx| stream.poll_next(cx, batch)).await
}
