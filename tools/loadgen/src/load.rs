//! Streams in a closed loop: each of them starts its next task when its last one has ended.
//!
//! Every token is checked as it is counted, for a relay that is fast because it loses tokens must not
//! look good. The bytes are read raw, since a full HTTP client would cost more than what is measured.

mod chunked;
mod connection;
mod lines;
mod native;
mod openai;
mod raw;
mod stream;
mod tally;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

pub(crate) use self::{
    connection::Connection,
    lines::LineSplitter,
    native::{NativeClient, Submitted, job_id},
    tally::{Tally, as_f64},
};
use self::{openai::OpenAiClient, raw::RawClient, stream::Streamed};

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// POST /v2/tasks, then the task's events.
    Native,
    /// llama.cpp's own POST /completion, at an engine or at a proxy before one.
    Raw,
    /// `OpenAI`'s POST /v1/chat/completions, at an engine, at a proxy, or at the server.
    Openai,
}

/// Options of `load`.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// The server, e.g. `http://127.0.0.1:8080`.
    #[arg(long)]
    url: String,
    #[arg(long)]
    mode: Mode,
    /// Streams at once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// Tokens of each task.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// Tasks of each stream, one after the other.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The model to ask for; only the native mode names one.
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
    /// Seconds after which the run has failed.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

/// What is asked; the cheap engine does not read it.
pub(crate) const DEFAULT_PROMPT: &str = "Count:";
/// What the cheap engine serves.
pub(crate) const DEFAULT_MODEL: &str = "cheap-counter.gguf";

/// What one run does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) model: String,
    pub(crate) prompt: Arc<str>,
    pub(crate) streams: u32,
    pub(crate) tokens: u32,
    pub(crate) until: Until,
    pub(crate) timeout: Duration,
}

/// When a stream starts no further task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Rounds(u32),
    Elapsed(Duration),
}

/// Runs the plan that the options describe and prints its outcome.
pub(crate) async fn run(args: &LoadArgs) -> Result<()> {
    let plan = Plan {
        target: address(&args.url)?,
        mode: args.mode,
        model: args.model.clone(),
        prompt: DEFAULT_PROMPT.into(),
        streams: args.streams,
        tokens: args.tokens,
        until: Until::Rounds(args.rounds),
        timeout: Duration::from_secs(args.timeout),
    };
    let tally = Fleet::connect(plan).await?.run().await?;
    println!("{}", tally.json());
    match tally.first_error {
        None => Ok(()),
        Some(error) => Err(error.context(format!("{} of {} streams failed", tally.errors, args.streams))),
    }
}

fn address(url: &str) -> Result<SocketAddr> {
    let host = url.strip_prefix("http://").context("--url: must begin with http://")?;
    let host = host.trim_end_matches('/');
    let mut found = host
        .to_socket_addrs()
        .with_context(|| format!("--url: `{host}` is no HOST:PORT that can be found"))?;
    found.next().with_context(|| format!("--url: `{host}` has no address"))
}

/// Connections that stand ready, so that connecting is no part of what is measured.
pub(crate) struct Fleet {
    plan: Plan,
    connections: Vec<Connection>,
}

impl Fleet {
    pub(crate) async fn connect(plan: Plan) -> Result<Self> {
        let mut connections = Vec::new();
        let hello = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", plan.target);
        for _ in 0..plan.streams {
            let mut connection = Connection::open(plan.target).await?;
            // An answer shows that the server itself has the connection, not only its kernel. Without it
            // a thousand of them overflow a short backlog, and each lost one costs a second of retries.
            let head = connection.send(hello.as_bytes()).await?;
            connection.read_text(head).await?;
            connections.push(connection);
        }
        Ok(Self { plan, connections })
    }

    /// Runs every stream to its end. Failures of streams are in the tally; only a timeout is an error.
    pub(crate) async fn run(self) -> Result<Tally> {
        let (start, limit) = (Instant::now(), self.plan.timeout);
        let plan = Arc::new(self.plan);
        let mut lanes = JoinSet::new();
        for connection in self.connections {
            lanes.spawn(lane(Arc::clone(&plan), connection, start));
        }
        let mut tally = Tally::default();
        let all = async {
            while let Some(ended) = lanes.join_next().await {
                tally.add(ended?);
            }
            Ok(())
        };
        match timeout(limit, all).await {
            Ok(joined) => joined.map(|()| tally.finish(start.elapsed())),
            Err(_elapsed) => bail!("the streams did not end within {limit:?}"),
        }
    }
}

/// One connection that runs its tasks when its owner says so.
pub(crate) struct Single {
    client: Client,
    connection: Connection,
    tokens: u32,
}

impl Single {
    /// A connection that the server has.
    pub(crate) async fn connect(plan: &Plan) -> Result<Self> {
        let fleet = Fleet::connect(Plan { streams: 1, ..plan.clone() }).await?;
        let connection = fleet.connections.into_iter().next().context("there is no connection")?;
        Ok(Self { client: Client::new(plan), connection, tokens: plan.tokens })
    }

    /// Runs one task to its end, and says when its first token came.
    pub(crate) async fn task(&mut self) -> Result<Instant> {
        Ok(self.client.task(&mut self.connection, self.tokens).await?.first_token)
    }
}

/// One stream's tasks. It stops at its first failure, since its connection may be anywhere after that.
async fn lane(plan: Arc<Plan>, mut connection: Connection, start: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut client = Client::new(&plan);
    for round in 0.. {
        let over = match plan.until {
            Until::Rounds(rounds) => round >= rounds,
            // One task is done in any case, so that a slow path still has a figure.
            Until::Elapsed(limit) => round > 0 && start.elapsed() >= limit,
        };
        if over {
            break;
        }
        let begun = Instant::now();
        match client.task(&mut connection, plan.tokens).await {
            Ok(streamed) => tally.task(streamed.tokens, streamed.first_token - begun),
            Err(error) => {
                tally.failure(error);
                break;
            }
        }
    }
    tally
}

enum Client {
    Native(NativeClient),
    Raw(RawClient),
    OpenAi(OpenAiClient),
}

impl Client {
    fn new(plan: &Plan) -> Self {
        match plan.mode {
            Mode::Native => Self::Native(NativeClient::new(plan)),
            Mode::Raw => Self::Raw(RawClient::new(plan)),
            Mode::Openai => Self::OpenAi(OpenAiClient::new(plan)),
        }
    }

    async fn task(&mut self, connection: &mut Connection, tokens: u32) -> Result<Streamed> {
        let streamed = match self {
            Self::Native(client) => client.task(connection).await?,
            Self::Raw(client) => client.task(connection).await?,
            Self::OpenAi(client) => client.task(connection).await?,
        };
        ensure!(streamed.tokens == tokens, "{} tokens came, {tokens} were asked for", streamed.tokens);
        Ok(streamed)
    }
}

#[cfg(test)]
mod tests;
