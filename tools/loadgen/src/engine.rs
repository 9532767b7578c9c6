//! A server that speaks llama.cpp's dialect and computes nothing.
//!
//! A benchmark of a relay must not measure its engine. Every byte of a stream except the last event is
//! prepared at start, so a token costs a few nanoseconds here and one write carries hundreds of them.

pub(crate) mod answer;
mod request;
mod script;

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{AcquireError, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use self::{
    request::{Ask, Inbox},
    script::{Dialect, Script},
};

/// The longest stream, in tokens; what it reports as `n_ctx`.
const CTX: usize = 32_768;
/// Bytes per write when nothing slows it down.
const WRITE_BYTES: usize = 32 * 1024;

/// Options of `engine`.
#[derive(Args)]
pub(crate) struct EngineArgs {
    /// Port on 127.0.0.1; 0 takes a free one, which the first line of output names.
    #[arg(long)]
    port: u16,
    /// Tokens per second of each stream; 0 is as fast as possible.
    #[arg(long, default_value_t = 0)]
    pace: u32,
    /// Streams at once; further ones wait without an answer, as llama.cpp lets them.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
}

/// Serves until it is killed.
pub(crate) async fn run(args: &EngineArgs) -> Result<()> {
    let listener =
        listen(args.port).with_context(|| format!("--port: cannot listen on 127.0.0.1:{}", args.port))?;
    println!("listening on {}", listener.local_addr()?);
    match serve(listener, Engine::new(args.pace, args.slots.into())).await? {}
}

/// A relay may open all its connections at once, which the usual backlog of 128 would not hold.
fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(4_096)
}

/// What all connections share.
pub(crate) struct Engine {
    llamacpp: Script,
    openai: Script,
    /// Tokens per second of a stream, 0 for no limit.
    pace: u32,
    slots: Semaphore,
    slots_total: usize,
}

impl Engine {
    fn script(&self, dialect: Dialect) -> &Script {
        match dialect {
            Dialect::Llamacpp => &self.llamacpp,
            Dialect::OpenAi => &self.openai,
        }
    }

    pub(crate) fn new(pace: u32, slots: usize) -> Self {
        Self {
            llamacpp: Script::new(CTX, Dialect::Llamacpp),
            openai: Script::new(CTX, Dialect::OpenAi),
            pace,
            slots: Semaphore::new(slots),
            slots_total: slots,
        }
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener, engine: Engine) -> Result<Infallible> {
    let engine = Arc::new(engine);
    let connections = TaskTracker::new();
    loop {
        let (stream, _peer) = listener.accept().await.context("accepting a connection")?;
        let engine = Arc::clone(&engine);
        connections.spawn(async move {
            // A peer that goes away ends its own connection and nothing else.
            answer_all(stream, &engine).await.unwrap_or_default();
        });
    }
}

/// Answers one request after the other until the peer closes or errs.
async fn answer_all(mut stream: TcpStream, engine: &Engine) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::default();
    while let Some(ask) = inbox.next(&mut stream).await? {
        let free = engine.slots.available_permits();
        match ask {
            Ask::Complete { tokens, dialect } => complete(&mut stream, engine, tokens, dialect).await?,
            Ask::Slots { refuse_when_full: true } if free == 0 => {
                return stream.write_all(&answer::error(503, "unavailable_error", "no slot available")).await;
            }
            Ask::Slots { .. } => {
                stream.write_all(&answer::slots(engine.slots_total, engine.slots_total - free)).await?;
            }
            Ask::Health => stream.write_all(&answer::health()).await?,
            Ask::Props => stream.write_all(&answer::props(engine.slots_total)).await?,
            Ask::Models => stream.write_all(&answer::models()).await?,
            Ask::Refuse(status, kind, message) => {
                return stream.write_all(&answer::error(status, kind, message)).await;
            }
        }
    }
    Ok(())
}

/// One stream of `tokens` tokens, `None` for as many as the context holds.
async fn complete(
    stream: &mut TcpStream,
    engine: &Engine,
    tokens: Option<usize>,
    dialect: Dialect,
) -> io::Result<()> {
    let script = engine.script(dialect);
    let closed = |_closed: AcquireError| io::ErrorKind::BrokenPipe;
    let _slot = engine.slots.acquire().await.map_err(closed)?;
    // Like the real one: a request for no token yields one.
    let tokens = tokens.unwrap_or(CTX).clamp(1, CTX);
    let start = Instant::now();
    if engine.pace == 0 {
        let bytes = script.up_to(tokens);
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % WRITE_BYTES);
        for piece in whole.chunks(WRITE_BYTES) {
            stream.write_all(piece).await?;
        }
        let mut last = rest.to_vec();
        last.extend_from_slice(&script::ending(dialect, tokens, start.elapsed()));
        return stream.write_all(&last).await;
    }
    stream.write_all(script.up_to(0)).await?;
    let mut sent = 0;
    while sent < tokens {
        sleep_until(start + Duration::from_secs(1) * count(sent) / engine.pace).await;
        // After a late wake-up everything that is due goes out at once, so the pace holds on average.
        let due = due_after(start.elapsed(), engine.pace).clamp(sent + 1, tokens);
        stream.write_all(script.between(sent, due)).await?;
        sent = due;
    }
    stream.write_all(&script::ending(dialect, tokens, start.elapsed())).await
}

/// How many tokens a stream has to have after `elapsed`: the first is due at once.
fn due_after(elapsed: Duration, pace: u32) -> usize {
    let due = elapsed.as_micros() * u128::from(pace) / 1_000_000 + 1;
    usize::try_from(due).unwrap_or(usize::MAX)
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_token_is_due_at_once_and_the_others_at_the_pace() {
        assert_eq!(due_after(Duration::ZERO, 200), 1);
        assert_eq!(due_after(Duration::from_micros(4_999), 200), 1);
        assert_eq!(due_after(Duration::from_millis(5), 200), 2);
        assert_eq!(due_after(Duration::from_secs(1), 200), 201);
    }
}
