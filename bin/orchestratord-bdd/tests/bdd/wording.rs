//! The features as they are written: whether each of their steps is one known phrase, and each phrase is needed.

use std::{collections::BTreeSet, fs::DirEntry, path::Path};

use cucumber::{
    feature::Ext as _,
    gherkin::{Feature, GherkinEnv},
};
use regex::Regex;

/// All features of a folder, their outlines written out.
pub(crate) fn features(folder: &Path) -> Vec<Feature> {
    let mut files: Vec<_> = folder.read_dir().expect("the features are there").flatten().collect();
    files.sort_by_key(DirEntry::file_name);
    let paths = files.iter().map(DirEntry::path);
    let features = paths.filter(|path| path.extension().is_some_and(|extension| extension == "feature"));
    let read = |path: &Path| -> Feature {
        let feature = Feature::parse_path(path, GherkinEnv::default());
        let feature = feature.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        feature.expand_examples().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    features.map(|path| read(&path)).collect()
}

/// Steps that no pattern fits or more than one, and patterns that no step needs.
pub(crate) fn problems(folder: &Path, patterns: &[&str]) -> Vec<String> {
    let patterns = patterns.iter().map(|pattern| Regex::new(pattern).expect("a phrase is a pattern"));
    let patterns: Vec<_> = patterns.collect();
    let (mut problems, mut needed) = (Vec::new(), BTreeSet::new());
    for feature in features(folder) {
        let own = feature.background.iter().flat_map(|background| &background.steps);
        for step in own.chain(feature.scenarios.iter().flat_map(|scenario| &scenario.steps)) {
            let fitting = patterns.iter().filter(|pattern| pattern.is_match(&step.value));
            let fitting: Vec<_> = fitting.map(Regex::as_str).collect();
            if fitting.len() != 1 {
                let path = feature.path.as_deref().unwrap_or(folder).display();
                let line = step.position.line;
                problems.push(format!("{path}:{line}: `{}` fits {fitting:?}", step.value));
            }
            needed.extend(fitting);
        }
    }
    let idle = patterns.iter().map(Regex::as_str).filter(|pattern| !needed.contains(pattern));
    problems.extend(idle.map(|pattern| format!("no step needs the phrase `{pattern}`")));
    problems
}
