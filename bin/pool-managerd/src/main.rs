//! `pool-managerd`: reads the configuration, starts the node's engines, and looks after them until it is told to stop.

use std::{io, process::ExitCode};

use anyhow::Context;
use command_line::{EXIT_CONFIG, say};
use config_schema::ManagerConfig;
use pool_managerd::{
    App, Gpus, StartRefused, babysit,
    config::{self, ConfigError, Surroundings},
    listen,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

fn main() -> ExitCode {
    if let Some(code) = babysit::run(config::arguments()) {
        return code;
    }
    let config = match config::from_process() {
        Ok(config) => config,
        Err(ConfigError::Answer(text)) => return say(&mut io::stdout(), &text, ExitCode::SUCCESS),
        Err(error) => return say(&mut io::stderr(), &format!("{error}\n"), ExitCode::from(EXIT_CONFIG)),
    };
    if let Err(error) = telemetry::init(&config.log) {
        return say(&mut io::stderr(), &format!("{error:#}\n"), ExitCode::from(EXIT_CONFIG));
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "pool-managerd ends");
            // A start that was refused is refused again: whoever starts it should not try for ever.
            if error.is::<StartRefused>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

#[tokio::main]
async fn run(config: ManagerConfig) -> anyhow::Result<()> {
    let listener =
        listen(config.bind_addr).with_context(|| format!("cannot listen on {}", config.bind_addr))?;
    let address = listener.local_addr()?;
    let app = App::build(config, address, Gpus::find(), &Surroundings::of_process()).await?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    let mut terminate = signal(SignalKind::terminate())?;
    app.serve(listener, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
    .await
}
