//! What operators see: lines of the log, and metrics.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::answers;
use crate::{
    facts,
    phrases::{Phrase, phrase},
    said::Said,
    support::{LOOK, PATIENCE},
    world::World,
};

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r"^the log soon has a line with$", has_line),
    phrase!(r#"^the log never says "(.*)"$"#, never_says),
    phrase!(r"^every line about task (\w+) has$", every_line),
    phrase!(r"^every line of the log is a record$", all_records),
    phrase!(r"^every narrated line has$", every_narrated),
    phrase!(r"^the metrics soon say$", metrics),
    phrase!(r"^(\d+) models are registered$", register_models),
    phrase!(r"^no metric in the answer has more than (\d+) lines$", lines_per_metric),
];

/// The lines of the server's log as objects; what is none is left out.
fn lines(world: &mut World) -> Vec<Value> {
    world.running().lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn has_line(world: &mut World, said: Said) {
    let began = Instant::now();
    loop {
        let lines = lines(world);
        if lines.iter().any(|line| answers::check_all(world, line, &said).is_ok()) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no line is like {:?}", said.rows);
        sleep(LOOK).await;
    }
}

async fn never_says(world: &mut World, said: Said) {
    let words = world.fill(said.word(0));
    let lines = world.running().lines();
    assert!(!lines.is_empty());
    for line in lines {
        assert!(!line.contains(&words), "{line}");
    }
}

/// Checks all lines of which this is so, of which there must be one at least.
fn check_lines(world: &mut World, said: &Said, is_meant: impl Fn(&Value) -> bool) {
    let mut lines = lines(world);
    lines.retain(is_meant);
    assert!(!lines.is_empty(), "there are such lines");
    for line in lines {
        let nested = line.as_object().is_none_or(|line| line.values().any(Value::is_object));
        assert!(!nested, "a line is flat: {line}");
        answers::check_all(world, &line, said).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

async fn every_line(world: &mut World, said: Said) {
    let id = world.task(said.word(0));
    check_lines(world, &said, |line| line["job_id"] == *id);
}

async fn every_narrated(world: &mut World, said: Said) {
    check_lines(world, &said, |line| line["human"].is_string());
    let sentences = lines(world).into_iter().filter_map(|line| Some(line["human"].as_str()?.to_owned()));
    for sentence in sentences {
        assert!(sentence.chars().count() <= 100, "{sentence}");
        let has_id = sentence.split_whitespace().any(|word| word.len() >= 32);
        assert!(!has_id, "{sentence}");
    }
}

async fn metrics(world: &mut World, said: Said) {
    let began = Instant::now();
    loop {
        let response = answers::ask(world, Method::GET, "/metrics").send().await.expect("metrics");
        let text = response.text().await.expect("metrics");
        let problem = said.pairs().find_map(|(name, cell)| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let found = found.and_then(|number| number.parse::<f64>().ok());
            let document = json!({"value": found});
            facts::check(&document, "value", cell).err().map(|problem| format!("{name}: {problem}"))
        });
        let Some(problem) = problem else { return };
        assert!(began.elapsed() < PATIENCE, "{problem}\n{text}");
        sleep(LOOK).await;
    }
}

async fn register_models(world: &mut World, said: Said) {
    for number in 0..said.number(0) {
        let model = json!({"id": format!("m{number}"), "model_ref": format!("hf:org/m{number}")});
        let response = answers::ask(world, Method::POST, "/v2/catalog/models").json(&model).send().await;
        assert_eq!(response.expect("the server answers").status(), 201);
    }
}

async fn lines_per_metric(world: &mut World, said: Said) {
    let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
    for line in world.answer.text.lines().filter(|line| !line.starts_with('#')) {
        *lines.entry(line.split(['{', ' ']).next().unwrap_or_default()).or_default() += 1;
    }
    let most = lines.iter().max_by_key(|(_, count)| **count).expect("there are metrics");
    assert!(*most.1 > said.number(0) / 2 && *most.1 <= said.number(0), "{most:?}");
}

async fn all_records(world: &mut World, _: Said) {
    for line in world.running().lines() {
        let record: Option<Value> = serde_json::from_str(&line).ok();
        assert!(record.is_some_and(|record| record["msg"].is_string()), "{line:?}");
    }
}
