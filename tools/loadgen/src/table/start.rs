//! From the start of the process to ready, with nothing to recover, and the size of what is started.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use super::{Bench, row::Row};
use crate::{
    chaos::server::{Server, Setup, free_address},
    load::as_f64,
    relay::{Scratch, median},
};

const STARTS: u32 = 20;
const GOAL_MS: f64 = 50.0;
const GOAL_MB: f64 = 25.0;

pub(super) async fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let scratch = Scratch::new("start")?;
        let setup = Setup {
            executable: bench.server.clone(),
            folder: scratch.path().to_owned(),
            target: free_address()?,
            // Without any pool the server has its own mock, which is ready at once.
            settings: Vec::new(),
        };
        let begun = Instant::now();
        let mut server = Server::start(&setup)?;
        server.ready().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let scratch = Scratch::new("size")?;
    let stripped = scratch.path().join("stripped");
    let mut rows = vec![
        Row::new(format!("start to ready, empty store, median of {STARTS}"), "ms", median(times))
            .at_most(GOAL_MS),
        Row::new("the executable as it is built, with its symbols", "MB", size_mb(&bench.server)?)
            .at_most(GOAL_MB),
    ];
    if strip(&bench.server, &stripped)? {
        rows.push(Row::new("the executable, stripped", "MB", size_mb(&stripped)?).at_most(GOAL_MB));
    }
    Ok(rows)
}

fn size_mb(file: &Path) -> Result<f64> {
    let size = fs::metadata(file).with_context(|| format!("looking at {}", file.display()))?.len();
    Ok(as_f64(size) / 1e6)
}

/// Writes a copy without symbols, and says whether there is a tool for it (Debian package `binutils`).
fn strip(from: &Path, to: &Path) -> Result<bool> {
    match Command::new("strip").arg("-o").arg(to).arg(from).status() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        status => {
            ensure!(status?.success(), "strip failed on {}", from.display());
            Ok(true)
        }
    }
}
