//! The checks of the features: what they let pass, and what they name.
#![cfg(test)]

#[path = "../bdd/coverage.rs"]
mod coverage;
#[path = "../bdd/facts.rs"]
mod facts;
#[path = "../bdd/wording.rs"]
mod wording;

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

const SPEC: &str = "# A\n\n- [ORCH-1] It MUST count.\n- [ORCH-2] It MUST add.\n";
const FEATURE: &str = "Feature: A\n  @ORCH-1\n  Scenario: It counts\n    Given three\n    Then it is 3\n";
const REASONS: &str = "# Why\n\n- ORCH-2: only people can see it.\n";

/// A folder with one spec, and one with a feature and the list of exceptions.
fn tree(feature: &str, reasons: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, text) in
        [("specs/a.md", SPEC), ("features/a.feature", feature), ("features/not_over_http.md", reasons)]
    {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn uncovered(feature: &str, reasons: &str) -> Vec<String> {
    let folder = tree(feature, reasons);
    coverage::problems(&folder.path().join("features"), &folder.path().join("specs"))
}

fn misworded(feature: &str, patterns: &[&str]) -> Vec<String> {
    let folder = tree(feature, REASONS);
    let found = wording::problems(&folder.path().join("features"), patterns).into_iter();
    let prefix = format!("{}/features/", folder.path().display());
    found.map(|problem| problem.replace(&prefix, "")).collect()
}

#[test]
fn each_requirement_has_a_scenario_or_a_reason_and_not_both() {
    assert_eq!(uncovered(FEATURE, REASONS), Vec::<String>::new());
    let neither = uncovered(FEATURE, "");
    assert_eq!(neither, ["ORCH-2 has no scenario, and no reason in not_over_http.md"]);
    let both = uncovered(&FEATURE.replace("@ORCH-1", "@ORCH-1 @ORCH-2"), REASONS);
    assert_eq!(both, ["ORCH-2 has a scenario, and a reason in not_over_http.md"]);
}

#[test]
fn tags_and_reasons_that_are_about_nothing_are_named() {
    let unknown = uncovered(&FEATURE.replace("@ORCH-1", "@ORCH-1 @soon"), REASONS);
    assert_eq!(unknown, ["`It counts`: no spec defines the tag soon"]);
    let whole = uncovered(&format!("@ORCH-2\n{FEATURE}"), REASONS);
    assert_eq!(whole, ["`A`: ORCH-2 stands above a whole feature"]);
    let idle = uncovered(FEATURE, &format!("{REASONS}- ORCH-9: it is not there.\n"));
    assert_eq!(idle, ["not_over_http.md: no spec defines ORCH-9"]);
    let silent = uncovered(FEATURE, &format!("{REASONS}- ORCH-2:\n"));
    assert_eq!(silent, ["not_over_http.md: `ORCH-2:` gives no reason"]);
    let twice = uncovered(FEATURE, &format!("{REASONS}- ORCH-2: for another reason.\n"));
    assert_eq!(twice, ["not_over_http.md: ORCH-2 stands there twice"]);
}

#[test]
fn each_step_is_one_phrase_and_each_phrase_is_needed() {
    assert_eq!(misworded(FEATURE, &["^three$", r"^it is (\d)$"]), Vec::<String>::new());
    assert_eq!(misworded(FEATURE, &["^three$"]), ["a.feature:5: `it is 3` fits []"]);
    let ambiguous = misworded(FEATURE, &["^three$", "^it is 3$", r"^it is \d$"]);
    assert_eq!(ambiguous, [r#"a.feature:5: `it is 3` fits ["^it is 3$", "^it is \\d$"]"#]);
    let idle = misworded(FEATURE, &["^three$", r"^it is \d$", "^four$"]);
    assert_eq!(idle, ["no step needs the phrase `^four$`"]);
}

#[test]
fn the_steps_of_an_outline_are_looked_at_as_they_are_run() {
    let outline = "Feature: A\n  Scenario Outline: It counts\n    Given <word>\n\n    Examples:\n      | word  |\n      | three |\n      | four  |\n";
    assert_eq!(misworded(outline, &["^three$"]), ["a.feature:3: `four` fits []"]);
}

#[test]
fn a_cell_says_what_a_field_must_be() {
    let document =
        json!({"a": 1, "b": "text", "c": null, "d": true, "e": {"f": 2.5}, "n": "7", "m": "", "l": [1, 2]});
    for (field, cell) in [
        ("a", "1"),
        ("a", "at least 1"),
        ("a", "at most 1"),
        ("a", "above 0"),
        ("a", "not 2"),
        ("a", "any"),
        ("b", "text"),
        ("b", "contains ex"),
        ("b", "starts with te"),
        ("c", "none"),
        ("z", "none"),
        ("d", "true"),
        ("e.f", "2.5"),
        ("n", "7"),
        ("l", "2 of them"),
        ("l.1", "2"),
    ] {
        assert_eq!(facts::check(&document, field, cell), Ok(()), "{field} {cell}");
    }
    for (field, cell) in [
        ("a", "2"),
        ("a", "at least 2"),
        ("a", "at most 0"),
        ("a", "above 1"),
        ("a", "not 1"),
        ("a", "none"),
        ("b", "tex"),
        ("b", "contains z"),
        ("b", "starts with ext"),
        ("b", "at least 1"),
        ("c", "any"),
        ("z", "any"),
        ("m", "any"),
        ("z", "not 1"),
        ("d", "false"),
        ("l", "3 of them"),
        ("l.2", "any"),
    ] {
        assert!(facts::check(&document, field, cell).is_err(), "{field} {cell}");
    }
}

#[test]
fn an_element_of_a_list_goes_by_its_id_and_any_other_name_is_looked_for_in_all() {
    let document = json!({"pools": [
        {"pool_id": "a", "ready": true, "replicas": [{"replica_id": "n1/a", "slots": 1}]},
        {"pool_id": "b", "ready": false},
    ]});
    for (field, cell) in [
        ("pools.b.ready", "false"),
        ("pools.ready", "true"),
        ("pools.ready", "false"),
        ("pools.a.replicas.n1/a.slots", "1"),
        ("pools.pool_id", "b"),
        ("pools.c", "none"),
    ] {
        assert_eq!(facts::check(&document, field, cell), Ok(()), "{field} {cell}");
    }
    assert!(facts::check(&document, "pools.b.ready", "true").is_err());
}

#[test]
fn a_field_is_set_where_its_name_leads() {
    let mut document = json!({"a": 1});
    for (field, cell) in [("a", "2"), ("b.c", "text"), ("b.d", "[1]"), ("e", "\"3\"")] {
        facts::set(&mut document, field, facts::value(cell));
    }
    let expected: Value = json!({"a": 2, "b": {"c": "text", "d": [1]}, "e": "3"});
    assert_eq!(document, expected);
}
