//! What becomes of spans.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use config_schema::TracesConfig;
use tokio::{net::TcpListener, time::timeout};
use trace_export::{
    Exports, Fate, KeyValue, Kind, Service, Span, TraceContext, Tracer,
    sink::{Conduct, Sink},
    words,
};
use url::Url;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Counts([AtomicUsize; 3]);

impl Counts {
    fn of(&self, fate: Fate) -> usize {
        self.0[fate as usize].load(Ordering::SeqCst)
    }

    async fn until(&self, fate: Fate, count: usize) {
        let reached = async {
            while self.of(fate) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{fate:?}: {} of {count}", self.of(fate)));
    }
}

fn exporting(endpoint: &str) -> (Exports, Tracer, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let counting = Arc::clone(&counts);
    let count = move |fate: Fate, count: usize| {
        counting.0[fate as usize].fetch_add(count, Ordering::SeqCst);
    };
    let exports = Exports::start(&config(endpoint), SERVICE, count).unwrap();
    let tracer = exports.tracer().unwrap();
    (exports, tracer, counts)
}

const SERVICE: Service = Service { name: "tested", version: "1.2.3" };

fn config(endpoint: &str) -> TracesConfig {
    TracesConfig { endpoint: Some(Url::parse(endpoint).unwrap()), ..TracesConfig::default() }
}

#[expect(clippy::disallowed_methods, reason = "a span has a time")]
fn span(tracer: &Tracer, parent: Option<&TraceContext>) -> Span {
    Span {
        name: "work",
        kind: Kind::Server,
        context: tracer.enter(parent),
        parent: parent.map(TraceContext::span_id),
        start: SystemTime::UNIX_EPOCH + Duration::from_nanos(5),
        end: SystemTime::now(),
        attributes: vec![KeyValue::new("job_id", "j-1"), words("reasons", ["stop", "length"])],
        error: Some("WORKER_RESET"),
    }
}

//= ORCH-3330 type=test
#[tokio::test]
async fn a_span_arrives_with_all_that_is_known_of_it() {
    let sink = Sink::start().await.unwrap();
    let (exports, tracer, counts) = exporting(&sink.url());
    let parent = TraceContext::parse(PARENT.as_bytes()).unwrap().with_state(Some("a=1,b=2".into()));
    tracer.tell(vec![span(&tracer, Some(&parent)), span(&tracer, None)]);
    timeout(PATIENCE, exports.close()).await.unwrap();
    let [child, first] = &sink.spans()[..] else { panic!("{:?}", sink.spans()) };
    assert_eq!((&*child.name, &*child.kind, &*child.service), ("work", "Server", "tested"));
    assert_eq!((&*child.trace_id, &*child.parent_id), (&PARENT[3..35], &PARENT[36..52]));
    assert_eq!((&*child.state, child.time.0), ("a=1,b=2", 5));
    assert_eq!((child.attribute("job_id"), child.attribute("reasons")), ("j-1", "stop,length"));
    assert_eq!(
        (child.error.as_deref(), child.attribute("error.type")),
        (Some("WORKER_RESET"), "WORKER_RESET")
    );
    assert_ne!(child.span_id, child.parent_id);
    assert!(first.parent_id.is_empty() && first.trace_id != child.trace_id && first.trace_id.len() == 32);
    let resource = &sink.resources()[0];
    assert_eq!((&*resource["service.name"], &*resource["service.version"]), ("tested", "1.2.3"));
    assert_eq!(resource["service.instance.id"].len(), 32);
    assert_eq!([Fate::Exported, Fate::Failed, Fate::Dropped].map(|fate| counts.of(fate)), [2, 0, 0]);
}

//= ORCH-3335 type=test
#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
    let sink = Sink::start().await.unwrap();
    sink.conduct(Conduct::Hangs);
    let (exports, tracer, counts) = exporting(&sink.url());
    let mut told = 0;
    while counts.of(Fate::Dropped) == 0 {
        assert!(told < 40_000, "there is no bound");
        tracer.tell(vec![span(&tracer, None), span(&tracer, None)]);
        told += 2;
    }
    assert_eq!(counts.of(Fate::Dropped), 2);
    // None of these was waited for, and what waits is all there still is.
    assert!(told >= 16_384, "{told}");
    assert!(sink.spans().is_empty());
    exports.close().await;
}

//= ORCH-3335 type=test
#[tokio::test]
async fn a_collector_that_is_not_there_costs_its_spans_and_takes_those_after_its_return() {
    let sink = Sink::start().await.unwrap();
    sink.conduct(Conduct::Fails);
    let (exports, tracer, counts) = exporting(&sink.url());
    tracer.tell(vec![span(&tracer, None)]);
    counts.until(Fate::Failed, 1).await;
    sink.conduct(Conduct::Takes);
    tracer.tell(vec![span(&tracer, None)]);
    counts.until(Fate::Exported, 1).await;
    assert_eq!((sink.spans().len(), counts.of(Fate::Failed)), (1, 1));
    exports.close().await;
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_fails_and_does_not_end_the_task() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (exports, tracer, counts) = exporting(&format!("http://{free}"));
    tracer.tell(vec![span(&tracer, None)]);
    counts.until(Fate::Failed, 1).await;
    tracer.tell(vec![span(&tracer, None)]);
    counts.until(Fate::Failed, 2).await;
    exports.close().await;
}

#[tokio::test]
async fn without_a_collector_there_is_no_tracer_and_with_https_there_is() {
    let none = Exports::start(&TracesConfig::default(), SERVICE, |_, _| ()).unwrap();
    assert!(none.tracer().is_none());
    none.close().await;
    // The public authorities vouch for it; who has others puts a collector beside the server.
    let https = Exports::start(&config("https://collector.example:4317"), SERVICE, |_, _| ()).unwrap();
    assert!(https.tracer().is_some());
    https.close().await;
}
