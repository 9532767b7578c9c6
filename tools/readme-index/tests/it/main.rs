//! The program over a small workspace of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its tree has nothing to show")]

use std::{fs, process::Command};

use tempfile::TempDir;

const MARKERS: &str = "<!-- map: written by `cargo run -p tools-readme-index` -->\n<!-- end of the map -->\n";

/// Three crates on floors 1, 4 and apart; their names are in the table.
fn tree() -> TempDir {
    let root = TempDir::new().unwrap();
    put(&root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"libs/*\", \"xtask\"]\n");
    put(&root, "README.md", &format!("# A\n\n{MARKERS}\nMore.\n"));
    crate_of(&root, "xtask", "xtask", "# xtask\n\nThe commands,\nall of them. And more.\n");
    crate_of(&root, "libs/core", "orchestrator-core", "# core\n\nWhich job runs where.\n");
    crate_of(&root, "libs/mock", "mock", "# mock\n\n- a list\n");
    root
}

fn crate_of(root: &TempDir, folder: &str, name: &str, readme: &str) {
    let manifest =
        format!("[package]\nname = \"{name}\"\nedition = \"2024\"\ndescription = \"An engine.\"\n");
    put(root, &format!("{folder}/Cargo.toml"), &manifest);
    put(root, &format!("{folder}/README.md"), readme);
    put(root, &format!("{folder}/src/lib.rs"), "");
}

fn put(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn page(root: &TempDir) -> String {
    fs::read_to_string(root.path().join("README.md")).unwrap()
}

/// The exit code, and what it said.
fn run(root: &TempDir, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tools-readme-index"));
    let output = command.arg("--root").arg(root.path()).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn the_map_is_written_once_and_then_stands() {
    let root = tree();
    let stale = "README.md: the map is stale; run `cargo run -p tools-readme-index`\n";
    let before = page(&root);
    assert_eq!(run(&root, &["--check"]), (1, stale.to_owned()));
    assert_eq!(page(&root), before, "a check writes nothing");
    assert_eq!(run(&root, &[]), (0, String::new()));
    let expected = "# A\n\n<!-- map: written by `cargo run -p tools-readme-index` -->\n
| Floor | Crate | What it is |
|---|---|---|
| 4 | [libs/mock](libs/mock/README.md) | An engine |
| 1 | [libs/core](libs/core/README.md) | Which job runs where |
| apart | [xtask](xtask/README.md) | The commands, all of them |

<!-- end of the map -->\n\nMore.\n";
    assert_eq!(page(&root), expected);
    assert_eq!(run(&root, &["--check"]), (0, String::new()));
}

#[test]
fn a_crate_that_the_table_does_not_know_is_named_and_nothing_is_written() {
    let root = tree();
    crate_of(&root, "libs/new", "queue-helpers", "# new\n\nHelp.\n");
    let before = page(&root);
    let (code, said) = run(&root, &[]);
    assert_eq!((code, said.as_str()), (1, "queue-helpers: no floor in tools/workspace/src/floors.rs\n"));
    assert_eq!(page(&root), before);
}

#[test]
fn a_page_without_markers_is_refused() {
    let root = tree();
    put(&root, "README.md", "# A\n");
    let (code, said) = run(&root, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("the page must hold each of"), "{said}");
}
