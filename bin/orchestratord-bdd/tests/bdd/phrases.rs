//! The table of phrases: each is one pattern with one function, whether it stands behind Given, When or Then.

use std::{collections::BTreeSet, path::Path};

use cucumber::{
    feature::Ext as _,
    gherkin::{Feature, GherkinEnv},
    step::{Collection, Step},
};
use regex::Regex;

use crate::world::World;

/// A pattern, and what is done when a step fits it.
pub(crate) type Phrase = (&'static str, Step<World>);

/// A row of the table. Once a scenario has found that this machine lacks something, its further steps do nothing.
macro_rules! phrase {
    ($pattern:literal, $function:path) => {
        ($pattern, |world, context| {
            Box::pin(async move {
                if world.lacks.is_none() {
                    $function(world, context.into()).await;
                }
            })
        })
    };
}
pub(crate) use phrase;

/// The table as the runner wants it.
pub(crate) fn collection(tables: &[&[Phrase]]) -> Collection<World> {
    let mut all = Collection::new();
    for (pattern, function) in tables.iter().copied().flatten() {
        let regex = Regex::new(pattern).expect("a phrase is a pattern");
        all = all.given(None, regex.clone(), *function).when(None, regex.clone(), *function);
        all = all.then(None, regex, *function);
    }
    all
}

/// All features of a folder, their outlines written out.
pub(crate) fn features(folder: &Path) -> Vec<Feature> {
    let mut files: Vec<_> = folder.read_dir().expect("the features are there").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let features = files
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "feature"));
    let read = |path: std::path::PathBuf| {
        let feature = Feature::parse_path(&path, GherkinEnv::default())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        feature.expand_examples().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    features.map(read).collect()
}

/// Steps that no phrase fits or more than one, and phrases that no step needs.
pub(crate) fn problems(folder: &Path, tables: &[&[Phrase]]) -> Vec<String> {
    let patterns: Vec<_> = tables.iter().copied().flatten().map(|(pattern, _)| Regex::new(pattern)).collect();
    let patterns: Vec<_> =
        patterns.into_iter().map(|pattern| pattern.expect("a phrase is a pattern")).collect();
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
