//! What becomes of log records: the filter, the format, and the way out, which is standard error.
//!
//! The only crate that installs a subscriber. Standard output stays free for what a user asked for.
#![warn(missing_docs)]

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

use config_schema::{LogConfig, LogFormat};
use one_line::OneLine;

mod json;
mod one_line;

pub use json::JsonLayer;

/// Libraries that speak at every request; the operator's own directives come after and win.
const QUIET: &str = "hyper=warn,hyper_util=warn,reqwest=warn,h2=warn,tonic=warn,tower=warn";

/// Sends the records of this process to standard error, filtered and shaped as `config` says.
///
/// # Errors
/// When the filter cannot be read, or a subscriber is installed already.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = filter(&config.filter)?;
    let by_place = if io::stderr().is_terminal() { LogFormat::Pretty } else { LogFormat::Json };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match config.format.unwrap_or(by_place) {
        LogFormat::Json => JsonLayer::new(io::stderr).boxed(),
        LogFormat::Pretty => fmt::layer().compact().with_ansi(false).with_writer(OneLine(io::stderr)).boxed(),
    };
    registry().with(layer.with_filter(filter)).try_init().context("failed to install the log subscriber")
}

fn filter(directives: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder()
        .parse(format!("{QUIET},{directives}"))
        .with_context(|| format!("failed to read log.filter (RUST_LOG) {directives:?}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn shown(directives: &str, speak: impl FnOnce()) -> String {
        let page = Arc::new(Mutex::new(Vec::new()));
        let layer = JsonLayer::new(json::tests::Page(Arc::clone(&page)));
        let subscriber = registry().with(layer.with_filter(filter(directives).unwrap()));
        tracing::subscriber::with_default(subscriber, speak);
        String::from_utf8(page.lock().unwrap().clone()).unwrap()
    }

    fn speak() {
        tracing::info!(target: "hyper::proto", "chatter");
        tracing::info!(target: "orchestratord::dispatch", "work");
        tracing::debug!(target: "orchestratord::dispatch", "detail");
    }

    #[test]
    fn libraries_are_quiet_until_the_operator_names_them() {
        let usual = shown("info", speak);
        assert!(usual.contains("work") && !usual.contains("chatter") && !usual.contains("detail"), "{usual}");
        let wordy = shown("debug,hyper=info", speak);
        assert!(wordy.contains("chatter") && wordy.contains("detail"), "{wordy}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_names_its_setting() {
        let error = filter("orchestratord=loud").unwrap_err();
        assert!(format!("{error:#}").contains("log.filter (RUST_LOG)"), "{error:#}");
    }
}
