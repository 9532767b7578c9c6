//! Who makes spans, and the one task that sends them.

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::{
    SpanExporter, WithExportConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, ResourceDetector, SdkProvidedResourceDetector},
    trace::{IdGenerator, RandomIdGenerator, SpanData, SpanExporter as _},
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use config_schema::TracesConfig;

use crate::{
    context::TraceContext,
    queue::{Fate, Queue},
    sampling::Sampling,
    span::Span,
};

/// How long spans wait for further ones to be sent with.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// The library has a time of its own, by default ten seconds; this is for what it does not bound, such as connecting.
const SEND_MAX: Duration = Duration::from_secs(30);
/// How long the last ones may take when the program ends.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// How much is repeated of what a collector says.
const SAID_CHARS_MAX: usize = 256;

/// The program whose spans these are.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` gives it another.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// Why nothing can be sent to an endpoint.
#[derive(Debug, thiserror::Error)]
#[error("nothing can be sent to traces.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): {0}")]
pub struct Unusable(String);

/// Makes spans, and hands over what has ended. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    shared: Arc<Shared>,
}

struct Shared {
    sampling: Sampling,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    queue: Queue,
    count: Box<dyn Fn(Fate, usize) + Send + Sync>,
}

/// The way of spans out of the process, where there is one.
#[derive(Debug)]
pub struct Exports(Option<(Tracer, JoinHandle<()>)>);

impl fmt::Debug for Tracer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tracer").field("sampling", &self.shared.sampling).finish_non_exhaustive()
    }
}

impl Exports {
    /// Begins to send spans where the configuration says, and tells `count` what became of them. Nothing is
    /// connected to before there are some. Must be called on a runtime.
    ///
    /// # Errors
    /// When nothing can be sent to that endpoint.
    //= ORCH-3330
    pub fn start(
        config: &TracesConfig,
        service: Service,
        count: impl Fn(Fate, usize) + Send + Sync + 'static,
    ) -> Result<Self, Unusable> {
        let Some(endpoint) = &config.endpoint else { return Ok(Self(None)) };
        let mut builder = SpanExporter::builder().with_tonic().with_endpoint(endpoint.as_str());
        if endpoint.scheme() == "https" {
            builder = builder.with_tls_config(ClientTlsConfig::new().with_webpki_roots());
        }
        let mut exporter = builder.build().map_err(|error| Unusable(plain(&error.to_string())))?;
        let ids = RandomIdGenerator::default();
        exporter.set_resource(&resource(service, &ids));
        let scope = InstrumentationScope::builder(service.name).with_version(service.version).build();
        let (sampling, count) = (Sampling::of(config), Box::new(count));
        let shared = Arc::new(Shared { sampling, ids, scope, queue: Queue::default(), count });
        let sending = send_all(Arc::clone(&shared), exporter);
        // It is ended by what is returned, since it has to outlive the tasks that a stop waits for.
        Ok(Self(Some((Tracer { shared }, TaskTracker::new().spawn(sending)))))
    }

    /// Who makes the spans; nobody without a collector.
    pub fn tracer(&self) -> Option<Tracer> {
        self.0.as_ref().map(|(tracer, _)| tracer.clone())
    }

    /// Sends what is left, within a bound, and ends.
    //= ORCH-3336
    pub async fn close(self) {
        if let Some((tracer, task)) = self.0 {
            // What a collector does not take by then is lost with the process.
            drop(timeout(FLUSH_MAX, tracer.shared.queue.drained()).await);
            task.abort();
        }
    }
}

impl Tracer {
    /// The place of a span that begins here, caused by whoever called, if somebody did.
    pub fn enter(&self, parent: Option<&TraceContext>) -> TraceContext {
        let ids = &self.shared.ids;
        let context = match parent {
            Some(parent) => parent.at(ids.new_span_id()),
            None => TraceContext::first(ids.new_trace_id(), ids.new_span_id()),
        };
        let sampled = self.shared.sampling.decide(parent, context.trace_id());
        context.with_sampled(sampled)
    }

    /// The place of a span below another one of this process.
    pub fn below(&self, parent: &TraceContext) -> TraceContext {
        parent.at(self.shared.ids.new_span_id())
    }

    /// Hands over spans that have ended. Does not wait.
    //= ORCH-3335
    pub fn tell(&self, spans: Vec<Span>) {
        let Shared { queue, scope, count, .. } = &*self.shared;
        let told = spans.len();
        if told > 0 && !queue.push(spans.into_iter().map(|span| span.into_data(scope)).collect()) {
            count(Fate::Dropped, told);
        }
    }
}

/// Sends until the task is ended.
#[expect(clippy::infinite_loop, reason = "whoever spawned it ends it")]
async fn send_all(shared: Arc<Shared>, exporter: SpanExporter) {
    let mut health = Health::Unknown;
    loop {
        // Either is a reason to look.
        drop(timeout(WAIT_MAX, shared.queue.wanted.notified()).await);
        loop {
            let batch = shared.queue.take();
            if batch.is_empty() {
                break;
            }
            let count = batch.len();
            let sent = send(&exporter, batch).await;
            (shared.count)(if sent.is_ok() { Fate::Exported } else { Fate::Failed }, count);
            shared.queue.settle();
            let failed = sent.is_err();
            health = health.after(sent);
            if failed {
                // What is still there waits until the next look, and newer ones with it.
                break;
            }
        }
    }
}

async fn send(exporter: &SpanExporter, batch: Vec<SpanData>) -> Result<(), String> {
    match timeout(SEND_MAX, exporter.export(batch)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(plain(&error.to_string())),
        Err(_elapsed) => Err(format!("it did not answer within {} s", SEND_MAX.as_secs())),
    }
}

/// Whether the collector takes spans, as the log was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Unknown,
    Takes,
    Fails,
}

impl Health {
    /// Tells the log what has changed, and only that.
    fn after(self, sent: Result<(), String>) -> Self {
        match (self, sent) {
            (Self::Takes, Ok(())) => {}
            (Self::Unknown | Self::Fails, Ok(())) => info!("the collector takes traces"),
            (Self::Fails, Err(_)) => return Self::Fails,
            (Self::Unknown | Self::Takes, Err(error)) => {
                warn!(error, "the collector does not take traces; nothing else is affected");
                return Self::Fails;
            }
        }
        Self::Takes
    }
}

/// What somebody else said, on one line and not too long.
fn plain(said: &str) -> String {
    said.chars().take(SAID_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn resource(service: Service, ids: &RandomIdGenerator) -> Resource {
    let ours = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", service.name))
        .with_attribute(KeyValue::new("service.version", service.version))
        .with_attribute(KeyValue::new("service.instance.id", ids.new_trace_id().to_string()));
    // What the operator says comes later and wins.
    let said = ours.with_detector(Box::new(EnvResourceDetector::new()));
    let name =
        SdkProvidedResourceDetector.detect().get(&Key::new("service.name")).map(|name| name.to_string());
    // The detector makes one up when nobody says one.
    match name.filter(|name| !name.starts_with("unknown_service")) {
        Some(name) => said.with_service_name(name).build(),
        None => said.build(),
    }
}
