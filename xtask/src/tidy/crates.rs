//! What each crate must bring: a README, and the workspace's lints.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// The breaches of the crate with this manifest.
pub(super) fn check(root: &Path, manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().unwrap_or(root);
    let shown = folder.strip_prefix(root).unwrap_or(folder).display();
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let mut breaches = Vec::new();
    if !folder.join("README.md").is_file() {
        breaches.push(format!("{shown}: every crate has a README.md"));
    }
    if !takes_workspace_lints(&text) {
        breaches.push(format!("{shown}/Cargo.toml: `lints.workspace = true` is missing"));
    }
    Ok(breaches)
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let setting: String = line.split('#').next().unwrap_or("").split_whitespace().collect();
        match (section, setting.as_str()) {
            ("[lints]", "workspace=true") | ("", "lints.workspace=true") => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_take_the_lints_count() {
        assert!(takes_workspace_lints("[package]\nname = \"a\"\n[lints]\nworkspace = true # all\n"));
        assert!(takes_workspace_lints("lints.workspace = true\n[package]\n"));
    }

    #[test]
    fn lints_of_another_section_or_switched_off_do_not_count() {
        assert!(!takes_workspace_lints("[dependencies]\nworkspace = true\n"));
        assert!(!takes_workspace_lints("[lints]\nworkspace = false\n"));
    }

    #[test]
    fn crate_without_readme_and_lints_has_two_breaches() {
        let folder = std::env::temp_dir().join(format!("tidy-crates-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let manifest = folder.join("Cargo.toml");
        fs::write(&manifest, "[package]\nname = \"a\"\n").unwrap();
        let without = check(&folder, &manifest).unwrap();
        fs::write(folder.join("README.md"), "# a\n").unwrap();
        fs::write(&manifest, "[lints]\nworkspace = true\n").unwrap();
        let with = check(&folder, &manifest).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(without.len(), 2, "{without:?}");
        assert_eq!(with, Vec::<String>::new());
    }
}
