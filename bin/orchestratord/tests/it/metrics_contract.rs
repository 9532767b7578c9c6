//! The metrics that scrapers were promised, typed out here and not read from the server's own table, in one scrape after real work.

use std::collections::{BTreeMap, BTreeSet};

use mock::wire::{Persona, ScriptedEngine, open_ended};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestApp, engine_task};

const SERVED: &[&str] = &["engine", "engine_version", "pool_id", "replica_id"];
const BY_CLASS: &[&str] = &["engine", "engine_version", "pool_id", "priority"];

/// Name of the family, type, labels in alphabetical order.
const PROMISED: &[(&str, &str, &[&str])] = &[
    ("orchd_admission_queue_depth", "gauge", &["pool_id"]),
    ("orchd_admission_enqueued", "counter", &["outcome", "pool_id"]),
    ("orchd_admission_rejected", "counter", &["pool_id", "reason"]),
    ("orchd_tasks_dispatched", "counter", &["outcome", "pool_id"]),
    ("orchd_pool_health_checks", "counter", &["outcome", "pool_id"]),
    ("orchd_dispatch_latency_ms", "histogram", &["pool_id"]),
    ("tasks_enqueued", "counter", &["engine", "engine_version", "pool_id", "priority", "replica_id"]),
    ("tasks_started", "counter", &["engine", "engine_version", "pool_id", "priority", "replica_id"]),
    ("tasks_canceled", "counter", &["engine", "engine_version", "pool_id", "reason", "replica_id"]),
    ("tasks_rejected", "counter", &["engine", "reason"]),
    ("queue_depth", "gauge", BY_CLASS),
    ("kv_cache_usage_ratio", "gauge", SERVED),
    ("gpu_utilization", "gauge", &["device", "engine", "engine_version", "pool_id", "replica_id"]),
    ("vram_used_bytes", "gauge", &["device", "engine", "engine_version", "pool_id", "replica_id"]),
    ("latency_first_token_ms", "histogram", BY_CLASS),
    ("latency_decode_ms", "histogram", BY_CLASS),
    ("tokens_in", "counter", SERVED),
    ("tokens_out", "counter", SERVED),
    ("admission_backpressure_events", "counter", &["engine", "policy"]),
    ("catalog_verifications", "counter", &["engine", "reason", "result"]),
    ("model_state", "gauge", &["model_id", "state"]),
    ("placement_decisions", "counter", &["fallback", "outcome", "pinned"]),
    ("placement_candidates_considered", "histogram", &[]),
    ("orchd_nodes_online", "gauge", &[]),
    ("orchd_pools_available", "gauge", &[]),
    ("orchd_node_registrations", "counter", &["outcome"]),
    ("orchd_node_heartbeats", "counter", &["outcome"]),
];

const FIRST_TOKEN: &[f64] = &[50., 100., 150., 200., 300., 500., 750., 1000., 1500., 2000., 3000.];
const DECODE: &[f64] = &[250., 500., 1000., 1500., 2000., 3000., 4000., 6000., 8000., 12000.];

type Labels = Vec<(String, String)>;

#[derive(Debug)]
struct Family {
    kind: String,
    /// What stands behind the family's name, the labels, the value.
    samples: Vec<(String, Labels, f64)>,
}

/// Reads a scrape by the rules of `OpenMetrics` 1.0, and does not forgive.
fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the last line is not `# EOF`")?;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = None;
    let mut seen = BTreeSet::new();
    for line in body.split_terminator('\n') {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let told = words.next().ok_or_else(|| wrong("nothing is told"))?;
            if !is_name(name) {
                return Err(wrong("no name"));
            }
            match word {
                "TYPE" if ["counter", "gauge", "histogram"].contains(&told) => {
                    let family = families
                        .entry(name.to_owned())
                        .or_insert_with(|| Family { kind: String::new(), samples: vec![] });
                    if !family.kind.is_empty() || !family.samples.is_empty() {
                        return Err(wrong("a family comes twice"));
                    }
                    told.clone_into(&mut family.kind);
                    current = Some(name.to_owned());
                }
                "HELP" if current.as_deref() != Some(name) && families.contains_key(name) => {
                    return Err(wrong("a family comes twice"));
                }
                "HELP" => {
                    families
                        .entry(name.to_owned())
                        .or_insert_with(|| Family { kind: String::new(), samples: vec![] });
                }
                "UNIT" if name.ends_with(&format!("_{told}")) => {}
                _ => return Err(wrong("no such comment")),
            }
            continue;
        }
        let name = current.as_ref().ok_or_else(|| wrong("a sample without a family"))?;
        let family = families.get_mut(name).ok_or("no family")?;
        let rest = line.strip_prefix(name.as_str()).ok_or_else(|| wrong("a sample of another family"))?;
        let (suffix, rest) = rest.split_at(rest.find(['{', ' ']).ok_or_else(|| wrong("no value"))?);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest).ok_or_else(|| wrong("labels"))?,
            None => (Labels::new(), rest),
        };
        let value = value.strip_prefix(' ').ok_or_else(|| wrong("no space"))?;
        let value: f64 = value.parse().map_err(|_no_number| wrong("no number"))?;
        let fits = match family.kind.as_str() {
            "counter" => suffix == "_total" && value >= 0.0,
            "gauge" => suffix.is_empty(),
            "histogram" => ["_bucket", "_count", "_sum"].contains(&suffix),
            _ => false,
        };
        if !fits || !seen.insert((name.clone(), suffix.to_owned(), labels.clone())) {
            return Err(wrong("a sample that does not fit, or comes twice"));
        }
        family.samples.push((suffix.to_owned(), labels, value));
    }
    families.iter().try_for_each(|(name, family)| check_family(name, family))?;
    Ok(families)
}

/// `name="value",…}`, and what comes behind it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut found = Labels::new();
    loop {
        let (name, behind) = rest.split_once("=\"")?;
        if !is_name(name) || name.contains(':') || found.iter().any(|(known, _)| known == name) {
            return None;
        }
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in behind.char_indices() {
            match (escaped, c) {
                (true, '\\' | '"' | 'n') => {
                    value.push(c);
                    escaped = false;
                }
                (true, _) | (false, '\n') => return None,
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (false, c) => value.push(c),
            }
        }
        found.push((name.to_owned(), value));
        let behind = &behind[end? + 1..];
        if let Some(behind) = behind.strip_prefix('}') {
            return Some((found, behind));
        }
        rest = behind.strip_prefix(',')?;
    }
}

fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Every series has the same labels, and a histogram's buckets grow up to its count.
fn check_family(name: &str, family: &Family) -> Result<(), String> {
    if family.kind.is_empty() {
        return Err(format!("{name} has no type"));
    }
    let names: BTreeSet<Vec<&str>> = family.samples.iter().map(|(_, labels, _)| names_of(labels)).collect();
    if names.len() > 1 {
        return Err(format!("{name} has several sets of labels: {names:?}"));
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (suffix, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let le = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        match (suffix.as_str(), le) {
            ("_bucket", Some(le)) => {
                let le = if le == "+Inf" {
                    f64::INFINITY
                } else {
                    le.parse().map_err(|_no_number| format!("{name}: le {le}"))?
                };
                series.entry(labels).or_default().push((le, *value));
            }
            ("_count", None) => series.entry(labels).or_default().push((f64::NAN, *value)),
            ("_sum", None) => {}
            _ => return Err(format!("{name}: a bucket without `le`, or `le` elsewhere")),
        }
    }
    for (labels, points) in series {
        let count = points.iter().find(|(le, _)| le.is_nan()).map(|(_, count)| *count);
        let buckets: Vec<_> = points.iter().filter(|(le, _)| !le.is_nan()).collect();
        let grows = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let ends = buckets.last().is_some_and(|(le, last)| le.is_infinite() && Some(*last) == count);
        if !grows || !ends {
            return Err(format!("{name} {labels:?}: {points:?}"));
        }
    }
    Ok(())
}

/// Without `le`, in alphabetical order.
fn names_of(labels: &Labels) -> Vec<&str> {
    let mut names: Vec<_> =
        labels.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "le").collect();
    names.sort_unstable();
    names
}

fn bounds(family: &Family) -> BTreeSet<String> {
    let le = family.samples.iter().flat_map(|(_, labels, _)| labels).filter(|(name, _)| name == "le");
    le.map(|(_, bound)| bound.clone()).filter(|bound| bound != "+Inf").collect()
}

/// Work that leaves a trace in every metric.
async fn work(app: &TestApp, engine: &ScriptedEngine, far: &ScriptedEngine) {
    let node = json!({"node_id": "gpu-1", "machine_id": "gpu-1", "pools": ["far"], "capabilities": {"gpus": []},
        "address": far.url().trim_start_matches("http://")});
    assert_eq!(app.post("/v2/nodes/register", &node).await.status(), StatusCode::OK);
    let beat = json!({"timestamp": "2026-01-01T00:00:00Z", "pools": [{"pool_id": "far", "ready": true,
        "slots_free": 1, "slots_total": 1, "vram_free_bytes": 1_u64 << 33, "vram_total_bytes": 1_u64 << 34,
        "engine": "llamacpp", "engine_version": "b1", "endpoint": far.url(), "model_id": "scripted",
        "device_mask": "0", "gpu_utilization": 0.5}]});
    assert_eq!(app.post("/v2/nodes/gpu-1/heartbeat", &beat).await.status(), StatusCode::OK);
    let model = json!({"id": "m", "model_ref": "file:/outside/m.gguf"});
    assert!(app.post("/v2/catalog/models", &model).await.status().is_success());
    app.post("/v2/catalog/models/m/verify", &json!({})).await;
    let mut task = engine_task();
    task["placement"] = json!({"mode": "pin", "pin_pool_id": "default"});
    let done = app.submit(&task).await;
    app.until_state(&done, "completed").await;
    engine.push(open_ended(&[" on"]));
    let runs = app.submit(&task).await;
    app.until_state(&runs, "running").await;
    let waits = app.submit(&task).await;
    assert_eq!(app.post("/v2/tasks", &task).await.status(), StatusCode::TOO_MANY_REQUESTS);
    for id in [waits, runs] {
        assert_eq!(app.cancel(&id).await, StatusCode::NO_CONTENT);
    }
}

//= ORCH-3028 type=test
#[tokio::test]
async fn one_scrape_after_real_work_holds_every_promised_metric_as_it_was_promised() {
    let (engine, far) = (ScriptedEngine::start(1).await.unwrap(), ScriptedEngine::start(1).await.unwrap());
    let usage = "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n";
    let vllm = ScriptedEngine::start_as(Persona::vllm().saying("/metrics", usage)).await.unwrap();
    let pools = format!("default=llamacpp+{},v=vllm+{}", engine.url(), vllm.url());
    let settings = [
        ("ORCHD_POOLS", pools.as_str()),
        ("ORCHD_ADMISSION_CAPACITY", "1"),
        ("ORCHD_ENGINE_HEALTH_INTERVAL_MS", "50"),
    ];
    let app = TestApp::with(&settings).await;
    work(&app, &engine, &far).await;
    let mut missing = Vec::new();
    let all_there = async {
        loop {
            let answer = app.get("/metrics").await;
            let media = answer.headers()["content-type"].to_str().unwrap().to_owned();
            assert_eq!(media, "application/openmetrics-text; version=1.0.0; charset=utf-8");
            let text = answer.text().await.unwrap();
            let families = parse(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
            missing = PROMISED
                .iter()
                .filter(|(name, ..)| families.get(*name).is_none_or(|family| family.samples.is_empty()))
                .map(|(name, ..)| *name)
                .collect();
            if missing.is_empty() {
                return families;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let Ok(families) = timeout(PATIENCE, all_there).await else { panic!("these never come: {missing:?}") };
    for (name, kind, labels) in PROMISED {
        let family = &families[*name];
        assert_eq!(family.kind, *kind, "{name}");
        assert_eq!(names_of(&family.samples[0].1), *labels, "{name}");
    }
    let promised = |bounds: &[f64]| bounds.iter().map(|bound| format!("{bound:.1}")).collect::<BTreeSet<_>>();
    assert_eq!(bounds(&families["latency_first_token_ms"]), promised(FIRST_TOKEN));
    assert_eq!(bounds(&families["latency_decode_ms"]), promised(DECODE));
    assert!(bounds(&families["orchd_dispatch_latency_ms"]).contains("0.1"));
    app.finish().await;
}

#[test]
fn the_reader_of_scrapes_forgives_nothing() {
    let good = "# HELP a_ms Times.\n# TYPE a_ms histogram\n# UNIT a_ms ms\na_ms_bucket{le=\"1.0\",p=\"x\\\"y\"} 1\n\
        a_ms_bucket{le=\"+Inf\",p=\"x\\\"y\"} 2\na_ms_sum{p=\"x\\\"y\"} 3.5\na_ms_count{p=\"x\\\"y\"} 2\n\
        # HELP b B.\n# TYPE b counter\nb_total 1\n# EOF\n";
    assert!(parse(good).is_ok(), "{:?}", parse(good));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n\n"),
        ("b_total 1", "b 1"),
        ("b_total 1", "b_total -1"),
        ("b_total 1", "b_total one"),
        ("b_total 1", "b_total 1\nb_total 1"),
        ("b_total 1", "b_total 1\n\nb_total{x=\"1\"} 2"),
        ("b_total 1", "b_total{x=\"1\"} 1\nb_total 1"),
        ("b_total 1", "c_total 1"),
        ("a_ms_count{p=\"x\\\"y\"} 2", "a_ms_count{p=\"x\\\"y\"} 3"),
        ("{le=\"1.0\",p=\"x\\\"y\"} 1", "{le=\"1.0\",p=\"x\\\"y\"} 5"),
        ("p=\"x\\\"y\"} 3.5", "p=\"x\"y\"} 3.5"),
        ("# UNIT a_ms ms", "# UNIT a_ms seconds"),
        ("# TYPE b counter\n", ""),
        ("# HELP b B.\n# TYPE b counter", "# TYPE a_ms histogram"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
