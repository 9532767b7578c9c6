//! An engine that counts, and goes on counting where an earlier answer broke off.
//!
//! A prompt is `Count SALT:` and whatever of the answer is known; the answer is ` SALT.0 SALT.1 …`. So the text
//! of a task says whether it is whole and whose it is. How long the engine pauses between two tokens follows
//! from the salt.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};

use crate::engine::answer;

/// How long an answer that says no limit is.
const TOKENS_DEFAULT: u64 = 16;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The engine. It stops when it is dropped.
pub(crate) struct CountingEngine {
    url: String,
    _accepting: JoinSet<()>,
}

impl CountingEngine {
    /// An engine with so many slots, on a free port of loopback.
    pub(crate) async fn start(slots: usize) -> io::Result<Self> {
        Self::with(Slots { free: Arc::new(Semaphore::new(slots)), total: slots }).await
    }

    /// An engine with one slot that never says anything.
    pub(crate) async fn silent() -> io::Result<Self> {
        Self::with(Slots { free: Arc::new(Semaphore::new(0)), total: 1 }).await
    }

    async fn with(slots: Slots) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, slots));
        Ok(Self { url, _accepting: accepting })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

#[derive(Clone)]
struct Slots {
    free: Arc<Semaphore>,
    total: usize,
}

async fn accept(listener: TcpListener, slots: Slots) {
    let mut serving = JoinSet::new();
    while let Ok((socket, _peer)) = listener.accept().await {
        while serving.try_join_next().is_some() {}
        let slots = slots.clone();
        serving.spawn(async move {
            // A server that is killed breaks its connections, and that is what it is for.
            serve(socket, &slots).await.unwrap_or_default();
        });
    }
}

async fn serve(socket: TcpStream, slots: &Slots) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    while let Some((head, body)) = request(&mut socket).await? {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = match path.split('?').next().unwrap_or_default() {
            "/completion" => {
                let order = serde_json::from_slice(&body).unwrap_or_default();
                count(socket.get_mut(), &order, slots).await?;
                continue;
            }
            "/health" => answer::health(),
            "/props" => answer::props(slots.total),
            "/slots" => answer::slots(slots.total, slots.total - slots.free.available_permits()),
            "/v1/models" => answer::models(),
            _ => return socket.get_mut().write_all(&answer::error(404, "not_found_error", "no")).await,
        };
        socket.get_mut().write_all(&answer).await?;
    }
    Ok(())
}

async fn request(socket: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await?;
    Ok(Some((head, body)))
}

async fn count(socket: &mut TcpStream, order: &Value, slots: &Slots) -> io::Result<()> {
    let gone = |_closed| io::ErrorKind::BrokenPipe;
    let _slot = slots.free.acquire().await.map_err(gone)?;
    let prompt = order["prompt"].as_str().unwrap_or_default();
    let (salt, from) = asked(prompt);
    let tokens = order["n_predict"].as_u64().unwrap_or(TOKENS_DEFAULT);
    socket.write_all(HEAD).await?;
    for at in 0..tokens {
        let pause = pause(salt);
        if !pause.is_zero() {
            sleep(pause).await;
        }
        let event = json!({
            "index": 0, "content": token(salt, from + at), "tokens": [at], "stop": false,
            "tokens_predicted": at + 1, "tokens_evaluated": 2,
        });
        socket.write_all(&chunk(&event)).await?;
    }
    let last = json!({
        "index": 0, "content": "", "tokens": [], "stop": true, "stop_type": "limit",
        "tokens_predicted": tokens, "tokens_evaluated": 2, "timings": { "cache_n": 1, "predicted_ms": 1.5 },
    });
    socket.write_all(&chunk(&last)).await?;
    socket.write_all(b"0\r\n\r\n").await
}

/// The salt of a prompt, and the number to go on with.
fn asked(prompt: &str) -> (u32, u64) {
    let (first, so_far) = prompt.split_once(':').unwrap_or((prompt, ""));
    let salt = first.rsplit(' ').next().and_then(|salt| salt.parse().ok());
    (salt.unwrap_or(0), so_far.split_whitespace().count() as u64)
}

/// What a task with this salt asks for.
pub(crate) fn prompt(salt: u32) -> String {
    format!("Count {salt}:")
}

/// The text of the first `tokens` tokens.
pub(crate) fn text(salt: u32, tokens: u32) -> String {
    (0..tokens).map(|number| token(salt, number.into())).collect()
}

fn token(salt: u32, number: u64) -> String {
    format!(" {salt}.{number}")
}

fn pause(salt: u32) -> Duration {
    Duration::from_millis(u64::from(salt % 5))
}

fn chunk(event: &Value) -> Vec<u8> {
    let event = format!("data: {event}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_goes_on_behind_what_is_known() {
        assert_eq!(asked(&prompt(17)), (17, 0));
        assert_eq!(asked(&format!("{}{}", prompt(17), text(17, 3))), (17, 3));
    }
}
