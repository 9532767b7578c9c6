//! Requirements and marks held against each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    mark::{Kind, Mark},
    requirement::Spec,
};

/// What the sources say, by the ids of the specs.
pub(crate) struct Trace<'a> {
    specs: &'a [Spec],
    marks: &'a [Mark],
    code: BTreeMap<&'a str, BTreeSet<&'a str>>,
    tests: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Trace<'a> {
    /// Sorts the marks by id; a place that is named twice counts once.
    pub(crate) fn new(specs: &'a [Spec], marks: &'a [Mark]) -> Self {
        let mut trace = Self { specs, marks, code: BTreeMap::new(), tests: BTreeMap::new() };
        for mark in marks {
            let places = match mark.kind {
                Kind::Implements => &mut trace.code,
                Kind::Tests => &mut trace.tests,
            };
            places.entry(mark.id.as_str()).or_default().insert(mark.place.as_str());
        }
        trace
    }

    /// Where the requirement is met, in a fixed order.
    pub(crate) fn implemented_by(&self, id: &str) -> impl Iterator<Item = &'a str> {
        self.code.get(id).into_iter().flatten().copied()
    }

    /// What proves the requirement, in a fixed order.
    pub(crate) fn tested_by(&self, id: &str) -> impl Iterator<Item = &'a str> {
        self.tests.get(id).into_iter().flatten().copied()
    }

    /// Every place where the two sides do not meet, one line each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut defined = BTreeMap::new();
        for spec in self.specs {
            let path = spec.path.display();
            for requirement in &spec.requirements {
                let id = requirement.id.as_str();
                if let Some(first) = defined.insert(id, path.to_string()) {
                    problems.push(format!("{path}: {id} is defined twice, the first time in {first}"));
                }
                let is_tested = self.tests.contains_key(id);
                match &requirement.untested {
                    None if requirement.level.binds() && !is_tested => {
                        problems
                            .push(format!("{path}: {id} is a {} without a test", requirement.level.words()));
                    }
                    Some(_) if is_tested => {
                        problems.push(format!("{path}: {id} is called untested, and has a test"));
                    }
                    _ => {}
                }
            }
        }
        let unknown = self.marks.iter().filter(|mark| !defined.contains_key(mark.id.as_str()));
        problems.extend(unknown.map(|mark| format!("{}: no spec defines {}", mark.line, mark.id)));
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::requirement;

    fn spec(name: &str, text: &str) -> Spec {
        requirement::read(Path::new(name), text).0
    }

    fn mark(id: &str, kind: Kind, place: &str) -> Mark {
        Mark { id: id.to_owned(), kind, place: place.to_owned(), line: format!("{place}:7") }
    }

    #[test]
    fn a_binding_requirement_needs_a_test_and_code_is_none() {
        let specs = [spec("a.md", "- [ORCH-1] It MUST.\n- [ORCH-2] It MUST NOT.\n- [ORCH-3] It SHOULD.\n")];
        let marks = [mark("ORCH-1", Kind::Implements, "b.rs"), mark("ORCH-2", Kind::Tests, "b.rs")];
        assert_eq!(Trace::new(&specs, &marks).problems(), ["a.md: ORCH-1 is a MUST without a test"]);
    }

    #[test]
    fn a_reason_stands_for_a_test_only_while_there_is_none() {
        let specs = [spec("a.md", "- [ORCH-1] (untested: no GPU) It MUST.\n")];
        assert_eq!(Trace::new(&specs, &[]).problems(), Vec::<String>::new());
        let marks = [mark("ORCH-1", Kind::Tests, "b.rs")];
        let problems = Trace::new(&specs, &marks).problems();
        assert_eq!(problems, ["a.md: ORCH-1 is called untested, and has a test"]);
    }

    #[test]
    fn an_id_has_one_spec_also_across_files() {
        let specs = [spec("a.md", "- [ORCH-1] It MAY.\n"), spec("b.md", "- [ORCH-1] It MAY.\n")];
        let problems = Trace::new(&specs, &[]).problems();
        assert_eq!(problems, ["b.md: ORCH-1 is defined twice, the first time in a.md"]);
    }

    #[test]
    fn ids_that_no_spec_defines_are_named_where_they_stand() {
        let marks = [mark("ORCH-8", Kind::Implements, "b.rs"), mark("ORCH-9", Kind::Tests, "c.rs")];
        let problems = Trace::new(&[], &marks).problems();
        assert_eq!(problems, ["b.rs:7: no spec defines ORCH-8", "c.rs:7: no spec defines ORCH-9"]);
    }

    #[test]
    fn places_are_sorted_and_named_once() {
        let marks = ["c", "a", "c"].map(|place| mark("ORCH-1", Kind::Tests, place));
        let trace = Trace::new(&[], &marks);
        assert_eq!(trace.tested_by("ORCH-1").collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(trace.implemented_by("ORCH-1").count(), 0);
    }
}
