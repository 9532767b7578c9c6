//! Scenarios in plain words as tests: the tags above each, such as `@ORCH-3004`.
//!
//! A feature is read line by line, since tags and names stand on lines of their own. Whether a scenario runs and what
//! its steps mean is the business of the suite that it belongs to.

use std::collections::BTreeSet;

use crate::{
    mark::{Kind, Mark},
    requirement::is_id,
};

/// What begins a scenario.
const SCENARIOS: &[&str] = &["Scenario:", "Scenario Outline:", "Scenario Template:", "Example:"];
/// What may have tags and is no scenario.
const OTHERS: &[&str] = &["Feature:", "Rule:", "Background:", "Examples:", "Scenarios:"];
/// What begins and ends a text below a step.
const FENCES: &[&str] = &["\"\"\"", "```"];

/// The tags of one feature as marks of tests; what is wrong with one comes as a line. `path` is as it is shown.
pub(crate) fn read(path: &str, text: &str) -> (Vec<Mark>, Vec<String>) {
    let (mut marks, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut tags: Vec<(&str, String)> = Vec::new();
    let mut is_text = false;
    for (index, line) in text.lines().enumerate() {
        let (content, place) = (line.trim(), format!("{path}:{}", index + 1));
        is_text ^= FENCES.iter().any(|fence| content.starts_with(fence));
        if is_text || content.is_empty() || content.starts_with('#') {
            continue;
        }
        if content.starts_with('@') {
            tags.extend(content.split_whitespace().map(|tag| (tag, place.clone())));
        } else if let Some(name) = behind(content, SCENARIOS) {
            if !names.insert(name) {
                problems.push(format!("{place}: two scenarios are called \"{name}\""));
            }
            for (tag, line) in tags.drain(..) {
                match tag.strip_prefix('@').filter(|id| is_id(id)) {
                    Some(id) => marks.push(Mark {
                        id: id.to_owned(),
                        kind: Kind::Tests,
                        place: format!("{path}::\"{name}\""),
                        line,
                    }),
                    None => problems.push(format!("{line}: `{tag}` is no id; one looks like `@ORCH-3004`")),
                }
            }
        } else if behind(content, OTHERS).is_some() {
            problems
                .extend(tags.drain(..).map(|(tag, line)| format!("{line}: {tag} stands above no scenario")));
        }
    }
    problems.extend(tags.into_iter().map(|(tag, line)| format!("{line}: {tag} stands above no scenario")));
    (marks, problems)
}

/// What stands behind one of these words.
fn behind<'a>(content: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| content.strip_prefix(word)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read("a.feature", text).1
    }

    #[test]
    fn the_tags_above_a_scenario_are_marks_of_it() {
        let text = "Feature: A\n\n  @ORCH-1 @ORCH-2\n  @ORCH-3\n  # why\n  Scenario: It \"counts\"\n    Given a\n\n  @ORCH-1\n  Scenario Outline: It adds\n    Examples:\n      | a |\n";
        let (marks, problems) = read("b/a.feature", text);
        assert_eq!(problems, Vec::<String>::new());
        let found: Vec<_> =
            marks.iter().map(|it| (it.id.as_str(), it.place.as_str(), it.line.as_str())).collect();
        let counts = "b/a.feature::\"It \"counts\"\"";
        assert_eq!(
            found,
            [
                ("ORCH-1", counts, "b/a.feature:3"),
                ("ORCH-2", counts, "b/a.feature:3"),
                ("ORCH-3", counts, "b/a.feature:4"),
                ("ORCH-1", "b/a.feature::\"It adds\"", "b/a.feature:9"),
            ]
        );
        assert!(marks.iter().all(|mark| mark.kind == Kind::Tests));
    }

    #[test]
    fn a_tag_that_is_no_id_or_stands_above_no_scenario_is_a_problem() {
        assert_eq!(
            problems("@slow\nScenario: A\n"),
            ["a.feature:1: `@slow` is no id; one looks like `@ORCH-3004`"]
        );
        for text in ["@ORCH-1\nFeature: A\n", "Scenario: A\n@ORCH-1\nExamples:\n", "Scenario: A\n@ORCH-1\n"] {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].ends_with("@ORCH-1 stands above no scenario"), "{found:?}");
        }
    }

    #[test]
    fn what_stands_in_a_text_below_a_step_is_no_tag() {
        let text = "Scenario: A\n  Given a file\n    \"\"\"\n    @ORCH-1\n    Scenario: B\n    \"\"\"\n";
        assert_eq!((read("a.feature", text).0.len(), problems(text)), (0, Vec::<String>::new()));
    }

    #[test]
    fn scenarios_of_one_feature_have_different_names() {
        assert_eq!(problems("Scenario: A\nScenario: A\n"), ["a.feature:2: two scenarios are called \"A\""]);
    }
}
