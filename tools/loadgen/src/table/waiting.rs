//! The memory of many readers that wait for tasks that nobody runs yet.
//!
//! The engine's one slot is taken for ever, so each task stays in the queue, and its reader gets nothing but the
//! comments that keep its connection alive. That every reader got one shows that none was forgotten.

use std::{fmt::Write, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use super::{Bench, row::Row};
use crate::{
    chaos::{
        client::Client,
        engine::CountingEngine,
        server::{Server, Setup, free_address},
    },
    idle::resident_kib,
    limits::open_files_max,
    load::{Connection, DEFAULT_MODEL, LineSplitter, as_f64, job_id},
    relay::Scratch,
};

const READERS: u32 = 10_000;
const GOAL_MIB: f64 = 160.0;
const SPARE: u64 = 500;
/// So many connect at once, which no backlog is too short for.
const CONNECTING: usize = 256;
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let readers = u32::try_from(open_files_max()?.saturating_sub(SPARE)).unwrap_or(READERS).min(READERS);
    ensure!(readers >= 100, "the limit of open files (ulimit -Hn) is too low for this");
    let (scratch, engine) = (Scratch::new("waiting")?, CountingEngine::silent().await?);
    let setting = |name, value: &str| (name, value.to_owned());
    let setup = Setup {
        executable: bench.server.clone(),
        folder: scratch.path().to_owned(),
        target: free_address()?,
        settings: vec![
            setting("ORCHD_POOLS", &format!("p0=llamacpp+{}", engine.url())),
            setting("ORCHD_ADMISSION_CAPACITY", "20000"),
            setting("ORCHD_ENGINE_FIRST_TOKEN_TIMEOUT_MS", "86400000"),
        ],
    };
    let mut server = Server::start(&setup)?;
    server.ready().await?;
    // The one task that is dispatched.
    let (task, mut client) = (task(), Client::new(setup.target));
    let first = client.call("POST", "/v2/tasks", &task).await?;
    ensure!(first.status == 202, "POST /v2/tasks: {}", first.shown());
    let before = resident_kib(server.process())?;
    let readers_all = timeout(PATIENCE, wait_all(setup.target, readers));
    let connections = readers_all.await.context("not every reader was kept alive in time")??;
    let after = resident_kib(server.process())?;
    // They were open until here.
    drop(connections);
    let each = as_f64(after.saturating_sub(before)) / f64::from(readers);
    let mut what = format!("RSS, {readers} tasks that wait, each with its reader");
    if readers < READERS {
        write!(what, " (descriptors allow no more)")?;
    }
    Ok(vec![
        Row::new(what, "MiB", as_f64(after) / 1024.0).at_most(GOAL_MIB),
        Row::new("of that, each task and reader", "KiB", each),
    ])
}

fn task() -> String {
    json!({ "model_ref": DEFAULT_MODEL, "prompt": "Count 1:", "durability": "memory" }).to_string()
}

/// Opens all readers, and returns their connections when each has been kept alive once.
async fn wait_all(target: SocketAddr, readers: u32) -> Result<Vec<Connection>> {
    let (turns, mut all) = (Arc::new(Semaphore::new(CONNECTING)), JoinSet::new());
    for _ in 0..readers {
        all.spawn(reader(target, Arc::clone(&turns)));
    }
    let mut connections = Vec::new();
    while let Some(connection) = all.join_next().await {
        connections.push(connection??);
    }
    Ok(connections)
}

/// Ends reading when the reader was kept alive.
#[derive(Debug)]
struct KeptAlive;

impl std::fmt::Display for KeptAlive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader was kept alive")
    }
}

impl std::error::Error for KeptAlive {}

async fn reader(target: SocketAddr, turns: Arc<Semaphore>) -> Result<Connection> {
    let turn = turns.acquire().await?;
    let mut connection = Connection::open(target).await?;
    let body = task();
    let submit = format!(
        "POST /v2/tasks HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let head = connection.send(submit.as_bytes()).await?;
    ensure!(head.status == 202, "POST /v2/tasks: {}", head.status);
    let answer = connection.read_text(head).await?;
    let id = job_id(&answer).context("the answer has no job_id")?;
    let events = format!("GET /v2/tasks/{id}/events HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let head = connection.send(events.as_bytes()).await?;
    ensure!(head.status == 200, "GET /v2/tasks/{id}/events: {}", head.status);
    drop(turn);
    let mut lines = LineSplitter::default();
    let sink = |data: &[u8]| lines.push(data, judge);
    match connection.read_body(head, sink).await {
        Err(error) if error.is::<KeptAlive>() => Ok(connection),
        Err(error) => Err(error),
        Ok(()) => bail!("the stream of a task that waits has ended"),
    }
}

/// Nothing but a comment may come to a reader of a task that waits.
fn judge(line: &[u8]) -> Result<()> {
    match line {
        [] => Ok(()),
        [b':', ..] => Err(KeptAlive.into()),
        _ => bail!("a task that waits has an event: {}", String::from_utf8_lossy(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_comment_counts_as_being_kept_alive() {
        judge(b"").unwrap();
        assert!(judge(b": keep-alive").unwrap_err().is::<KeptAlive>());
        assert!(!judge(b"event: token").unwrap_err().is::<KeptAlive>());
    }
}
