//! `orchestratord`: reads the configuration, starts, serves until it is told to stop.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use config_schema::Config;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use orchestratord::{
    App,
    config::{self, ConfigError},
    telemetry,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is wrong (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let config = match config::from_process() {
        Ok(config) => config,
        Err(ConfigError::Answer(text)) => return say(&mut io::stdout(), &text, ExitCode::SUCCESS),
        Err(error) => return say(&mut io::stderr(), &format!("{error}\n"), ExitCode::from(EXIT_CONFIG)),
    };
    if let Err(error) = telemetry::init(&config.log) {
        return say(&mut io::stderr(), &format!("{error:#}\n"), ExitCode::from(EXIT_CONFIG));
    }
    raise_descriptor_limit();
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "orchestratord ends");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: &Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.bind_addr).await?;
    let app = App::build(config)?;
    if config.mock_by_default {
        warn!("no pool is configured: the in-process mock serves the model `mock` as pool `default`");
    }
    info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
    let mut terminate = signal(SignalKind::terminate())?;
    app.serve(listener, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
    .await
}

/// Speaks before there is a log, or instead of one.
fn say(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    // When nobody can be told, the exit code still tells.
    drop(out.write_all(text.as_bytes()));
    code
}

/// Each stream costs a descriptor, each relayed one two: what the system allows is taken.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "the limit of open files could not be raised");
    }
}
