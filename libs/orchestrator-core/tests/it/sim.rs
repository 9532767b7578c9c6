//! Random worlds by the million; a seed that fails is printed and fails again.

use std::hash::{BuildHasher, Hasher, RandomState};

use orchestrator_core::sim::{self, Accuracy, Options, Report};

fn run(events: u64, seed: u64) -> Report {
    match sim::run(&Options { events, seed }) {
        Ok(report) => report,
        Err(violation) => panic!("{violation}"),
    }
}

//= ORCH-3004 type=test
//= ORCH-3005 type=test
//= ORCH-3010 type=test
//= ORCH-3011 type=test
//= ORCH-3012 type=test
//= ORCH-3017 type=test
//= ORCH-3024 type=test
//= ORCH-3026 type=test
#[test]
fn a_million_random_events_break_no_invariant_and_reach_every_rare_state() {
    let mut report = run(200_000, 1);
    for seed in 2..=6 {
        report.add(&run(200_000, seed));
    }
    println!("{report}");
    assert!(report.events >= 1_000_000);
    assert_eq!(report.never_reached(), Vec::<&str>::new(), "the workload has become too tame");
    assert!(report.accepted() > report.events / 10, "hardly any job came in");
    assert!(report.rejected() > 0, "no job was ever turned away");
}

#[test]
fn a_seed_that_was_never_tried_breaks_no_invariant() {
    // The keys of a new hash map come from the operating system.
    let seed = RandomState::new().build_hasher().finish();
    println!("{}", run(200_000, seed));
}

#[test]
fn the_same_seed_gives_the_same_effects_and_another_seed_gives_others() {
    let first = run(100_000, 7);
    assert_eq!(first, run(100_000, 7));
    assert_ne!(first.trace, run(100_000, 8).trace);
}

//= ORCH-3060 type=test
//= ORCH-3061 type=test
#[test]
fn predictions_are_true_over_many_laws_loads_and_seeds() {
    let mut all = Accuracy::default();
    for seed in 1..=3 {
        let found = sim::accuracy(seed, 16);
        println!("seed {seed}\n{found}");
        all.add(&found);
    }
    println!("all\n{all}");
    assert!(all.measured() > 10_000 && all.returned() > 500, "the worlds have become too tame");
    assert!(all.median_error() <= 15.0, "median error {}", all.median_error());
    assert!((85.0..=95.0).contains(&all.coverage()), "coverage {}", all.coverage());
    assert!(all.let_in() >= 95.0, "come in {}", all.let_in());
}
