//! What the two kinds of streams have in common: lines that are checked, and the first token's time.

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::{
    connection::{Connection, Head},
    lines::LineSplitter,
};

/// After so many numbers the engine's text starts again.
pub(crate) const TEXT_PERIOD: u32 = 500;

/// Judges a stream line by line.
pub(crate) trait Check {
    /// Fails at the first line that should not be there.
    fn line(&mut self, line: &[u8]) -> Result<()>;
    /// The tokens so far.
    fn tokens(&self) -> u32;
    /// Fails when the stream should not have ended here.
    fn finish(&self) -> Result<()>;
}

/// A stream that was right to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streamed {
    pub(crate) tokens: u32,
    pub(crate) first_token: Instant,
}

/// Reads a response's stream to its end.
pub(crate) async fn read(connection: &mut Connection, head: Head, mut check: impl Check) -> Result<Streamed> {
    let (mut lines, mut first_token) = (LineSplitter::default(), None);
    let sink = |data: &[u8]| {
        lines.push(data, |line| check.line(line))?;
        if first_token.is_none() && check.tokens() > 0 {
            first_token = Some(Instant::now());
        }
        Ok(())
    };
    connection.read_body(head, sink).await?;
    check.finish()?;
    let first_token = first_token.context("the stream had no token")?;
    Ok(Streamed { tokens: check.tokens(), first_token })
}
