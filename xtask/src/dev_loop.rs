//! `dev:loop`: every check of the project, in the order in which a mistake shows soonest.
//!
//! CI runs this very list through `.ci/run`, so a green loop here is a green build there. It stops at the
//! first failure: what comes after a broken build only repeats it.

use std::io::Write;

use anyhow::Result;

use crate::{arch, commands, regen, schemathesis, setup, tidy, verdict::Verdict, workspace};

/// How one step ended; an error means that it failed and says why.
enum Ended {
    Passed,
    Skipped(String),
    Failed,
}

struct Step {
    name: &'static str,
    run: fn() -> Result<Ended>,
}

/// The package of the scenarios, which another runner than the tests' runs.
const SCENARIOS: &str = "orchestratord-bdd";

const STEPS: &[Step] = &[
    Step { name: "fmt", run: || cargo(&["fmt", "--all", "--check"]) },
    Step {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step { name: "arch", run: || arch::run(&[]).map(Ended::from) },
    Step { name: "tidy", run: || tidy::run(&[]).map(Ended::from) },
    Step { name: "requirements", run: || check("tools-spec-extract") },
    Step { name: "map", run: || check("tools-readme-index") },
    Step { name: "openapi", run: || regen::openapi(&regen::checking()).map(Ended::from) },
    Step { name: "schema", run: || regen::schema(&regen::checking()).map(Ended::from) },
    Step { name: "deny", run: deny },
    Step { name: "setup", run: engine },
    Step { name: "tests", run: tests },
    Step { name: "bdd", run: || cargo(&["test", "--package", SCENARIOS, "--test", "bdd"]) },
    Step { name: "schemathesis", run: || unless_lacking(schemathesis::slice()) },
    Step { name: "interleavings", run: interleavings },
    Step { name: "doctests", run: || cargo(&["test", "--workspace", "--doc"]) },
];

impl From<Verdict> for Ended {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Good => Self::Passed,
            Verdict::Bad => Self::Failed,
        }
    }
}

/// Runs all steps.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    commands::no_arguments("dev:loop", arguments)?;
    run_steps(STEPS, &mut std::io::stdout())
}

fn run_steps(steps: &[Step], out: &mut dyn Write) -> Result<Verdict> {
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for step in steps {
        writeln!(out, "==> {}", step.name)?;
        out.flush()?;
        let begun = workspace::now();
        let ended = (step.run)();
        let seconds = begun.elapsed().as_secs_f64();
        match ended {
            Ok(Ended::Passed) => {
                passed += 1;
                writeln!(out, "    {} passed in {seconds:.1} s", step.name)?;
            }
            Ok(Ended::Skipped(reason)) => {
                writeln!(out, "    {} SKIPPED after {seconds:.1} s: {reason}", step.name)?;
            }
            Ok(Ended::Failed) => {
                failed += 1;
                writeln!(out, "    {} FAILED after {seconds:.1} s", step.name)?;
            }
            Err(error) => {
                failed += 1;
                writeln!(out, "    {} FAILED after {seconds:.1} s: {error:#}", step.name)?;
            }
        }
        if failed > 0 {
            break;
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 { Verdict::Good } else { Verdict::Bad })
}

fn cargo(arguments: &[&str]) -> Result<Ended> {
    workspace::run(workspace::cargo().args(arguments))?;
    Ok(Ended::Passed)
}

/// What a tool writes into the repository must be what it would write now.
fn check(tool: &str) -> Result<Ended> {
    cargo(&["run", "--package", tool, "--quiet", "--", "--check"])
}

fn deny() -> Result<Ended> {
    if !workspace::has_subcommand("deny") {
        return Ok(Ended::Skipped("cargo-deny is not installed".to_owned()));
    }
    // Advisories need a database from the network; licences, bans and sources do not.
    cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])
}

fn engine() -> Result<Ended> {
    unless_lacking(setup::ensure())
}

/// A machine without Python or network still gets every other check; a broken download does fail.
fn unless_lacking<T>(got: Result<T>) -> Result<Ended> {
    match got {
        Ok(_) => Ok(Ended::Passed),
        Err(error) => error.downcast().map(|setup::Lacking(reason)| Ended::Skipped(reason)),
    }
}

fn tests() -> Result<Ended> {
    if workspace::has_subcommand("nextest") {
        return cargo(&["nextest", "run", "--workspace"]);
    }
    // The scenarios are a step of their own.
    cargo(&["test", "--workspace", "--exclude", SCENARIOS, "--lib", "--bins", "--tests"])
}

/// The event log with locks that a tester interleaves, which is another build of the server.
fn interleavings() -> Result<Ended> {
    cargo(&["test", "-p", "orchestratord", "--features", "shuttle", "--lib", "interleavings"])
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn transcript(steps: &[Step]) -> (Verdict, String) {
        let mut out = Vec::new();
        let verdict = run_steps(steps, &mut out).unwrap();
        (verdict, String::from_utf8(out).unwrap())
    }

    #[test]
    fn first_failure_stops_the_loop_and_is_counted() {
        let steps = [
            Step { name: "one", run: || Ok(Ended::Passed) },
            Step { name: "two", run: || bail!("the reason") },
            Step { name: "three", run: || Ok(Ended::Passed) },
        ];
        let (verdict, text) = transcript(&steps);
        assert_eq!(verdict, Verdict::Bad);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed"));
        assert!(text.contains("the reason"), "{text}");
        assert!(!text.contains("three"), "{text}");
    }

    #[test]
    fn skipped_step_says_why_and_counts_as_neither() {
        let steps = [
            Step { name: "one", run: || Ok(Ended::Skipped("no network".to_owned())) },
            Step { name: "two", run: || Ok(Ended::Passed) },
        ];
        let (verdict, text) = transcript(&steps);
        assert_eq!(verdict, Verdict::Good);
        assert!(text.contains("one SKIPPED after 0.0 s: no network"), "{text}");
        assert_eq!(text.lines().last(), Some("1 passed, 0 failed"));
    }

    #[test]
    fn bad_verdict_of_a_check_fails_its_step() {
        let steps = [Step { name: "arch", run: || Ok(Ended::from(Verdict::Bad)) }];
        let (verdict, text) = transcript(&steps);
        assert_eq!(verdict, Verdict::Bad);
        assert_eq!(text.lines().last(), Some("0 passed, 1 failed"));
    }

    #[test]
    fn machine_without_python_skips_the_engine_but_a_wrong_file_fails() {
        let lacking = unless_lacking::<()>(Err(setup::Lacking("no Python".to_owned()).into()));
        assert!(matches!(lacking, Ok(Ended::Skipped(reason)) if reason == "no Python"));
        let broken = unless_lacking::<()>(Err(anyhow::anyhow!("wrong SHA-256")));
        assert!(broken.is_err_and(|error| error.to_string() == "wrong SHA-256"));
    }
}
