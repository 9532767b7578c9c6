//! Whether each requirement of `.specs/` has a scenario, or a reason why it can have none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::wording::features;

/// The requirements that cannot be seen from outside, each with its reason.
const EXCEPTIONS: &str = "not_over_http.md";

/// Every way in which the features and the requirements do not meet, one line each.
pub(crate) fn problems(folder: &Path, specs: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let (required, tagged) = (required(specs), tagged(folder, &mut problems));
    let excepted = excepted(&folder.join(EXCEPTIONS), &mut problems);
    for id in &required {
        match (tagged.contains_key(id), excepted.contains(id)) {
            (false, false) => problems.push(format!("{id} has no scenario, and no reason in {EXCEPTIONS}")),
            (true, true) => problems.push(format!("{id} has a scenario, and a reason in {EXCEPTIONS}")),
            _ => {}
        }
    }
    let unknown = tagged.iter().filter(|(id, _)| !required.contains(*id));
    problems.extend(unknown.map(|(id, scenario)| format!("`{scenario}`: no spec defines the tag {id}")));
    let unknown = excepted.iter().filter(|id| !required.contains(*id));
    problems.extend(unknown.map(|id| format!("{EXCEPTIONS}: no spec defines {id}")));
    problems
}

/// The ids of all bullets that are requirements.
fn required(specs: &Path) -> BTreeSet<String> {
    let files = specs.read_dir().expect("the specs are there").flatten();
    let texts: Vec<_> =
        files.map(|file| fs::read_to_string(file.path()).expect("a spec is a text")).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter_map(|line| Some(line.strip_prefix("- [")?.split_once("] ")?.0.to_owned())).collect()
}

/// The tags of all scenarios, each with the name of one that has it.
fn tagged(folder: &Path, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut tagged = BTreeMap::new();
    for feature in features(folder) {
        // It would claim what not each of the scenarios shows.
        let whole = feature.tags.iter();
        problems.extend(whole.map(|tag| format!("`{}`: {tag} stands above a whole feature", feature.name)));
        for scenario in feature.scenarios {
            tagged.extend(scenario.tags.iter().map(|tag| (tag.clone(), scenario.name.clone())));
        }
    }
    tagged
}

/// The ids in the list of exceptions.
fn excepted(path: &Path, problems: &mut Vec<String>) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("the list of exceptions is there");
    let mut ids = BTreeSet::new();
    for bullet in text.lines().filter_map(|line| line.strip_prefix("- ")) {
        match bullet.split_once(": ") {
            Some((id, reason)) if !reason.trim().is_empty() => {
                if !ids.insert(id.to_owned()) {
                    problems.push(format!("{EXCEPTIONS}: {id} stands there twice"));
                }
            }
            _ => problems.push(format!("{EXCEPTIONS}: `{bullet}` gives no reason")),
        }
    }
    ids
}
