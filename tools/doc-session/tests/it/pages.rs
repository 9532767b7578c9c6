//! The pages of the repository, and the programs that their sessions use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tools_workspace::{
    markdown::{Block, Page},
    source,
};

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Every Markdown page, with its path.
pub(crate) fn all() -> Vec<(PathBuf, Page)> {
    let paths = source::walk(root(), &["md"]).unwrap();
    let read = |path: PathBuf| {
        let page = Page::read(&fs::read_to_string(root().join(&path)).unwrap());
        (path, page)
    };
    paths.into_iter().map(read).collect()
}

/// Every block in this language, with its place.
pub(crate) fn blocks_in(language: &str) -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for (path, page) in all() {
        let blocks = page.blocks.into_iter().filter(|block| block.language == language);
        found.extend(blocks.map(|block| (format!("{}:{}", path.display(), block.line), block)));
    }
    found
}

/// The folder of the built programs: the one above the folder of this test.
pub(crate) fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().to_owned();
    for program in ["orchestratord", "pool-managerd"] {
        assert!(folder.join(program).exists(), "{program} is not built: cargo build -p {program}");
    }
    folder
}
