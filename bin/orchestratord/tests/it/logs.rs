//! What the server writes of a job, as a collector of logs reads it.

use std::{collections::BTreeSet, fs::File, process::Stdio, time::Duration};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    daemon::Daemon,
    support::{PATIENCE, mock_task},
};

/// Starts a server that logs into this file, and waits until it is ready.
pub(crate) async fn logging_into(log: File, state: &TempDir, more: &[(&str, &str)]) -> Daemon {
    let mut settings = vec![("RUST_LOG", "info")];
    settings.extend(more);
    let server = Daemon::spawn(&[], (state.path(), &settings), Stdio::from(log));
    let ready = async {
        loop {
            let answer = server.client.get(server.url("/ready")).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the server becomes ready");
    server
}

//= ORCH-3027 type=test
//= ORCH-3339 type=test
#[tokio::test]
async fn every_line_about_a_job_is_a_flat_object_with_the_ids_of_the_job_and_its_request() {
    let (state, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = folder.path().join("log");
    let server = logging_into(File::create(&path).unwrap(), &state, &[]).await;
    let request = server.client.post(server.url("/v2/tasks")).header("x-correlation-id", "mine-1");
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let admission: Value = request.json(&mock_task()).send().await.unwrap().json().await.unwrap();
    let id = admission["job_id"].as_str().unwrap();
    server.until_state(id, "completed").await;
    server.stop().await;
    let mut said = BTreeSet::new();
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(record.as_object().unwrap().values().all(|it| !it.is_object() && !it.is_array()), "{line}");
        if record["job_id"] != id {
            continue;
        }
        assert_eq!(record["correlation_id"], "mine-1", "{line}");
        assert_eq!(record["trace_id"], "0af7651916cd43dd8448eb211c80319c", "{line}");
        assert!(["level", "ts", "target", "msg"].iter().all(|field| record[field].is_string()), "{line}");
        said.insert(record["msg"].as_str().unwrap().to_owned());
    }
    for moment in ["task accepted", "task dispatched", "stream started", "task ended"] {
        assert!(said.contains(moment), "{moment}: {said:?}");
    }
}
