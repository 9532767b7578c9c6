//! Many tasks at once, which nobody reads.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use tokio::{sync::Barrier, task::JoinSet, time::Instant};

use crate::load::{Connection, DEFAULT_MODEL};

/// A task that has to be on the disk before its 202.
pub(crate) fn durable_task() -> String {
    format!(r#"{{"model_ref":"{DEFAULT_MODEL}","prompt":"Count 1:","max_tokens":1,"priority":"batch"}}"#)
}

/// Submits so many tasks over so many connections, and returns how long it took. Each must be answered 202.
pub(crate) async fn flood(target: SocketAddr, tasks: u32, connections: u32) -> Result<Duration> {
    let body = durable_task();
    let request = format!(
        "POST /v2/tasks HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (request, begin) = (Arc::new(request), Arc::new(Barrier::new(connections as usize + 1)));
    let mut lanes: JoinSet<Result<()>> = JoinSet::new();
    for lane in 0..connections {
        let share = tasks / connections + u32::from(lane < tasks % connections);
        let (request, begin) = (Arc::clone(&request), Arc::clone(&begin));
        lanes.spawn(async move {
            let connection = Connection::open(target).await;
            begin.wait().await;
            let mut connection = connection?;
            for _ in 0..share {
                let head = connection.send(request.as_bytes()).await?;
                let status = head.status;
                let answer = connection.read_text(head).await?;
                ensure!(status == 202, "POST /v2/tasks: {status}: {}", String::from_utf8_lossy(&answer));
            }
            Ok(())
        });
    }
    begin.wait().await;
    let start = Instant::now();
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(start.elapsed())
}
