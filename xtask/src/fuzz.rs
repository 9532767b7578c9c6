//! `fuzz`: each fuzz target for as long as asked for, and a table of what came of it.
//!
//! The targets are a workspace of their own in `fuzz/`, since they need nightly Rust and `cargo-fuzz`. Nobody who works on
//! the product needs either, so the development loop does not come here.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{setup::Lacking, verdict::Verdict, workspace};

const USUAL_SECONDS: u64 = 60;
/// A target that holds more has found a leak.
const MEMORY_MB_MAX: u32 = 3_000;
/// An input that takes longer has found a way to stop the server.
const INPUT_SECONDS_MAX: u32 = 25;
const HEAD: [&str; 6] = ["target", "executions", "exec/s", "coverage", "new inputs", "crashes"];

/// Fuzzes one target or all of them, and fails when one of them crashed.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let folder = workspace::root().join("fuzz");
    let known = targets(&folder)?;
    let Asked { target, seconds } = parse(arguments, &known)?;
    let chosen = known.iter().filter(|name| target.as_ref().is_none_or(|target| target == *name));
    ensure_tools()?;
    println!("building the targets (minutes, the first time)");
    let mut build = cargo_fuzz("build");
    build.args(&target);
    workspace::run(&mut build)?;
    let mut rows = vec![HEAD.map(str::to_owned)];
    let mut verdict = Verdict::Good;
    for name in chosen {
        println!("{name}: {seconds} s");
        let outcome = one(&folder, name, seconds)?;
        if !outcome.crashes.is_empty() {
            verdict = Verdict::Bad;
        }
        for crash in &outcome.crashes {
            println!("  crashed on {}", crash.display());
        }
        rows.push(outcome.row(name));
    }
    print_table(&rows);
    Ok(verdict)
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// All of them without it.
    target: Option<String>,
    seconds: u64,
}

fn parse(arguments: &[String], known: &BTreeSet<String>) -> Result<Asked> {
    let mut asked = Asked { target: None, seconds: USUAL_SECONDS };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = rest.next().context("`--seconds` has no value")?;
                asked.seconds =
                    number.parse().with_context(|| format!("`--seconds {number}` is no number"))?;
            }
            name if known.contains(name) && asked.target.is_none() => asked.target = Some(name.to_owned()),
            other => {
                let names = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                bail!(
                    "there is `cargo xtask fuzz [TARGET] [--seconds N]`, but got `{other}`; targets: {names}"
                );
            }
        }
    }
    Ok(asked)
}

/// The targets are the files in their folder.
fn targets(folder: &Path) -> Result<BTreeSet<String>> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(files_in(&folder.join("fuzz_targets"))?.iter().filter_map(|path| stem(path)).collect())
}

fn ensure_tools() -> Result<()> {
    let works = |command: &mut Command| {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    };
    if !works(Command::new("rustup").args(["run", "nightly", "cargo", "--version"])) {
        return Err(Lacking("nightly Rust is missing: rustup toolchain install nightly".to_owned()).into());
    }
    if !works(Command::new("rustup").args(["run", "nightly", "cargo", "fuzz", "--version"])) {
        return Err(Lacking("cargo-fuzz is missing: cargo install cargo-fuzz --locked".to_owned()).into());
    }
    Ok(())
}

fn cargo_fuzz(what: &str) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(workspace::root()).args(["run", "nightly", "cargo", "fuzz", what]);
    // Our code holds no `unsafe`, so what a sanitizer looks for is not there, and it halves the speed.
    command.args(["--sanitizer", "none"]);
    command
}

/// What one target did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    said: Said,
    crashes: Vec<PathBuf>,
}

impl Outcome {
    fn row(&self, name: &str) -> [String; 6] {
        let Said { executions, per_second, coverage, new_inputs } = self.said;
        let crashes = self.crashes.len() as u64;
        let shown = |number: u64| number.to_string();
        [
            name.to_owned(),
            shown(executions),
            shown(per_second),
            shown(coverage),
            shown(new_inputs),
            shown(crashes),
        ]
    }
}

fn one(folder: &Path, name: &str, seconds: u64) -> Result<Outcome> {
    let (corpus, artifacts, logs) =
        (folder.join("corpus").join(name), folder.join("artifacts").join(name), folder.join("target/logs"));
    for needed in [&corpus, &artifacts, &logs] {
        fs::create_dir_all(needed).with_context(|| format!("cannot make {}", needed.display()))?;
    }
    let before = files_in(&artifacts)?;
    let log = logs.join(format!("{name}.log"));
    let mut command = cargo_fuzz("run");
    command.arg(name).arg(&corpus);
    // What it learns goes into the first folder; the seeds stay as they are.
    let seeds = folder.join("corpus-seed").join(name);
    command.args(seeds.is_dir().then_some(&seeds)).arg("--");
    command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    command.arg(format!("-rss_limit_mb={MEMORY_MB_MAX}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = command.status().context("rustup could not be started")?;
    let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let said = said(&String::from_utf8_lossy(&text));
    let crashes: Vec<PathBuf> = files_in(&artifacts)?.difference(&before).cloned().collect();
    match said {
        Some(said) if status.success() || !crashes.is_empty() => Ok(Outcome { said, crashes }),
        _ => bail!("{name} ended with {status}; what it said is in {}", log.display()),
    }
}

fn files_in(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// The numbers at the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    executions: u64,
    per_second: u64,
    coverage: u64,
    new_inputs: u64,
}

/// Reads them off the log. A run without a single execution has none.
fn said(log: &str) -> Option<Said> {
    let behind = |mark: &str| {
        let rest = log.rsplit_once(mark)?.1;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some(Said {
        executions: behind("stat::number_of_executed_units:")?,
        per_second: behind("stat::average_exec_per_sec:")?,
        coverage: behind(" cov: ").unwrap_or(0),
        new_inputs: behind("stat::new_units_added:")?,
    })
}

fn print_table(rows: &[[String; 6]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in rows {
        let numbers = (1..6).map(|column| format!("  {:>1$}", row[column], widths[column]));
        println!("{:<2$}{}", row[0], numbers.collect::<String>(), widths[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked> {
        let known = BTreeSet::from(["core_ops".to_owned(), "sse_chunks".to_owned()]);
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &known)
    }

    #[test]
    fn target_and_time_are_taken_in_any_order() {
        assert_eq!(parsed("").unwrap(), Asked { target: None, seconds: USUAL_SECONDS });
        let one = Asked { target: Some("core_ops".to_owned()), seconds: 5 };
        assert_eq!(parsed("core_ops --seconds 5").unwrap(), one);
        assert_eq!(parsed("--seconds 5 core_ops").unwrap(), one);
    }

    #[test]
    fn what_is_no_target_is_answered_with_the_targets() {
        let said = |line: &str| format!("{:#}", parsed(line).unwrap_err());
        assert!(said("core_opps").contains("targets: core_ops, sse_chunks"), "{}", said("core_opps"));
        assert!(said("core_ops sse_chunks").contains("`sse_chunks`"));
        assert!(said("--seconds").contains("no value"));
        assert!(said("--seconds soon").contains("--seconds soon"));
    }

    #[test]
    fn numbers_are_read_off_the_end_of_a_log() {
        let log = "#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#9\tDONE   cov: 31 ft: 40 corp: 4/9b lim: 4 exec/s: 0\n\
            stat::number_of_executed_units: 726135\nstat::average_exec_per_sec:     1208\n\
            stat::new_units_added:          4196\nstat::peak_rss_mb:              35\n";
        let expected = Said { executions: 726_135, per_second: 1_208, coverage: 31, new_inputs: 4_196 };
        assert_eq!(said(log), Some(expected));
        assert_eq!(said("error: could not compile"), None);
    }

    #[test]
    fn every_target_has_its_row_in_the_manifest() {
        let folder = workspace::root().join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let targets = targets(&folder).unwrap();
        assert!(!targets.is_empty());
        for name in &targets {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
    }
}
