//! `simulate`: a seeded run of the scheduler's simulator, as long as asked for.
//!
//! The tests run the same simulator for seconds. This is the way to run it for an hour, and to run again the
//! seed that a failure printed.

use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, Result, bail};
use orchestrator_core::sim::{self, Options};

use crate::{verdict::Verdict, workspace};

const USUAL_EVENTS: u64 = 1_000_000;

/// Runs until the asked number of events, or until an invariant breaks.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let options = parse(arguments)?;
    println!("simulate --events {} --seed {}", options.events, options.seed);
    let begun = workspace::now();
    match sim::run(&options) {
        Ok(report) => {
            println!("{report}");
            println!("no invariant broken in {:.1} s", begun.elapsed().as_secs_f64());
            Ok(Verdict::Good)
        }
        Err(violation) => {
            println!("{violation}");
            println!(
                "run it again with: cargo xtask simulate --events {} --seed {}",
                options.events, options.seed
            );
            Ok(Verdict::Bad)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { events: USUAL_EVENTS, seed: fresh_seed() };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { bail!("`{}` has no value", pair.join(" ")) };
        let setting = match name.as_str() {
            "--events" => &mut options.events,
            "--seed" => &mut options.seed,
            other => bail!("`cargo xtask simulate` takes `--events N` and `--seed S`, but got `{other}`"),
        };
        // Underscores are taken as in Rust, since these numbers are long.
        *setting = value
            .replace('_', "")
            .parse()
            .with_context(|| format!("{name} {value} is not a whole number"))?;
    }
    Ok(options)
}

/// Another one in each run; the standard library's hasher is the only randomness at hand without a crate.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_are_taken_in_any_order_and_with_underscores() {
        let options = parsed("--seed 7 --events 2_000").unwrap();
        assert_eq!((options.events, options.seed), (2000, 7));
    }

    #[test]
    fn seed_is_fresh_when_none_is_given() {
        assert_ne!(parsed("").unwrap().seed, parsed("").unwrap().seed);
    }

    #[test]
    fn bad_argument_is_named() {
        let said = |line: &str| parsed(line).unwrap_err().to_string();
        assert!(said("--events many").contains("--events many"));
        assert!(said("--seed").contains("`--seed` has no value"));
        assert!(said("--speed 1").contains("`--speed`"));
    }
}
