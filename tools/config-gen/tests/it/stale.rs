//! What the tool writes, and what it says of a file that is not what it would write.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use config_schema::{Config, Fault, Layers, Schema};

use crate::root;

fn run(root: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tools-config-gen")).arg(root).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// A repository with the examples alone.
fn with_examples() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let examples = "contracts/config/examples";
    fs::create_dir_all(folder.path().join(examples)).unwrap();
    fs::create_dir_all(folder.path().join("docs")).unwrap();
    for name in ["orchestratord.toml", "pool-managerd.toml"] {
        let path = Path::new(examples).join(name);
        fs::copy(root().join(&path), folder.path().join(&path)).unwrap();
    }
    folder
}

//= ORCH-3326 type=test
#[test]
fn what_is_written_is_current_until_it_is_changed() {
    let folder = with_examples();
    let stale = run(folder.path(), &["--check"]);
    assert!(!stale.status.success() && said(&stale).contains("docs/CONFIGURATION.md"), "{}", said(&stale));
    assert!(run(folder.path(), &[]).status.success());
    let again = run(folder.path(), &[]);
    assert_eq!((again.status.success(), said(&again).as_str()), (true, ""));
    assert!(run(folder.path(), &["--check"]).status.success());
    let schema = "contracts/config/pool-managerd.schema.json";
    fs::write(folder.path().join(schema), "{}").unwrap();
    let stale = run(folder.path(), &["--check"]);
    let expected = format!("stale: {schema}; run `cargo xtask regen-schema`");
    assert!(!stale.status.success() && said(&stale).contains(&expected), "{}", said(&stale));
}

//= ORCH-3326 type=test
#[test]
fn the_reference_names_every_setting_of_both_programs() {
    let folder = with_examples();
    assert!(run(folder.path(), &[]).status.success());
    let page = fs::read_to_string(folder.path().join("docs/CONFIGURATION.md")).unwrap();
    assert!(!page.contains("{{") && !page.contains("}}"));
    for program in crate::PROGRAMS {
        for (key, _) in (program.settings)() {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }
    for variable in ["ORCHD_MODEL_ROOTS", "POOL_MANAGERD_CONFIG", "LLORCH_NODE_TOKEN_FILE"] {
        assert!(page.contains(&format!("`{variable}`")), "{variable}");
    }
}

#[test]
fn the_faults_that_the_reference_shows_are_those_that_the_loader_tells() {
    let env = [("HOME", "/home/o"), ("ORCHD_CONFIG", "/c.toml"), ("ORCHD_GPU_POLICY", "alow-cpu")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let flags = vec![("jobs-max-attempts".to_owned(), "9".to_owned())];
    let open = |_: &Path| Ok("[admision]\ncapacity = 5".to_owned());
    let faults = Config::resolve(&Layers { flags, env, open: &open }).unwrap_err();
    let told: Vec<_> = faults.iter().map(Fault::to_string).collect();
    let page = fs::read_to_string(root().join("docs/CONFIGURATION.md")).unwrap();
    assert!(page.contains(&format!("```text\n{}\n```", told.join("\n"))), "{told:#?}");
}

#[test]
fn an_argument_that_is_not_known_is_refused() {
    let output = run(&root(), &["--chek"]);
    assert!(!output.status.success() && said(&output).contains("--chek"), "{}", said(&output));
}
