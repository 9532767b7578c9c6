//! Ten thousand readers that come back at once, as after a switch has lost its power.
//!
//! Each opens a new connection, says which event it had last, and must get the rest of its stream, byte for byte
//! as a reader gets it who was never away.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Bench, row::Row};
use crate::{
    idle::resident_kib,
    limits::open_files_max,
    load::{Connection, NativeClient, Submitted, Until, as_f64},
    relay::{Dialect, Path, Shape, Stage, Work},
};

const READERS: u64 = 10_000;
const TASKS: usize = 100;
const TOKENS: u32 = 200;
const GOAL_S: f64 = 15.0;
const SPARE: u64 = 500;
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let readers = open_files_max()?.saturating_sub(SPARE).min(READERS);
    let stage = Stage::start(Some(&bench.server), &Shape::roomy(0, 64)).await?;
    let path = stage.paths_of(Dialect::Own).pop().context("there is no server")?;
    let mut streams = Vec::new();
    for _ in 0..TASKS {
        streams.push(Stream::of(&path).await?);
    }
    let (streams, begin) = (Arc::new(streams), Arc::new(Barrier::new(usize::try_from(readers)? + 1)));
    let mut all = JoinSet::new();
    for number in 0..usize::try_from(readers)? {
        let (streams, begin, target) = (Arc::clone(&streams), Arc::clone(&begin), path.target);
        all.spawn(async move {
            let stream = &streams[number % TASKS];
            // Spread over all events but the last, behind which there is nothing to get.
            let after = number * 7 % (stream.starts.len() - 1);
            begin.wait().await;
            let mut connection = Connection::open(target).await?;
            stream.resume(&mut connection, after).await
        });
    }
    begin.wait().await;
    let start = Instant::now();
    let done = async {
        while let Some(reader) = all.join_next().await {
            reader??;
        }
        anyhow::Ok(start.elapsed())
    };
    let took = timeout(PATIENCE, done).await.context("not every reader was served in time")??;
    let process = *path.processes.first().context("the server has no process")?;
    let rss = as_f64(resident_kib(process)?) / 1024.0;
    let what = format!("{readers} readers resume at once, all bytes identical");
    Ok(vec![
        Row::new(what, "s to the last", took.as_secs_f64()).at_most(GOAL_S),
        Row::new("RSS right after that", "MiB", rss),
    ])
}

/// A task's stream as somebody got it who was there from the beginning.
struct Stream {
    job_id: String,
    bytes: Vec<u8>,
    /// Where each event begins.
    starts: Vec<usize>,
}

impl Stream {
    /// Runs a task, and reads its stream twice: once checked token by token, once for its bytes.
    async fn of(path: &Path) -> Result<Self> {
        let mut client = NativeClient::new(&Work::of(TOKENS).plan(path, Until::Rounds(1)));
        let mut connection = Connection::open(path.target).await?;
        let Submitted::Accepted(job_id) = client.submit(&mut connection).await? else {
            anyhow::bail!("there was no room for a task");
        };
        let streamed = client.read(&mut connection, &job_id).await?;
        ensure!(streamed.tokens == TOKENS, "{} tokens came of {TOKENS}", streamed.tokens);
        let head = connection.send(request(path, &job_id, "").as_bytes()).await?;
        let bytes = connection.read_text(head).await?;
        let starts = starts(&bytes);
        ensure!(starts.len() > TOKENS as usize, "the stream has only {} events", starts.len());
        Ok(Self { job_id, bytes, starts })
    }

    /// Reads what comes behind the event `after`, over a fresh connection.
    async fn resume(&self, connection: &mut Connection, after: usize) -> Result<()> {
        let request = format!(
            "GET /v2/tasks/{}/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {after}\r\n\r\n",
            self.job_id
        );
        let head = connection.send(request.as_bytes()).await?;
        ensure!(head.status == 200, "GET events behind {after}: {}", head.status);
        self.judge(after, &connection.read_text(head).await?)
    }

    fn judge(&self, after: usize, got: &[u8]) -> Result<()> {
        let rest = self.starts.get(after + 1).map_or(&[][..], |start| &self.bytes[*start..]);
        ensure!(got == rest, "behind event {after} came {} bytes, others than the first time", got.len());
        Ok(())
    }
}

fn request(path: &Path, job_id: &str, more: &str) -> String {
    format!("GET /v2/tasks/{job_id}/events HTTP/1.1\r\nHost: {}\r\n{more}\r\n", path.target)
}

/// Where the events of a stream begin.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let ends = memmem::find_iter(bytes, b"\n\n").map(|at| at + 2);
    std::iter::once(0).chain(ends).filter(|start| *start < bytes.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_that_lacks_repeats_or_changes_a_byte_is_an_error() {
        let bytes = b"id: 0\ndata: a\n\nid: 1\ndata: b\n\nid: 2\ndata: c\n\n".to_vec();
        let stream = Stream { job_id: String::new(), starts: starts(&bytes), bytes };
        assert_eq!(stream.starts.len(), 3);
        stream.judge(0, b"id: 1\ndata: b\n\nid: 2\ndata: c\n\n").unwrap();
        stream.judge(2, b"").unwrap();
        for wrong in ["id: 2\ndata: c\n\n", "id: 1\ndata: b\n\n", "id: 1\ndata: b\n\nid: 2\ndata: d\n\n"] {
            stream.judge(0, wrong.as_bytes()).unwrap_err();
        }
        stream.judge(2, b"id: 2\ndata: c\n\n").unwrap_err();
    }
}
