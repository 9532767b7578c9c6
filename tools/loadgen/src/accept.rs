//! The benchmark of acceptance: how fast tasks become durable, what that costs, and how fast they come back.
//!
//! A disk decides how fast a sync is, so the rate stands beside the disk's own in the same run and folder.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    chaos::{
        client::Client,
        engine::CountingEngine,
        server::{Server, Setup, free_address},
    },
    flood::flood,
    load::as_f64,
    relay::{Scratch, time_of},
};

/// Options of `accept`.
#[derive(Args)]
pub(crate) struct AcceptArgs {
    /// The server's executable.
    #[arg(long)]
    orchestratord: PathBuf,
    /// How many tasks are accepted, and come back after a kill.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    tasks: u32,
    /// How many connections submit them.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8_000))]
    connections: u32,
}

/// How long the disk is measured.
const DISK_TIME: Duration = Duration::from_secs(2);
/// Nobody waits longer for a recovery.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(2);

/// Measures and prints.
pub(crate) async fn run(args: &AcceptArgs) -> Result<()> {
    let scratch = Scratch::new("accept")?;
    let disk = syncs_per_second(scratch.path())?;
    let engine = CountingEngine::silent().await?;
    let setup = setup(args, &scratch, &engine)?;
    let mut server = Server::start(&setup)?;
    server.ready().await?;
    let before = time_of(&[server.process()])?;
    let took = flood(setup.target, args.tasks, args.connections).await?;
    let used = time_of(&[server.process()])?.saturating_sub(before);
    let rate = f64::from(args.tasks) / took.as_secs_f64();
    let (tasks, connections) = (args.tasks, args.connections);
    println!("accepted durably       {rate:>9.0} /s, {tasks} tasks over {connections} connections");
    println!("fdatasync of this disk {disk:>9.0} /s, 4 KiB each, alone, in the same folder");
    println!("ratio                  {:>9.1} (goal: 20 or more)", rate / disk);
    let each = used.as_secs_f64() * 1e6 / f64::from(tasks);
    println!("CPU per accept         {each:>9.1} us of the server (goal: 100 or less)");
    server.kill()?;
    recovery(&setup, tasks).await
}

/// How fast the tasks come back, in a process that has only the disk.
async fn recovery(setup: &Setup, tasks: u32) -> Result<()> {
    let bytes = ["jobs.db", "jobs.db-wal"]
        .map(|name| setup.state().join(name).metadata().map_or(0, |it| it.len()))
        .map(|bytes| as_f64(bytes) / 1e6);
    let start = Instant::now();
    let mut server = Server::start(setup)?;
    server.ready().await?;
    let ready = start.elapsed();
    let mut client = Client::new(setup.target);
    let all = async {
        loop {
            let pools = client.call("GET", "/v2/pools", "").await?.json();
            let metrics = &pools["pools"][0]["metrics"];
            let number = |name: &str| metrics[name].as_u64().with_context(|| format!("no {name}: {pools}"));
            let running = number("slots_total")? - number("slots_free")?;
            match number("queue_depth")? + running {
                known if known == u64::from(tasks) => return Ok(start.elapsed()),
                known if known > u64::from(tasks) => bail!("{known} tasks came back of {tasks}"),
                _ => sleep(POLL).await,
            }
        }
    };
    let known = timeout(PATIENCE, all).await.context("not all tasks came back")??;
    let used = time_of(&[server.process()])?;
    println!(
        "ready after a kill     {:>9.0} ms from the start of the process (goal: 2000 or less)",
        ms(ready)
    );
    println!("all {tasks:>7} are back  {:>9.0} ms, with {:.0} ms of CPU", ms(known), ms(used));
    println!("read from the disk     {:>9.1} MB, and {:.1} MB of the log", bytes[0], bytes[1]);
    Ok(())
}

fn setup(args: &AcceptArgs, scratch: &Scratch, engine: &CountingEngine) -> Result<Setup> {
    let setting = |name, value: &str| (name, value.to_owned());
    Ok(Setup {
        executable: args.orchestratord.clone(),
        folder: scratch.path().to_owned(),
        target: free_address()?,
        settings: vec![
            setting("ORCHD_POOLS", &format!("p0=llamacpp+{}", engine.url())),
            setting("ORCHD_ADMISSION_CAPACITY", "1000000"),
            setting("ORCHD_ENGINE_FIRST_TOKEN_TIMEOUT_MS", "86400000"),
        ],
    })
}

/// How often this disk can put one page where it stays.
fn syncs_per_second(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("syncs"))?;
    let (start, mut syncs) = (Instant::now(), 0_u32);
    while start.elapsed() < DISK_TIME {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / start.elapsed().as_secs_f64())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
