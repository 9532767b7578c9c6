//! The crates of the workspace and their arrows, taken from `cargo metadata`.

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata};

use crate::workspace;

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crate {
    pub(super) name: String,
    /// The top folder it lies in, such as `libs`.
    pub(super) folder: String,
    pub(super) arrows: Vec<Arrow>,
}

/// A direct dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrow {
    /// The package's name, also where the manifest gives it another one.
    pub(super) to: String,
    pub(super) use_in: Use,
}

/// What a dependency is compiled into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The crate itself or its build script.
    Product,
    /// Tests, examples, benches.
    Tests,
}

/// Reads the graph; dependencies on outside crates are arrows too.
pub(super) fn read(metadata: &Metadata) -> Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest_path.as_std_path();
        let inside = manifest
            .strip_prefix(workspace::root())
            .with_context(|| format!("{} lies outside of the workspace", manifest.display()))?;
        let folder = inside.iter().next().unwrap_or_default().to_string_lossy().into_owned();
        let arrows = package.dependencies.iter().map(|dependency| Arrow {
            to: dependency.name.clone(),
            use_in: match dependency.kind {
                DependencyKind::Development => Use::Tests,
                _ => Use::Product,
            },
        });
        crates.push(Crate { name: package.name.to_string(), folder, arrows: arrows.collect() });
    }
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_workspace_is_read_with_folders_and_kinds() {
        let crates = read(&workspace::metadata().unwrap()).unwrap();
        let core = crates.iter().find(|one| one.name == "orchestrator-core").unwrap();
        assert_eq!(core.folder, "libs");
        assert!(core.arrows.contains(&Arrow { to: "proptest".to_owned(), use_in: Use::Tests }));
        assert!(core.arrows.contains(&Arrow { to: "smallvec".to_owned(), use_in: Use::Product }));
    }
}
