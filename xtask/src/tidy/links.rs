//! Links of Markdown pages to files of the repository: each must lead somewhere.
//!
//! Links to the web are not tried, since a check that needs a foreign server fails for foreign reasons.

use std::path::Path;

/// The dead links of one page.
pub(super) fn check(root: &Path, page: &Path, content: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut is_code = false;
    for (index, line) in content.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for target in targets(line).into_iter().filter(|target| !exists(root, page, target)) {
            breaches.push(format!("{}:{}: the link to `{target}` leads nowhere", page.display(), index + 1));
        }
    }
    breaches
}

/// What the links of a line point at, in both forms: `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let line = without_code_spans(line);
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        if let Some((inside, _)) = line[at + 2..].split_once(')') {
            found.push(inside);
        }
    }
    if line.starts_with('[')
        && let Some((name, target)) = line.split_once("]: ")
        && !name.starts_with("[^")
    {
        found.push(target);
    }
    // A title may stand behind the target.
    found.iter().filter_map(|target| target.split_whitespace().next()).map(str::to_owned).collect()
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn exists(root: &Path, page: &Path, target: &str) -> bool {
    let target = target.trim_start_matches('<').trim_end_matches('>');
    if target.contains("://") || target.starts_with("mailto:") || target.starts_with('#') {
        return true;
    }
    let file = target.split('#').next().unwrap_or(target);
    match file.strip_prefix('/') {
        Some(from_root) => root.join(from_root).exists(),
        None => root.join(page.parent().unwrap_or(Path::new(""))).join(file).exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(content: &str) -> Vec<String> {
        check(crate::workspace::root(), Path::new("xtask/README.md"), content)
    }

    #[test]
    fn dead_link_is_named_with_its_line() {
        let found = dead("# Title\n\nSee [a](src/main.rs) and [b](src/no.rs).\n");
        assert_eq!(found, ["xtask/README.md:3: the link to `src/no.rs` leads nowhere"]);
    }

    #[test]
    fn links_from_the_root_with_parts_titles_and_upward_are_followed() {
        let content = "[a](/Cargo.toml) [b](../Cargo.toml#x) [c](src/main.rs \"title\")\n[d]: ../LICENSE\n[e]: ../NONE\n";
        assert_eq!(dead(content), ["xtask/README.md:3: the link to `../NONE` leads nowhere"]);
    }

    #[test]
    fn web_links_parts_of_the_page_and_code_are_left_alone() {
        let content = "[a](https://example.org/x) [b](#part) `[c](no)`\n```\n[d](no)\n```\n";
        assert_eq!(dead(content), Vec::<String>::new());
    }
}
