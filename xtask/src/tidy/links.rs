//! Links of Markdown pages to files of the repository and to parts of pages: each must lead somewhere.
//!
//! Links to the web are not tried, since a check that needs a foreign server fails for foreign reasons.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tools_workspace::markdown::Page;

/// The dead links of one page, which lies at `path` below `root`.
pub(super) fn check(root: &Path, path: &Path, page: &Page) -> Vec<String> {
    let dead = |(line, target): &(usize, String)| {
        let problem = problem(root, path, page, target)?;
        Some(format!("{}:{line}: the link to `{target}` {problem}", path.display()))
    };
    page.links.iter().filter_map(dead).collect()
}

fn problem(root: &Path, path: &Path, page: &Page, target: &str) -> Option<&'static str> {
    let target = target.trim_start_matches('<').trim_end_matches('>');
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, part) = target.split_once('#').map_or((target, None), |(file, part)| (file, Some(part)));
    if file.is_empty() {
        return (!has(page, part)).then_some("names no heading of this page");
    }
    let file = resolved(root, path, file);
    if !file.exists() {
        return Some("leads nowhere");
    }
    // Only pages have headings; a part of another file, such as a line, is for who shows it.
    if part.is_none() || file.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let other = fs::read_to_string(&file).unwrap_or_default();
    (!has(&Page::read(&other), part)).then_some("names no heading of that page")
}

fn has(page: &Page, part: Option<&str>) -> bool {
    part.is_none_or(|part| page.anchors.iter().any(|anchor| anchor == part))
}

fn resolved(root: &Path, path: &Path, file: &str) -> PathBuf {
    match file.strip_prefix('/') {
        Some(from_root) => root.join(from_root),
        None => root.join(path.parent().unwrap_or(Path::new(""))).join(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(content: &str) -> Vec<String> {
        check(crate::workspace::root(), Path::new("xtask/README.md"), &Page::read(content))
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
    fn web_links_and_code_are_left_alone() {
        let content = "[a](https://example.org/x#y) `[c](no)`\n```\n[d](no)\n```\n";
        assert_eq!(dead(content), Vec::<String>::new());
    }

    #[test]
    fn part_of_a_page_must_be_one_of_its_headings() {
        let content = "# Some part\n[a](#some-part) [b](#other) [c](../CONTRIBUTING.md#rules)\n";
        assert_eq!(dead(content), ["xtask/README.md:2: the link to `#other` names no heading of this page"]);
        let found = dead("[d](../CONTRIBUTING.md#laws)\n");
        assert_eq!(
            found,
            ["xtask/README.md:1: the link to `../CONTRIBUTING.md#laws` names no heading of that page"]
        );
    }
}
