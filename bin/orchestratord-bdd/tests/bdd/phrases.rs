//! The table of phrases: each is one pattern with one function, whether it stands behind Given, When or Then.

use cucumber::step::{Collection, Step};
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

/// The patterns alone.
pub(crate) fn patterns(tables: &[&[Phrase]]) -> Vec<&'static str> {
    tables.iter().copied().flatten().map(|(pattern, _)| *pattern).collect()
}
