//! Requirements as the specs state them: one bullet each, `- [ORCH-3004] … MUST …`.
//!
//! Everything else in a spec is explanation. A bullet that nearly looks like a requirement is reported instead of
//! being passed over, since a requirement that nobody reads is worse than none.

use std::path::{Path, PathBuf};

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Must,
    MustNot,
    Should,
    ShouldNot,
    May,
}

/// From the strongest pair to the weakest; of a pair that word counts which stands first.
const LEVELS: &[&[(&str, Level)]] = &[
    &[("MUST NOT", Level::MustNot), ("MUST", Level::Must)],
    &[("SHOULD NOT", Level::ShouldNot), ("SHOULD", Level::Should)],
    &[("MAY", Level::May)],
];

impl Level {
    /// The words as they stand in a spec.
    pub(crate) fn words(self) -> &'static str {
        let all = LEVELS.iter().copied().flatten();
        all.copied().find(|(_, level)| *level == self).map_or("", |(words, _)| words)
    }

    /// Whether a requirement of this level needs a test.
    pub(crate) fn binds(self) -> bool {
        matches!(self, Self::Must | Self::MustNot)
    }

    fn of(text: &str) -> Option<Self> {
        LEVELS.iter().find_map(|pair| {
            let places = pair.iter().filter_map(|(words, level)| Some((text.find(words)?, *level)));
            // `MUST` is found where `MUST NOT` stands too; the longer words come first and stay.
            places.min_by_key(|(at, _)| *at).map(|(_, level)| level)
        })
    }
}

/// One bullet with an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) id: String,
    pub(crate) level: Level,
    pub(crate) text: String,
    /// The heading that it stands under.
    pub(crate) section: String,
    /// Why it has no test, where the spec says so.
    pub(crate) untested: Option<String>,
}

/// One file of `.specs/`.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) requirements: Vec<Requirement>,
}

/// Reads a spec; what is wrong with it comes as one line each.
pub(crate) fn read(path: &Path, text: &str) -> (Spec, Vec<String>) {
    let mut spec = Spec { path: path.to_owned(), requirements: Vec::new() };
    let mut problems = Vec::new();
    for bullet in bullets(text) {
        match requirement(&bullet) {
            Ok(requirement) => spec.requirements.push(requirement),
            Err(what) => problems.push(format!("{}:{}: {what}", path.display(), bullet.line)),
        }
    }
    (spec, problems)
}

/// Whether this is the shape of an id, such as `ORCH-3004`.
pub(crate) fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(series, number)| {
        let is_all = |part: &str, is: fn(char) -> bool| !part.is_empty() && part.chars().all(is);
        is_all(series, |c| c.is_ascii_uppercase()) && is_all(number, |c| c.is_ascii_digit())
    })
}

struct Bullet {
    line: usize,
    section: String,
    /// What the brackets at its beginning hold.
    id: String,
    /// All behind the brackets, its lines joined.
    text: String,
}

/// The bullets that begin with brackets and are no links.
fn bullets(text: &str) -> Vec<Bullet> {
    let mut found: Vec<Bullet> = Vec::new();
    let (mut section, mut is_code, mut is_open) = (String::new(), false, false);
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.starts_with("```") {
            is_code = !is_code;
        }
        if is_code || content.is_empty() {
            is_open = false;
        } else if let Some((id, rest)) = bracketed(content) {
            let bullet = Bullet {
                line: index + 1,
                section: section.clone(),
                id: id.to_owned(),
                text: rest.trim().to_owned(),
            };
            found.push(bullet);
            is_open = true;
        } else if content.starts_with('#') {
            content.trim_start_matches('#').trim().clone_into(&mut section);
            is_open = false;
        } else if is_open && line.starts_with(' ') && !content.starts_with("- ") {
            if let Some(bullet) = found.last_mut() {
                bullet.text = format!("{} {content}", bullet.text);
            }
        } else {
            is_open = false;
        }
    }
    found
}

fn bracketed(content: &str) -> Option<(&str, &str)> {
    let rest = content.strip_prefix(['-', '*', '+'])?.trim_start();
    let (id, rest) = rest.strip_prefix('[')?.split_once(']')?;
    (!rest.starts_with(['(', ':'])).then_some((id, rest))
}

fn requirement(bullet: &Bullet) -> Result<Requirement, String> {
    let id = bullet.id.clone();
    if !is_id(&id) {
        return Err(format!("`[{id}]` is no id; one looks like `[ORCH-3004]`"));
    }
    let (untested, text) = match bullet.text.strip_prefix("(untested:") {
        None => (None, bullet.text.as_str()),
        Some(rest) => {
            let (reason, text) =
                rest.split_once(')').ok_or_else(|| format!("{id}: the reason has no end"))?;
            if reason.trim().is_empty() {
                return Err(format!("{id}: `untested` needs a reason"));
            }
            (Some(reason.trim().to_owned()), text.trim())
        }
    };
    let level = Level::of(text).ok_or_else(|| format!("{id} says neither MUST nor SHOULD nor MAY"))?;
    Ok(Requirement { id, level, text: text.to_owned(), section: bullet.section.clone(), untested })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Vec<Requirement> {
        let (spec, problems) = read(Path::new(".specs/a.md"), text);
        assert_eq!(problems, Vec::<String>::new());
        spec.requirements
    }

    fn problem(text: &str) -> String {
        let (spec, mut problems) = read(Path::new(".specs/a.md"), text);
        assert_eq!((spec.requirements.len(), problems.len()), (0, 1), "{problems:?}");
        problems.remove(0)
    }

    #[test]
    fn a_bullet_with_an_id_is_a_requirement_of_its_section() {
        let text = "# A\n\n## 2.2 Access\n\n- [AUTH-1001] A token MUST be compared.\n- T1: no id.\n";
        let expected = Requirement {
            id: "AUTH-1001".to_owned(),
            level: Level::Must,
            text: "A token MUST be compared.".to_owned(),
            section: "2.2 Access".to_owned(),
            untested: None,
        };
        assert_eq!(good(text), [expected]);
    }

    #[test]
    fn a_bullet_over_several_lines_is_one_text_and_ends_with_its_paragraph() {
        let text = "- [ORCH-1] It MUST\n  go on,\n  and on.\nNot this.\n- [ORCH-2] It MAY.\n\n  Nor this.\n  - nor this\n";
        let texts: Vec<_> = good(text).into_iter().map(|one| one.text).collect();
        assert_eq!(texts, ["It MUST go on, and on.", "It MAY."]);
    }

    #[test]
    fn the_strongest_word_is_the_level_and_of_two_alike_the_first() {
        let level = |text: &str| Level::of(text).map(Level::words);
        assert_eq!(level("It MUST NOT run and MUST be refused."), Some("MUST NOT"));
        assert_eq!(level("It MUST run and MUST NOT wait."), Some("MUST"));
        assert_eq!(level("It MAY wait, SHOULD run, and MUST end."), Some("MUST"));
        assert_eq!(level("It MAY wait and SHOULD NOT run."), Some("SHOULD NOT"));
        assert_eq!(level("It must."), None);
    }

    #[test]
    fn links_and_examples_in_code_are_no_requirements() {
        assert_eq!(good("- [ORCH-1](10_core.md) MUST\n- [x]: y MUST\n```\n- [ORCH-2] MUST\n```\n"), []);
    }

    #[test]
    fn a_reason_for_having_no_test_is_kept_apart_from_the_text() {
        let found = good("- [ORCH-1] (untested: needs a GPU) It MUST glow.\n");
        assert_eq!(found[0].untested.as_deref(), Some("needs a GPU"));
        assert_eq!(found[0].text, "It MUST glow.");
    }

    #[test]
    fn what_nearly_is_a_requirement_is_named_with_its_line() {
        assert_eq!(
            problem("\n- [ORCH-30a4] It MUST.\n"),
            ".specs/a.md:2: `[ORCH-30a4]` is no id; one looks like `[ORCH-3004]`"
        );
        assert_eq!(
            problem("- [ORCH-1] It is.\n"),
            ".specs/a.md:1: ORCH-1 says neither MUST nor SHOULD nor MAY"
        );
        assert_eq!(
            problem("- [ORCH-1] (untested: ) It MUST.\n"),
            ".specs/a.md:1: ORCH-1: `untested` needs a reason"
        );
        assert_eq!(
            problem("- [ORCH-1] (untested: why It MUST.\n"),
            ".specs/a.md:1: ORCH-1: the reason has no end"
        );
    }
}
