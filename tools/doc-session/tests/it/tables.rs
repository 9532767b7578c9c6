//! Tables of pages that say again what a file says: they say the same.

use std::fs;

use crate::pages::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn every_alert_is_told_with_what_to_do_and_no_other_is() {
    let rules = read("deploy/prometheus/alerts.yaml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = read("docs/OPERATING.md");
    let (_, table) = page.split_once("| Alert | It means | What to do |\n|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with("| `"));
    let told: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert!(alerts.len() > 10);
    assert_eq!(told, alerts);
}

#[test]
fn filters_of_placement_are_told_in_their_order_with_their_reasons() {
    let source = read("libs/orchestrator-core/src/fit.rs");
    let reasons: Vec<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#[error(\"")?.strip_suffix("\")]"))
        .map(|reason| reason.replace("{limit}", "N").replace("{have}", "N").replace("{need}", "M"))
        .collect();
    let page = read("docs/PLACEMENT.md");
    let (_, table) = page.split_once("| # | Filter |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: Vec<_> = rows.map(|row| row.trim_end_matches(" |").rsplit(" | ").next().unwrap()).collect();
    assert!(reasons.len() > 10);
    assert_eq!(told, reasons);
}

#[test]
fn metrics_that_operators_are_told_of_are_there() {
    let (page, table) = (read("docs/OPERATING.md"), read(".specs/70_observability.md"));
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let named = page.split(|letter| !is_name(letter)).filter(|word| {
        let ours =
            word.starts_with("orchd_") || word.starts_with("latency_") || word.starts_with("placement_");
        ours && word.contains("_ms") | word.ends_with("_total") | word.ends_with("_depth")
    });
    let mut count = 0;
    for name in named {
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(table.contains(&format!("| `{family}` |")), "{name}");
        count += 1;
    }
    assert!(count > 5);
}
