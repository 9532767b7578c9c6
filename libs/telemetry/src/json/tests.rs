//! The shape of a line, and lines under hostile input.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use tracing::{Level, info, info_span};
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::*;

/// Somewhere to write that a test can read.
#[derive(Clone)]
pub(crate) struct Page(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn written(speak: impl FnOnce()) -> String {
    let page = Page(Arc::default());
    let now = || "2026-03-01T09:05:07.0891Z".parse().unwrap();
    let layer = JsonLayer { writer: page.clone(), now };
    tracing::subscriber::with_default(registry().with(layer), speak);
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn object(speak: impl FnOnce()) -> Map<String, Value> {
    let line = written(speak);
    assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
    serde_json::from_str(&line).unwrap()
}

//= ORCH-3027 type=test
#[test]
fn a_line_is_flat_and_has_the_contract_s_shape() {
    let line = written(|| {
        info!(target: "orchestratord::dispatch", job_id = "j", pool_id = %"default", latency_ms = 45_u64, "task dispatched");
    });
    assert_eq!(
        line,
        "{\"level\":\"info\",\"ts\":\"2026-03-01T09:05:07.089Z\",\"target\":\"orchestratord::dispatch\",\
         \"job_id\":\"j\",\"pool_id\":\"default\",\"latency_ms\":45,\"msg\":\"task dispatched\"}\n"
    );
}

#[test]
fn values_keep_their_types() {
    let line = written(|| {
        info!(a = u128::MAX, b = i128::MIN, c = -1_i64, d = 1.5_f64, e = true, f = ?Some(1), g = f64::NAN, "x");
    });
    let fields = "\"a\":340282366920938463463374607431768211455,\"b\":-170141183460469231731687303715884105728,\
                  \"c\":-1,\"d\":1.5,\"e\":true,\"f\":\"Some(1)\",\"g\":null,\"msg\":\"x\"}";
    assert!(line.trim_end().ends_with(fields), "{line}");
}

#[test]
fn levels_are_in_lower_case() {
    for (level, name) in [(Level::ERROR, "error"), (Level::WARN, "warn"), (Level::DEBUG, "debug")] {
        let object = object(|| match level {
            Level::ERROR => tracing::error!("x"),
            Level::WARN => tracing::warn!("x"),
            _ => tracing::debug!("x"),
        });
        assert_eq!(object["level"], name);
    }
}

#[test]
fn fields_of_spans_lie_flat_and_the_nearest_one_wins() {
    let object = object(|| {
        let outer =
            info_span!("request", correlation_id = "c", identity = "localhost", pool_id = "outer").entered();
        let inner = info_span!("job", job_id = tracing::field::Empty, pool_id = "inner").entered();
        inner.record("job_id", "j");
        info!(identity = "token:9f86d0", "x");
        drop(inner);
        drop(outer);
    });
    assert_eq!(object["correlation_id"], "c");
    assert_eq!(object["identity"], "token:9f86d0");
    assert_eq!(object["job_id"], "j");
    assert_eq!(object["pool_id"], "inner");
    assert_eq!(object.len(), 8, "{object:?}");
}

#[test]
fn a_span_field_that_is_never_recorded_is_absent() {
    let object = object(|| info_span!("job", job_id = tracing::field::Empty).in_scope(|| info!("x")));
    assert!(!object.contains_key("job_id"));
}

#[test]
fn a_field_cannot_take_the_place_of_the_frame() {
    let line =
        written(|| info!(level = "error", ts = 1, target = "t", msg = "m", r#type = "ty", "true message"));
    for key in ["\"level\":", "\"ts\":", "\"target\":", "\"msg\":"] {
        assert_eq!(line.matches(key).count(), 1, "{line}");
    }
    let object: Map<String, Value> = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["level"], &object["field_level"]), (&"info".into(), &"error".into()));
    assert_eq!((&object["msg"], &object["type"]), (&"true message".into(), &"ty".into()));
}

#[test]
fn an_error_is_told_with_its_causes() {
    let error = anyhow::anyhow!("root").context("middle").context("top");
    let error: Box<dyn Error> = error.into();
    let object = object(|| info!(error = error.as_ref(), "x"));
    assert_eq!(object["error"], "top: middle: root");
}

/// A small generator with a fixed seed: the same hostile strings in every run.
pub(crate) fn hostile_strings() -> impl Iterator<Item = String> {
    let pieces = [
        "\n",
        "\r\n",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\0",
        "\u{1b}[31m",
        "\u{9b}2J",
        "\u{7f}",
        "\"",
        "\\",
        "\\n",
        "\",\"level\":\"error\"}\n{\"msg\":\"forged",
        "{}",
        "é",
        "\u{202e}",
        "\u{10ffff}",
        "a",
        "${jndi:x}",
        "%s",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).unwrap()
    };
    (0..2_000).map(move |_| (0..below(12)).map(|_| pieces[below(pieces.len())]).collect())
}

//= ORCH-3315 type=test
// X03
#[test]
fn whatever_a_field_holds_a_record_is_one_line_and_reads_back() {
    for text in hostile_strings() {
        let line = written(|| {
            let _span = info_span!("request", correlation_id = text.as_str()).entered();
            info!(shown = %text, said = text.as_str(), "{text}");
        });
        let body = line.strip_suffix('\n').unwrap();
        assert!(!body.contains(acts), "{line:?}");
        let object: Map<String, Value> = serde_json::from_str(body).unwrap();
        for key in ["correlation_id", "shown", "said", "msg"] {
            assert_eq!(object[key], text.as_str(), "{line:?}");
        }
        assert_eq!(object["level"], "info");
    }
}
