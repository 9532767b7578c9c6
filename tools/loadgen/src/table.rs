//! The table: every figure that the product promises, beside its control and its aim, from one command.
//!
//! Promises of speed that nobody measures together drift apart from what is true. Each part of the table starts
//! what it needs, checks every token that it counts, and stops what it started; a part that fails says so in
//! the table, and the others go on.

mod arrivals;
mod first_token;
mod many;
mod overload;
mod relayed;
mod resume;
mod row;
mod scheduler;
mod start;
mod streams;
mod task;
mod waiting;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use self::row::Row;
use crate::relay::conditions;

/// Options of `table`.
#[derive(Args)]
pub(crate) struct TableArgs {
    /// The server's executable.
    #[arg(long)]
    orchestratord: PathBuf,
    /// Only these parts, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Shorter measurements: the whole in a few minutes.
    #[arg(long)]
    quick: bool,
    /// Writes the figures to this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A token relayed under `/v1/chat/completions`.
    RelayOpenai,
    /// A token relayed under `/v2/tasks`.
    RelayNative,
    /// The time that is added to a first token.
    FirstToken,
    /// One small task.
    Task,
    /// One task with a prompt of 400 KB.
    Prompt,
    /// Memory of open streams.
    Streams,
    /// Memory of readers that wait.
    Waiting,
    /// Ten thousand readers that come back at once.
    Resume,
    /// The scheduler by itself.
    Scheduler,
    /// Ten times the work that can be done.
    Overload,
    /// A million tasks one after the other.
    Million,
    /// From the start to ready, and the size of the executable.
    Start,
}

/// No part takes longer unless it hangs.
const PART_TIMEOUT: Duration = Duration::from_mins(40);

/// What the parts need to know.
struct Bench {
    server: PathBuf,
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Quick,
    Full,
}

impl Bench {
    /// The one or the other, by how long it may take.
    fn pick<T>(&self, quick: T, full: T) -> T {
        match self.length {
            Length::Quick => quick,
            Length::Full => full,
        }
    }
}

/// Measures and prints; a signal ends it and everything that it started.
pub(crate) async fn run(args: &TableArgs) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = all(args) => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn all(args: &TableArgs) -> Result<()> {
    let length = if args.quick { Length::Quick } else { Length::Full };
    let bench = Bench { server: args.orchestratord.clone(), length };
    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    let conditions = conditions();
    println!("{conditions}\n\n{}", row::HEAD);
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for part in parts {
        eprintln!("measuring {} ...", part.name());
        let measured = timeout(PART_TIMEOUT, part.measure(&bench)).await;
        match measured.context("it did not end in time").flatten() {
            Ok(measured) => {
                for row in measured {
                    println!("{}", row.line(&part.name()));
                    rows.push(row.json(&part.name()));
                }
            }
            Err(error) => {
                println!("{:<13} FAILED: {error:#}", part.name());
                failures.push(part.name());
            }
        }
    }
    if let Some(file) = &args.json {
        let text = json!({ "conditions": conditions, "rows": rows, "failed": failures });
        fs::write(file, format!("{text:#}\n"))
            .with_context(|| format!("--json: cannot write {}", file.display()))?;
    }
    ensure!(failures.is_empty(), "these parts failed: {}", failures.join(", "));
    Ok(())
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    async fn measure(self, bench: &Bench) -> Result<Vec<Row>> {
        match self {
            Self::RelayOpenai => relayed::openai(bench).await,
            Self::RelayNative => relayed::native(bench).await,
            Self::FirstToken => first_token::measure(bench).await,
            Self::Task => task::small(bench).await,
            Self::Prompt => task::long_prompt(bench).await,
            Self::Streams => streams::measure(bench).await,
            Self::Waiting => waiting::measure(bench).await,
            Self::Resume => resume::measure(bench).await,
            Self::Scheduler => scheduler::measure(bench),
            Self::Overload => overload::measure(bench).await,
            Self::Million => many::measure(bench).await,
            Self::Start => start::measure(bench).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_asked_for_by_a_name_of_its_own() {
        let mut names: Vec<_> = Part::value_variants().iter().map(|part| part.name()).collect();
        assert_eq!(Part::from_str("relay-openai", false), Ok(Part::RelayOpenai));
        assert!(names.iter().all(|name| name.len() <= 13), "the table's first column is narrower: {names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Part::value_variants().len());
        Part::from_str("relay", false).unwrap_err();
    }

    #[tokio::test]
    async fn part_that_fails_is_told_and_fails_the_command() {
        let args = TableArgs {
            orchestratord: "/nonexistent/orchestratord".into(),
            only: vec![Part::Start],
            quick: true,
            json: None,
        };
        assert!(all(&args).await.unwrap_err().to_string().contains("start"));
    }
}
