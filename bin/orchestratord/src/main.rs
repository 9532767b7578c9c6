//! `orchestratord`: reads the configuration, starts, serves until it is told to stop.

use std::{io, process::ExitCode};

use anyhow::Context;
use command_line::{EXIT_CONFIG, say};
use config_schema::Config;
use orchestratord::{
    App, StartRefused, Workers,
    config::{self, ConfigError},
    listen,
    process::{on_threads, raise_descriptor_limit},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    match on_threads(async |workers| serve(&config, workers).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "orchestratord ends");
            // A start that was refused is refused again: whoever starts it should not try for ever.
            if error.is::<StartRefused>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

async fn serve(config: &Config, workers: &Workers) -> anyhow::Result<()> {
    let listener =
        listen(config.bind_addr).with_context(|| format!("cannot listen on {}", config.bind_addr))?;
    let app = App::build(config).await?.on(workers);
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
