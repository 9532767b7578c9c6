//! The scenarios in `features/`, run against the real programs.
//!
//! The features themselves are looked at, too: every requirement has a scenario or a reason, every step is one known
//! phrase, and every phrase is needed.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time and ends its own tasks")]
#![expect(clippy::format_collect, reason = "an expected text is read here, not made fast")]

mod coverage;
#[path = "../../../pool-managerd/tests/it/engine.rs"]
mod engine;
mod facts;
#[expect(dead_code, reason = "shared with another crate's suite, which uses more of it")]
#[path = "../../../orchestratord/tests/it/model_root.rs"]
mod model_root;
#[path = "../../../orchestratord/tests/service_registry_integration/node.rs"]
mod node;
mod phrases;
mod process;
mod programs;
mod said;
mod steps;
#[path = "../../../orchestratord/tests/it/stream.rs"]
mod stream;
mod support;
mod wording;
mod world;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use cucumber::{Cucumber, event::ScenarioFinished, writer::Stats as _};

use crate::world::World;

/// Scenarios at once: more of them only wait for two cores.
const AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    if engine::play_if_asked() {
        return ExitCode::SUCCESS;
    }
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let features = crate_folder.join("features");
    let mut problems = coverage::problems(&features, &crate_folder.join("../../.specs"));
    problems.extend(wording::problems(&features, &phrases::patterns(steps::PHRASES)));
    programs::build();
    let run = Cucumber::<World, _, PathBuf, _, _>::new()
        .steps(phrases::collection(steps::PHRASES))
        .max_concurrent_scenarios(AT_ONCE)
        .fail_on_skipped()
        .after(|_, _, scenario, finished, world| {
            Box::pin(async move {
                let failed = !matches!(finished, ScenarioFinished::StepPassed);
                let Some(world) = world else { return };
                if failed {
                    println!("{}", world.last_words(&scenario.name));
                }
                if let Some(lacks) = world.lacks {
                    println!("--- SKIPPED: `{}`, since this machine lacks {lacks}", scenario.name);
                }
                world.end();
            })
        })
        .run(features)
        .await;
    println!("{}\n{} problems in the features themselves", problems.join("\n"), problems.len());
    if problems.is_empty() && !run.execution_has_failed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
