//! Hundreds of readers at once: what each of them costs, and that each is served.

use std::{fs, net::SocketAddr, time::Duration};

use mock::wire::{Act, ScriptedEngine, stream_head, token};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::processes::{PATIENCE, Server};

/// With the connection and the pipe of each, within the 1024 descriptors that a process usually may have.
const READERS: usize = 400;
const BYTES_EACH_MAX: u64 = 32 * 1024;

/// Opens a stream and reads up to its first event; what it has read so far.
async fn open(addr: SocketAddr, job: &str, after: Option<u64>) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let resume = after.map(|after| format!("Last-Event-ID: {after}\r\n")).unwrap_or_default();
    let head = format!("GET /v2/tasks/{job}/events HTTP/1.0\r\nHost: {addr}\r\n{resume}\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
        assert!(socket.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    (socket, seen)
}

fn body(answer: &[u8]) -> &[u8] {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &answer[at + 4..]
}

/// Memory of a process that is its own and in use.
#[cfg(target_os = "linux")]
fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

// H28
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_idle_reader_costs_little() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![stream_head(), token(" a", 1), Act::UntilGone]);
    let pool = format!("default=llamacpp+{}", engine.url());
    let server = Server::start_env(&[("ORCHD_POOLS", &pool)]).await;
    let job = server.submit(&json!({"model_ref": "scripted", "prompt": "p"})).await;
    server.until_tokens(&job).await;
    let before = resident_bytes(server.pid());
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(open(server.addr(), &job, None).await);
    }
    let each = resident_bytes(server.pid()).saturating_sub(before) / READERS as u64;
    println!("{READERS} idle readers cost {each} bytes each");
    assert!(each <= BYTES_EACH_MAX, "{each}");
}

// H30
#[tokio::test]
async fn all_readers_that_come_back_at_once_get_the_same_bytes() {
    let server = Server::start_env(&[]).await;
    let job = server.submit(&json!({"model_ref": "mock", "prompt": "p", "max_tokens": 200})).await;
    let whole = server.stream(&job, None).await;
    let last = whole.matches("\nevent: ").count() as u64 - 1;
    let storm: JoinSet<_> = (0..READERS as u64)
        .map(|reader| {
            let (addr, job, after) = (server.addr(), job.clone(), reader % last);
            async move {
                let (mut socket, mut answer) = open(addr, &job, Some(after)).await;
                timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
                (after, answer)
            }
        })
        .collect();
    let began = std::time::Instant::now();
    for (after, answer) in storm.join_all().await {
        let expected = server_side(&whole, after);
        assert!(body(&answer) == expected.as_bytes(), "a reader that resumed after {after} got other bytes");
    }
    println!("{READERS} readers came back and were served within {:?}", began.elapsed());
}

/// The stream behind the event of this id.
fn server_side(whole: &str, after: u64) -> &str {
    let next = format!("id: {}\n", after + 1);
    whole.find(&next).map_or("", |at| &whole[at..])
}

// H29
#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_served_when_others_go() {
    let server = Server::start_env(&[("ORCHD_LIMITS_CONNECTIONS_MAX", "20")]).await;
    let addr = server.addr();
    let mut idle = Vec::new();
    for _ in 0..19 {
        idle.push(TcpStream::connect(addr).await.unwrap());
    }
    let ask = async || {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let head = format!("GET /health HTTP/1.0\r\nHost: {addr}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    // The test's own client may hold a kept connection, so one more may be over the bound already.
    idle.extend([TcpStream::connect(addr).await.unwrap(), TcpStream::connect(addr).await.unwrap()]);
    assert!(timeout(Duration::from_millis(300), ask()).await.is_err(), "there is no room for it");
    idle.clear();
    let answer = timeout(PATIENCE, ask()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}
