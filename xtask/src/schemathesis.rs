//! `schemathesis`: requests made from the server's own documents, against the server, and each answer held to them.
//!
//! The tool and what it needs are pinned by hash in `schemathesis/requirements.txt`. A run is repeatable: its cases
//! come from a seed. `schemathesis/checks.py` adds what no schema can say, such as that a 503 has a reason of the contract.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    client::Client, interrupt::Interrupt, process::Process, server, setup, verdict::Verdict, workspace,
};

/// The server's, for as long as the run takes.
const TOKEN: &str = "schemathesis-schemathesis-schemathesis";
const START_LIMIT: Duration = Duration::from_mins(1);
/// Cases per operation of the slice that every development loop runs.
const SLICE: usize = 4;
/// Cases per operation of one round of a longer run.
const ROUND: usize = 60;

/// Holds the server to its documents until at least so many requests were made.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let requests = match arguments {
        [] => 1,
        [name, number] if name == "--requests" => {
            number.parse().with_context(|| format!("`--requests {number}` is no number"))?
        }
        _ => bail!("there is `cargo xtask schemathesis [--requests N]`"),
    };
    hold(requests, ROUND)
}

/// The step of the development loop.
pub(crate) fn slice() -> Result<Verdict> {
    hold(1, SLICE)
}

fn hold(requests: usize, round: usize) -> Result<Verdict> {
    let program = setup::ensure_schemathesis()?;
    workspace::run(workspace::cargo().args(["build", "--quiet", "-p", "orchestratord"]))?;
    let folder = std::env::temp_dir().join(format!("schemathesis-{}", std::process::id()));
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let outcome = Interrupt::install().and_then(|it| with_server(&program, &folder, (requests, round), &it));
    if outcome.is_ok() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    outcome.map(|()| Verdict::Good)
}

fn with_server(
    program: &Path,
    folder: &Path,
    (requests, round): (usize, usize),
    interrupt: &Interrupt,
) -> Result<()> {
    let url = format!("http://127.0.0.1:{}", server::free_port()?);
    let mut command = server::command(&workspace::binary("debug", "orchestratord")?);
    command.args(["--bind-addr", url.trim_start_matches("http://")]).env("LLORCH_API_TOKEN", TOKEN);
    command.arg("--state-dir").arg(folder.join("state"));
    let mut daemon = Process::start("orchestratord", command, &folder.join("orchestratord.log"))?;
    Client::new(interrupt).wait_until_ok(&format!("{url}/ready"), &mut [&mut daemon], START_LIMIT)?;
    let (mut made, mut seed) = (0, 1);
    while made < requests {
        let cases = one_round(program, &url, round, seed)?;
        daemon.expect_running()?;
        if interrupt.has_come() || cases == 0 {
            bail!("stopped after {made} requests");
        }
        made += cases;
        println!("{made} requests, and no answer that its document does not tell of");
        seed += 1;
    }
    daemon.stop();
    Ok(())
}

/// Runs the tool once and gives how many requests it made.
fn one_round(program: &Path, url: &str, round: usize, seed: u32) -> Result<usize> {
    let mut command = Command::new(program);
    command.current_dir(files()).env("LLORCH_API_TOKEN", TOKEN).env("PYTHONDONTWRITEBYTECODE", "1");
    command
        .args(["--config-file", "schemathesis.toml", "run", "--no-color"])
        .arg(format!("{url}/openapi.json"));
    command.args(["-n", &round.to_string(), "--seed", &seed.to_string(), "--generation-database", "none"]);
    let output = command.stdin(Stdio::null()).output().context("schemathesis could not be started")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        println!("{said}{}", String::from_utf8_lossy(&output.stderr));
        bail!("schemathesis found what the documents do not tell (seed {seed})");
    }
    cases(&said).with_context(|| format!("schemathesis did not say how much it did:\n{said}"))
}

/// The number in `3415 generated, 3415 passed`.
fn cases(said: &str) -> Option<usize> {
    let line = said.lines().rev().find(|line| line.contains(" generated"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn files() -> PathBuf {
    workspace::root().join("xtask/schemathesis")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_requests_is_read_from_the_summary() {
        let said = "Test cases:\n  3415 generated, 3415 passed, 44 skipped\n\nSeed: 1\n";
        assert_eq!(cases(said), Some(3415));
        assert_eq!(cases("nothing was done"), None);
    }

    #[test]
    fn other_arguments_are_refused_by_name() {
        let arguments = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(run(&arguments(&["--fast"])).unwrap_err().to_string().contains("--requests N"));
        let error = run(&arguments(&["--requests", "many"])).unwrap_err();
        assert!(error.to_string().contains("--requests many"), "{error}");
    }
}
