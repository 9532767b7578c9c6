//! What a real process makes of its configuration.

use std::fs;

use tempfile::TempDir;

use crate::daemon::Daemon;

//= ORCH-3321 type=test
//= ORCH-3322 type=test
#[tokio::test]
async fn a_start_with_faults_tells_all_of_them_and_ends_with_its_own_code() {
    let state = TempDir::new().unwrap();
    let file = state.path().join("orchestratord.toml");
    fs::write(&file, "[admision]\ncapacity = 5\n[limits]\nconnections_max = \"5\"\n").unwrap();
    let settings =
        [("ORCHD_CONFIG", file.to_str().unwrap()), ("ORCHD_GPU_POLICY", "cpu"), ("ORCHD_BIND_ADR", "x")];
    let (code, said) = Daemon::refuses(state.path(), &settings).await;
    assert_eq!(code, Some(78), "{said}");
    let faults = [
        "file key admision: is not a setting; did you mean admission?",
        "file key limits.connections_max: is a string; write the number without quotes",
        "environment ORCHD_GPU_POLICY: `cpu` is not one of vram-only, allow-cpu",
        "environment ORCHD_BIND_ADR: is not a setting; did you mean ORCHD_BIND_ADDR?",
    ];
    for fault in faults {
        assert!(said.lines().any(|line| line == fault), "{fault} in {said}");
    }
    assert_eq!(said.lines().count(), faults.len(), "{said}");
}
