//! The table against the contract, against what is served, and against whatever names a metric.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Metrics, Seen,
    table::{Kind, Row, TABLE},
};

const PAGE: &str = include_str!("../../../../.specs/70_observability.md");
const DASHBOARD: &str = include_str!("../../../../deploy/grafana/orchestratord.json");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yaml");

fn row(name: &str) -> &'static Row {
    TABLE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} is no metric"))
}

/// What clients rely on: names, labels, and buckets as far as they are fixed.
const PROMISED: &[(&str, &str, &str)] = &[
    ("orchd_admission_queue_depth", "gauge", "pool_id"),
    ("orchd_admission_enqueued_total", "counter", "pool_id outcome"),
    ("orchd_admission_rejected_total", "counter", "pool_id reason"),
    ("orchd_tasks_dispatched_total", "counter", "pool_id outcome"),
    ("orchd_pool_health_checks_total", "counter", "pool_id outcome"),
    ("orchd_dispatch_latency_ms", "histogram", "pool_id"),
    ("tasks_enqueued_total", "counter", "engine engine_version pool_id replica_id priority"),
    ("tasks_started_total", "counter", "engine engine_version pool_id replica_id priority"),
    ("tasks_canceled_total", "counter", "engine engine_version pool_id replica_id reason"),
    ("tasks_rejected_total", "counter", "engine reason"),
    ("queue_depth", "gauge", "engine engine_version pool_id priority"),
    ("kv_cache_usage_ratio", "gauge", "engine engine_version pool_id replica_id"),
    ("gpu_utilization", "gauge", "engine engine_version pool_id replica_id device"),
    ("vram_used_bytes", "gauge", "engine engine_version pool_id replica_id device"),
    ("latency_first_token_ms", "histogram", "engine engine_version pool_id priority"),
    ("latency_decode_ms", "histogram", "engine engine_version pool_id priority"),
    ("tokens_in_total", "counter", "engine engine_version pool_id replica_id"),
    ("tokens_out_total", "counter", "engine engine_version pool_id replica_id"),
    ("admission_backpressure_events_total", "counter", "engine policy"),
    ("catalog_verifications_total", "counter", "result reason engine"),
    ("model_state", "gauge", "model_id state"),
    ("placement_decisions_total", "counter", "outcome pinned fallback"),
    ("placement_candidates_considered", "histogram", ""),
    ("orchd_nodes_online", "gauge", ""),
    ("orchd_pools_available", "gauge", ""),
    ("orchd_node_registrations_total", "counter", "outcome"),
    ("orchd_node_heartbeats_total", "counter", "outcome"),
];

fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

fn bounds(row: &Row) -> Vec<f64> {
    match row.kind {
        Kind::Histogram(bounds) => bounds.to_vec(),
        Kind::Counter | Kind::Gauge => Vec::new(),
    }
}

//= ORCH-3028 type=test
#[test]
fn the_table_has_every_metric_that_clients_rely_on() {
    for (name, promised, labels) in PROMISED {
        let row = row(name);
        assert_eq!((kind(row), row.labels.join(" ").as_str()), (*promised, *labels), "{name}");
    }
    let first_token =
        [50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1000.0, 1500.0, 2000.0, 3000.0].to_vec();
    assert_eq!(bounds(row("latency_first_token_ms")), first_token);
    let decode = [250.0, 500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 6000.0, 8000.0, 12000.0].to_vec();
    assert_eq!(bounds(row("latency_decode_ms")), decode);
    assert!((bounds(row("orchd_dispatch_latency_ms"))[0] - 0.1).abs() < f64::EPSILON);
}

#[test]
fn a_row_is_called_as_its_kind_is_and_no_two_rows_alike() {
    let mut names = BTreeSet::new();
    for row in TABLE {
        assert!(names.insert(row.name), "{} stands there twice", row.name);
        assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
        assert!(bounds(row).is_sorted(), "{}", row.name);
        let distinct: BTreeSet<_> = row.labels.iter().collect();
        assert_eq!(distinct.len(), row.labels.len(), "{}", row.name);
    }
}

//= ORCH-3028 type=test
#[test]
fn every_row_is_served_under_its_name_and_kind_and_nothing_else_is() {
    let text = Metrics::new().text(&Seen::default());
    let served: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect();
    let expected: BTreeSet<_> =
        TABLE.iter().map(|row| format!("{} {}", row.name.trim_end_matches("_total"), kind(row))).collect();
    assert_eq!(served, expected);
    assert!(text.ends_with("# EOF\n"), "{text}");
}

//= ORCH-3028 type=test
#[test]
fn the_page_of_the_requirements_says_what_the_table_says() {
    let metrics =
        PAGE.split("| Name | Kind and upper bounds | Labels |").nth(1).expect("the page has a table");
    let mut lines = metrics.lines().skip(2).take_while(|line| line.starts_with("| `"));
    for row in TABLE {
        let labels: Vec<_> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        let bounds: Vec<_> = bounds(row).iter().map(ToString::to_string).collect();
        let kind = format!("{} {}", kind(row), bounds.join(", "));
        let expected = format!("| `{}` | {} | {labels} | ", row.name, kind.trim_end());
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(&expected), "the page has\n{line}\nand should have\n{expected}");
    }
    assert_eq!(lines.next(), None, "the page has more rows than the table");
}

/// Words of the query language that are no metrics.
const WORDS: [&str; 8] =
    ["by", "sum", "rate", "increase", "count", "histogram_quantile", "max_over_time", "label_values"];

/// The metric that a series belongs to.
fn metric_of(series: &str) -> Option<&'static Row> {
    let of = |name: &str| TABLE.iter().find(|row| row.name == name);
    let part = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| series.strip_suffix(suffix));
    let histogram = part.and_then(of).filter(|row| matches!(row.kind, Kind::Histogram(_)));
    histogram.or_else(|| of(series).filter(|row| !matches!(row.kind, Kind::Histogram(_))))
}

/// Checks that a query names only metrics and labels that there are; which metrics they are.
fn check(query: &str) -> Result<BTreeSet<&'static str>, String> {
    let (mut metrics, mut labels) = (BTreeSet::new(), vec!["le"]);
    let (mut grouped, mut rest, mut is_list) = (Vec::new(), query, false);
    while let Some(first) = rest.chars().next() {
        let after = |end: char| rest[1..].split_once(end);
        match first {
            '"' => rest = after('"').ok_or("a string does not end")?.1,
            '[' => rest = after(']').ok_or("a range does not end")?.1,
            ')' | '}' => (rest, is_list) = (&rest[1..], false),
            '{' => (rest, is_list) = (&rest[1..], true),
            letter if letter.is_ascii_alphabetic() => {
                let end =
                    rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                rest = behind;
                if is_list {
                    grouped.push(word);
                } else if word == "by" {
                    is_list = true;
                } else if let Some(row) = metric_of(word) {
                    metrics.insert(row.name);
                    labels.extend(row.labels);
                } else if !WORDS.contains(&word) {
                    return Err(format!("{word} is no metric"));
                }
            }
            // A number, or a sign between them; `e` in one would be read as a word, and none is written so.
            _ => rest = &rest[first.len_utf8()..],
        }
    }
    match grouped.into_iter().find(|label| !labels.contains(label)) {
        Some(label) => Err(format!("{label} is no label of {metrics:?}")),
        None if metrics.is_empty() => Err("it names no metric".to_owned()),
        None => Ok(metrics),
    }
}

#[test]
fn a_query_with_a_wrong_name_is_noticed() {
    for wrong in [
        "sum(tasks_begun_total)",
        "rate(latency_decode_ms[5m])",
        "rate(queue_depth_bucket[5m])",
        "queue_depth{pool=\"a\"}",
        "sum by (replica_id) (queue_depth)",
        "sum(1)",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
    let right = "sum by (le, pool_id) (rate(latency_decode_ms_bucket{priority=\"batch\"}[5m])) > 0.5";
    assert_eq!(check(right), Ok(BTreeSet::from(["latency_decode_ms"])));
}

fn queries(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| queries(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_names_only_what_there_is_and_shows_what_clients_rely_on() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut found = Vec::new();
    queries(&dashboard["panels"], &mut found);
    assert!(found.len() > 20, "{}", found.len());
    let mut shown = BTreeSet::new();
    for query in &found {
        shown.extend(check(query).unwrap_or_else(|error| panic!("{error}: {query}")));
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let pools = variables.iter().find(|it| it["name"] == "pool").unwrap()["query"].as_str().unwrap();
    assert_eq!(pools, "label_values(queue_depth, pool_id)");
    // Those of the seed stand there under their newer names.
    for (name, ..) in PROMISED.iter().filter(|(name, ..)| !name.starts_with("orchd_")) {
        assert!(shown.contains(name), "the dashboard does not show {name}");
    }
}

#[test]
fn every_alert_asks_for_what_there_is_and_says_what_it_means() {
    let rules: Vec<_> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 10, "{}", rules.len());
    for rule in rules {
        let query = rule.lines().find_map(|line| line.trim().strip_prefix("expr: ")).expect(rule);
        check(query).unwrap_or_else(|error| panic!("{error}: {query}"));
        assert!(rule.contains("summary: ") && rule.contains("severity: "), "{rule}");
    }
}
