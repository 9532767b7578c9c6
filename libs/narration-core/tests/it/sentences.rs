//! The sentences themselves, over every moment and any number.

use std::time::Duration;

use narration_core::{
    Class, Ending, EngineMoment, HUMAN_CHARS_MAX, Narration, NodeMoment, Phase, PoolMoment, Refusal,
};
use proptest::prelude::*;

const CLASSES: [Class; 2] = [Class::Interactive, Class::Batch];
const PHASES: [Phase; 2] = [Phase::Queued, Phase::Running];
const POOLS: [PoolMoment; 4] =
    [PoolMoment::Drained, PoolMoment::Reloads, PoolMoment::Purged, PoolMoment::Resumes];
const ENGINES: [EngineMoment; 4] =
    [EngineMoment::Starts, EngineMoment::Ready, EngineMoment::Stops, EngineMoment::Lost];
const NODES: [NodeMoment; 5] = [
    NodeMoment::Registers,
    NodeMoment::Online,
    NodeMoment::Offline,
    NodeMoment::Leaves,
    NodeMoment::Quarantined,
];
const REFUSALS: [Refusal; 19] = [
    Refusal::NoPool,
    Refusal::UnknownPin,
    Refusal::NoSuchModel,
    Refusal::NoSuchWorkload,
    Refusal::Context,
    Refusal::Device,
    Refusal::Vram,
    Refusal::Node,
    Refusal::Unready,
    Refusal::Unreachable,
    Refusal::Deadline,
    Refusal::QueueFull,
    Refusal::NothingToDrop,
    Refusal::DuplicateId,
    Refusal::Poisoned,
    Refusal::Turns,
    Refusal::Budget,
    Refusal::Sessions,
    Refusal::ShuttingDown,
];
const ENDINGS: [Ending; 12] = [
    Ending::Stop,
    Ending::Length,
    Ending::Canceled,
    Ending::DeadlinePassed,
    Ending::Dropped,
    Ending::EngineLost,
    Ending::TimedOut,
    Ending::Refused,
    Ending::Poisoned,
    Ending::BudgetSpent,
    Ending::Drained,
    Ending::ShuttingDown,
];

/// Every moment that there is, with these numbers in it.
fn all(small: u32, big: u64, time: Duration) -> Vec<Narration> {
    let mut moments = vec![
        Narration::placement_decided(small, time),
        Narration::stream_started(time),
        Narration::drain_started(big, u64::from(small), time),
        Narration::drain_ended(big, time),
        Narration::pool_drains(time),
        Narration::nodes_silent(big, big),
        Narration::nodes_heard(),
    ];
    moments.extend(CLASSES.map(|class| Narration::admission_accepted(class, small, time)));
    moments.extend(REFUSALS.map(|refusal| Narration::admission_refused(refusal, None)));
    moments.extend(REFUSALS.map(|refusal| Narration::admission_refused(refusal, Some(time))));
    moments.extend(ENDINGS.map(|ending| Narration::stream_ended(ending, big, time)));
    moments.extend(PHASES.map(Narration::job_canceled));
    moments.extend(POOLS.map(Narration::pool));
    moments.extend(NODES.map(Narration::node));
    moments.extend(ENGINES.map(Narration::engine));
    moments
}

fn check(moment: Narration) {
    let human = moment.human();
    assert!(human.chars().count() <= HUMAN_CHARS_MAX, "{} characters: {human}", human.chars().count());
    assert!(human.ends_with('.') && human.starts_with(char::is_uppercase), "{human}");
    // Small alphabet, short runs of digits: neither a UUID nor a digest nor a token has room in it.
    assert!(human.chars().all(|c| c.is_ascii_alphanumeric() || " .,;".contains(c)), "{human}");
    for word in human.split(' ') {
        let mixed = word.contains(|c: char| c.is_ascii_digit()) && word.contains(char::is_alphabetic);
        assert!(!mixed && word.len() <= 12, "{word:?} in {human}");
    }
}

proptest! {
    //= ORCH-3301 type=test
    //= ORCH-3303 type=test
    //= ORCH-3304 type=test
    #[test]
    fn a_sentence_is_short_and_holds_nothing_but_words_and_numbers(
        small in any::<u32>(), big in any::<u64>(), ms in any::<u64>()
    ) {
        for moment in all(small, big, Duration::from_millis(ms)) {
            check(moment);
        }
    }
}

#[test]
fn the_longest_numbers_fit() {
    let longest = [0, 999, 59_999, 3_599_999, 86_399_999, u64::MAX].map(Duration::from_millis);
    for time in longest {
        for (small, big) in [(0, 0), (1, 1), (1_000_000, 1_000_000), (u32::MAX, u64::MAX)] {
            all(small, big, time).into_iter().for_each(check);
        }
    }
}

//= ORCH-3302 type=test
#[test]
fn sentences_are_in_the_present_tense() {
    for moment in all(3, 7, Duration::from_millis(45)) {
        let human = moment.human();
        let past =
            [" was ", " were ", " will ", " has been ", " had ", "accepted", "canceled", "ended", "started"];
        assert!(!past.iter().any(|word| human.contains(word)), "{human}");
    }
}

//= ORCH-3307 type=test
#[test]
fn admission_says_what_is_ahead_or_why_not() {
    let accepted = Narration::admission_accepted(Class::Interactive, 3, Duration::from_millis(1_250));
    assert_eq!(
        accepted.human(),
        "Admission accepts an interactive job with 3 jobs ahead; it starts in 1.2 s."
    );
    let refused = Narration::admission_refused(Refusal::QueueFull, Some(Duration::from_secs(5)));
    assert_eq!(
        refused.human(),
        "Admission refuses a job because the queue is full; it suggests a retry in 5.0 s."
    );
}

//= ORCH-3308 type=test
#[test]
fn placement_tells_a_second_attempt() {
    let first = Narration::placement_decided(1, Duration::from_millis(45));
    assert_eq!(first.human(), "Placement gives a job a slot after 45 ms of waiting.");
    let second = Narration::placement_decided(2, Duration::from_millis(45));
    assert_eq!(second.human(), "Placement gives a job a slot on attempt 2, after 45 ms of waiting.");
}

//= ORCH-3309 type=test
//= ORCH-3310 type=test
//= ORCH-3311 type=test
#[test]
fn streams_cancels_and_drains_have_their_sentences() {
    let told = [
        Narration::stream_started(Duration::from_millis(120)).human(),
        Narration::stream_ended(Ending::Length, 256, Duration::from_secs(2)).human(),
        Narration::job_canceled(Phase::Queued).human(),
        Narration::drain_started(4, 0, Duration::from_secs(8)).human(),
        Narration::drain_ended(1, Duration::from_millis(80)).human(),
    ];
    assert_eq!(
        told,
        [
            "The engine sends its first text 120 ms after dispatch.",
            "The stream ends because the token limit is reached, after 256 tokens in 2.0 s.",
            "A client cancels a job that is still queued.",
            "The server drains 4 jobs running and no jobs queued within 8.0 s.",
            "The server is empty after 80 ms; it cuts off 1 job.",
        ]
    );
}

//= ORCH-3312 type=test
#[test]
fn pools_and_nodes_have_their_sentences() {
    let told = [
        Narration::pool_drains(Duration::from_secs(30)).human(),
        Narration::pool(PoolMoment::Reloads).human(),
        Narration::node(NodeMoment::Offline).human(),
        Narration::nodes_silent(3, 5).human(),
    ];
    assert_eq!(
        told,
        [
            "The pool takes nothing new; what it runs ends within 30.0 s.",
            "The pool changes to another model, one engine after the other.",
            "A node is silent for too long; its engines get nothing new.",
            "The registry misses 3 nodes at once, of 5 nodes; it gives up none yet.",
        ]
    );
}

//= ORCH-3300 type=test
#[test]
fn every_moment_names_its_actor_its_action_and_its_target() {
    let moments = all(1, 1, Duration::ZERO);
    let actors =
        ["admission", "agent", "client", "engine", "node", "operator", "placement", "registry", "server"];
    let mut seen: Vec<_> = moments.iter().map(Narration::actor).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, actors);
    for moment in moments {
        assert!(["job", "stream", "pool", "pools", "node", "nodes", "engine"].contains(&moment.target()));
        assert!(!moment.action().is_empty());
    }
}
