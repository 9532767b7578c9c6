//! The program over a small tree of its own: what it writes, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its tree has nothing to show")]

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

const SPEC: &str =
    "# 10 Core\n\n## Requirements\n\n- [ORCH-2] It MUST NOT \"lie\".\n- [ORCH-1] It MUST\n  count.\n";
const CODE: &str = "//! A.\n//= ORCH-1\npub fn count() {}\n\n#[cfg(test)]\nmod tests {\n    //= ORCH-1 type=test\n    #[test]\n    fn it_counts() {}\n}\n";
const TEST: &str =
    "//! Its test.\n\n// N01\n//= ORCH-2 type=test\n#[tokio::test]\nasync fn it_does_not_lie() {}\n";

/// Two specs, one without a requirement, and code and tests that fit them.
fn tree() -> TempDir {
    let root = TempDir::new().unwrap();
    put(&root, ".specs/10_core.md", SPEC);
    put(&root, ".specs/41_vllm.md", "# 41 vLLM\n\n- Nothing has an id here.\n");
    put(&root, "libs/a/src/lib.rs", CODE);
    put(&root, "libs/a/tests/it/main.rs", TEST);
    root
}

fn put(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn get(root: &TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap()
}

/// The exit code, and what it said.
fn run(root: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tools-spec-extract"));
    let output = command.arg("--root").arg(root).args(arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn problems(root: &TempDir) -> Vec<String> {
    let (code, said) = run(root.path(), &["--check"]);
    assert_eq!(code, i32::from(!said.is_empty()), "{said}");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn each_spec_gets_its_file_and_a_second_look_finds_nothing() {
    let root = tree();
    assert_eq!(run(root.path(), &[]), (0, String::new()));
    let expected = "\
# Generated from .specs/10_core.md and the comments `//= ID` in the sources.
# Do not edit: change those, then run `cargo run -p tools-spec-extract`.
requirements:
  - id: \"ORCH-1\"
    level: \"MUST\"
    text: \"It MUST count.\"
    spec: \".specs/10_core.md, Requirements\"
    implemented_by:
      - \"libs/a/src/lib.rs::count\"
    tested_by:
      - \"libs/a/src/lib.rs::it_counts\"
  - id: \"ORCH-2\"
    level: \"MUST NOT\"
    text: \"It MUST NOT \\\"lie\\\".\"
    spec: \".specs/10_core.md, Requirements\"
    implemented_by: []
    tested_by:
      - \"libs/a/tests/it/main.rs::it_does_not_lie\"
";
    assert_eq!(get(&root, "requirements/10_core.yaml"), expected);
    assert!(get(&root, "requirements/41_vllm.yaml").ends_with("\nrequirements: []\n"));
    assert_eq!(problems(&root), Vec::<String>::new());
}

#[test]
fn lines_may_move_and_names_may_not() {
    let root = tree();
    run(root.path(), &[]);
    put(&root, "libs/a/src/lib.rs", &CODE.replace("//! A.\n", "//! A.\n\n//! And more.\n\n"));
    assert_eq!(problems(&root), Vec::<String>::new());
    put(&root, "libs/a/src/lib.rs", &CODE.replace("it_counts", "it_counts_well"));
    let stale = "requirements/10_core.yaml: stale; run `cargo run -p tools-spec-extract`";
    assert_eq!(problems(&root), [stale]);
}

#[test]
fn a_check_writes_nothing_and_names_what_is_missing_or_left_over() {
    let root = tree();
    put(&root, "requirements/90_gone.yaml", "requirements: []\n");
    let found = problems(&root);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("requirements/10_core.yaml: cannot be read"), "{found:?}");
    assert!(found[1].starts_with("requirements/41_vllm.yaml: cannot be read"), "{found:?}");
    assert!(found[2].starts_with("requirements/90_gone.yaml: its spec is gone"), "{found:?}");
    assert!(!root.path().join("requirements/10_core.yaml").exists());
    run(root.path(), &[]);
    assert!(!root.path().join("requirements/90_gone.yaml").exists());
}

#[test]
fn every_way_in_which_the_sides_do_not_meet_is_a_line() {
    let root = tree();
    put(
        &root,
        ".specs/11_store.md",
        "# 11\n\n- [ORCH-1] It MUST.\n- [ORCH-3] It MUST.\n- [ORCH-4] It SHOULD.\n",
    );
    put(&root, "libs/b/src/lib.rs", "//! B.\n//= ORCH-9\nfn b() {}\n//= ORCH-3 type=test\nfn no_test() {}\n");
    let (code, said) = run(root.path(), &[]);
    let found: Vec<_> = said.lines().collect();
    let expected = [
        "libs/b/src/lib.rs:4: ORCH-3 type=test does not stand above a test function",
        ".specs/11_store.md: ORCH-1 is defined twice, the first time in .specs/10_core.md",
        ".specs/11_store.md: ORCH-3 is a MUST without a test",
        "libs/b/src/lib.rs:2: no spec defines ORCH-9",
    ];
    assert_eq!((code, found), (1, expected.to_vec()));
    assert_eq!(problems(&root), expected, "written all the same, so nothing is stale");
}

#[test]
fn a_requirement_may_say_why_it_has_no_test() {
    let root = tree();
    put(&root, ".specs/11_store.md", "# 11\n\n- [ORCH-3] (untested: needs a tape) It MUST rewind.\n");
    assert_eq!(run(root.path(), &[]), (0, String::new()));
    let written = get(&root, "requirements/11_store.yaml");
    assert!(written.contains("    text: \"It MUST rewind.\"\n"), "{written}");
    assert!(written.ends_with("    tested_by: []\n    untested: \"needs a tape\"\n"), "{written}");
}

/// The ids that whoever uses the product was promised, each of which means something: `N`, or `N to M`.
const PROMISED: &[(&str, &str)] = &[
    (
        "ORCH",
        "2002 2007 2101 to 2104 3002 to 3005 3008 to 3012 3014 3016 3017 3021 to 3024 3026 to 3029 3031",
    ),
    ("ORCH", "3037 3038 3044 to 3046 3052 3058 3080 3090 3091 3095 to 3100 3300 to 3312"),
    ("AUTH", "1001 to 1008"),
];

fn promised() -> Vec<String> {
    let mut ids = Vec::new();
    for (series, numbers) in PROMISED {
        let mut words = numbers.split(' ').peekable();
        while let Some(first) = words.next() {
            let first: u32 = first.parse().unwrap();
            let last = words.next_if_eq(&"to").map_or(first, |_| words.next().unwrap().parse().unwrap());
            ids.extend((first..=last).map(|number| format!("{series}-{number}")));
        }
    }
    ids
}

#[test]
fn every_id_that_was_promised_is_defined_met_and_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../requirements");
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let all = entries.collect::<String>();
    let ids = promised();
    assert_eq!(ids.len(), 64);
    for id in ids {
        let (_, rest) =
            all.split_once(&format!("  - id: \"{id}\"\n")).unwrap_or_else(|| panic!("{id} is not defined"));
        let one = rest.split("\n  - id: ").next().unwrap();
        assert!(one.contains("    implemented_by:\n      - "), "{id} is met nowhere:\n{one}");
        assert!(one.contains("    tested_by:\n      - "), "{id} has no test:\n{one}");
    }
}

#[test]
fn a_scenario_proves_what_its_tags_say() {
    let root = tree();
    let feature = "Feature: Counting\n\n  @ORCH-1\n  Scenario: It counts to three\n    Given three\n";
    put(&root, "bin/b/features/count.feature", feature);
    assert_eq!(run(root.path(), &[]), (0, String::new()));
    let written = get(&root, "requirements/10_core.yaml");
    let expected = r#"      - "bin/b/features/count.feature::\"It counts to three\""
      - "libs/a/src/lib.rs::it_counts"
"#;
    assert!(written.contains(expected), "{written}");
    put(&root, "bin/b/features/count.feature", &feature.replace("ORCH-1", "ORCH-8 @soon"));
    let found = problems(&root);
    assert!(
        found.contains(&"bin/b/features/count.feature:3: no spec defines ORCH-8".to_owned()),
        "{found:?}"
    );
    assert!(
        found.iter().any(|it| it.starts_with("bin/b/features/count.feature:3: `@soon` is no id")),
        "{found:?}"
    );
}
