//! The way of traces out of the process, where there is one.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use config_schema::Config;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::task::TaskTracker;
use trace_export::{Service, Tracer};

use super::StartRefused;
use crate::{clock::Clock, metrics::Metrics, services::Traces, settings};

/// Once everything has ended, this much time is for telling of it.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// What sends spans, when there is a collector.
pub(super) struct Exports(Option<(Tracer, JoinHandle<()>)>);

/// Begins to send spans where the configuration says; nothing is connected to before there are some.
//= ORCH-3330
pub(super) fn start(
    config: &Config,
    clock: Clock,
    metrics: &Arc<Metrics>,
    tracker: &TaskTracker,
) -> anyhow::Result<(Option<Traces>, Exports)> {
    let Some(endpoint) = &config.traces.endpoint else { return Ok((None, Exports(None))) };
    let service = Service { name: "orchestratord", version: env!("CARGO_PKG_VERSION") };
    let metrics = Arc::clone(metrics);
    let count = move |fate: trace_export::Fate, spans| metrics.trace_spans(fate.as_str(), spans);
    let (sending, exporting) =
        Tracer::new(endpoint.as_str(), service, settings::sampling(&config.traces), count)
            .context("nothing can be sent to traces.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)")
            .context(StartRefused)?;
    let strategy = config.placement.as_str();
    let task = tracker.spawn(exporting.run());
    Ok((Some(Traces { tracer: sending.clone(), clock, strategy }), Exports(Some((sending, task)))))
}

impl Exports {
    /// Sends what is left, within a bound, and ends.
    //= ORCH-3336
    pub(super) async fn close(self) {
        if let Some((tracer, task)) = self.0 {
            // What a collector does not take by then is lost with the process.
            drop(timeout(FLUSH_TIME_MAX, tracer.drained()).await);
            task.abort();
        }
    }
}
