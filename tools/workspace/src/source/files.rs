//! Reads the workspace's files from disk, and tells test files from product files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Side, SourceFile};

/// Folders that hold nothing written by hand.
const SKIPPED: &[&str] = &["target", ".git", "__pycache__", "node_modules"];

/// Every file below `root` that ends in one of these extensions, in a fixed order, relative to `root`.
pub fn walk(root: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            // Links are not followed: what they point at is checked where it lies.
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.contains(&entry.file_name().to_string_lossy().as_ref()) {
                folders.push(path);
            } else if kind.is_file()
                && path.extension().is_some_and(|own| extensions.iter().any(|e| own == *e))
            {
                found.insert(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// All Rust files below `root`.
pub fn load(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in walk(root, &["rs"])? {
        let text = fs::read_to_string(root.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let side = if is_in_test_folder(&path) { Side::Test } else { Side::Product };
        files.push(SourceFile::new(&path, text, side));
    }
    let gated: Vec<PathBuf> = files.iter().flat_map(gated_modules).collect();
    for file in &mut files {
        let stem = file.path.with_extension("");
        // The module's own file, its `mod.rs`, or a file of a module below it.
        if file.side == Side::Product && gated.iter().any(|module| stem.starts_with(module)) {
            *file = SourceFile::new(&file.path, std::mem::take(&mut file.text), Side::Test);
        }
    }
    Ok(files)
}

fn is_in_test_folder(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.iter().any(|part| part == "tests" || part == "benches"))
}

/// The modules that this file declares as `#[cfg(test)] mod name;`, as paths without extension.
fn gated_modules(file: &SourceFile) -> Vec<PathBuf> {
    let stem = file.path.file_stem().unwrap_or_default();
    let folder = match stem.to_str() {
        Some("lib" | "main" | "mod") => file.path.parent().map(Path::to_owned).unwrap_or_default(),
        _ => file.path.with_extension(""),
    };
    let mut modules = Vec::new();
    let mut is_gated = false;
    for line in file.text.lines().map(str::trim) {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,") {
            is_gated = true;
        }
        let item = line.rsplit(']').next().unwrap_or(line).trim();
        if item.is_empty() || item.starts_with("//") {
            continue;
        }
        if let Some((_, name)) = item.trim_end_matches(';').rsplit_once("mod ")
            && is_gated
            && item.ends_with(';')
        {
            modules.push(folder.join(name.trim()));
        }
        is_gated = false;
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gated(path: &str, text: &str) -> Vec<PathBuf> {
        gated_modules(&SourceFile::new(Path::new(path), text.to_owned(), Side::Product))
    }

    #[test]
    fn gated_module_of_a_plain_file_lies_in_the_folder_of_its_name() {
        let text = "mod a;\n#[cfg(test)]\nmod tests;\nmod b;\n";
        assert_eq!(gated("libs/x/src/queue.rs", text), [PathBuf::from("libs/x/src/queue/tests")]);
    }

    #[test]
    fn gated_module_of_a_crate_root_lies_beside_it() {
        let text = "#[cfg(test)] pub mod fixture;\nfn f() {}\n";
        assert_eq!(gated("libs/x/src/lib.rs", text), [PathBuf::from("libs/x/src/fixture")]);
    }

    #[test]
    fn inline_test_module_names_no_file() {
        assert!(gated("libs/x/src/lib.rs", "#[cfg(test)]\nmod tests {\n    mod a;\n}\n").is_empty());
    }

    #[test]
    fn files_in_tests_and_benches_folders_are_for_tests() {
        assert!(is_in_test_folder(Path::new("libs/x/tests/it/main.rs")));
        assert!(is_in_test_folder(Path::new("libs/x/benches/speed.rs")));
        assert!(!is_in_test_folder(Path::new("libs/x/src/tests.rs")), "named by its gate, not by its name");
    }

    #[test]
    fn this_file_is_found_and_its_test_module_left_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let files = load(&root).unwrap();
        let own =
            files.iter().find(|file| file.path.ends_with("tools/workspace/src/source/files.rs")).unwrap();
        assert_eq!(own.side, Side::Product);
        assert!(own.code.contains("fn gated_modules"));
        assert!(!own.code.contains("fn this_file_is_found"));
    }
}
