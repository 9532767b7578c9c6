//! What pages show of settings and answers is taken by those who read it.

use std::{ffi::OsString, fs, path::Path};

use tools_workspace::markdown::Mark;

use crate::pages::blocks_in;

/// What the loader asks for beside a file: a token where others reach the address, and a home for the state.
fn env() -> Vec<(String, String)> {
    vec![("LLORCH_API_TOKEN".to_owned(), "x".repeat(32)), ("HOME".to_owned(), "/".to_owned())]
}

fn fault(program: &str, file: &Path) -> Option<String> {
    let args = [OsString::from("--config"), file.into()];
    let said = match program {
        "orchestratord" => orchestratord::config::load(args, env()).err().map(|error| error.to_string()),
        "pool-managerd" => pool_managerd::config::load(args, env()).err().map(|error| error.to_string()),
        other => Some(format!("there is no program {other}")),
    };
    // A page cannot bring the files along that its settings name.
    let own = |line: &&str| !line.ends_with("cannot be read: No such file or directory (os error 2)");
    let faults = said?.lines().filter(own).collect::<Vec<_>>().join("\n");
    (!faults.is_empty()).then_some(faults)
}

#[test]
fn every_settings_block_is_taken_by_its_programs_own_loader() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (place, block) in blocks_in("toml") {
        let Mark::ConfigOf(program) = &block.mark else { continue };
        fs::write(&file, &block.text).unwrap();
        count += 1;
        wrong.extend(fault(program, &file).map(|fault| format!("{place}: {fault}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 0, "no page shows settings");
    fs::write(&file, "shutdown_grace_mss = 1\n").unwrap();
    assert!(fault("orchestratord", &file).is_some() && fault("pool-managerd", &file).is_some());
}

#[test]
fn every_json_block_is_json() {
    for (place, block) in blocks_in("json") {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
        assert!(parsed.is_ok(), "{place}: {parsed:?}");
    }
}
