//! An engine's life told as stories, and at random.

use std::collections::VecDeque;

use proptest::{prelude::*, test_runner::Config};

use super::*;

const RULES: Rules = Rules {
    keeper: Keeper::Agent,
    warm_up: WarmUp::OneToken,
    ready_timeout: Duration::from_secs(30),
    rest_first: Duration::from_secs(1),
};

/// A machine with its own clock, and the effects that it still waits for.
struct Bench {
    machine: Machine,
    now: Moment,
    seen: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        Self::with(RULES)
    }

    fn with(rules: Rules) -> Self {
        let (machine, seen) = Machine::new(rules);
        Self { machine, now: Duration::ZERO, seen }
    }

    fn tell(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.machine.handle(self.now, event);
        self.seen.extend(effects.clone());
        effects
    }

    fn order(&mut self, order: Order) -> Result<Vec<Effect>, Busy> {
        let effects = self.machine.order(self.now, order)?;
        self.seen.extend(effects.clone());
        Ok(effects)
    }

    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.now += Duration::from_secs(seconds);
        self.tell(Event::Tick)
    }

    fn come_up(&mut self) {
        self.tell(Event::Prepared(Ok(())));
        self.tell(Event::Answered { busy: 0 });
        self.tell(Event::WarmedUp(Ok(())));
    }

    fn ready() -> Self {
        let mut bench = Self::new();
        bench.come_up();
        assert!(bench.machine.is_ready());
        bench
    }
}

fn error(machine: &Machine) -> &str {
    machine.last_error().unwrap_or_default()
}

//= ORCH-3002 type=test
#[test]
fn an_engine_is_ready_only_after_its_first_token() {
    let mut bench = Bench::new();
    assert_eq!(bench.seen, [Effect::Prepare(Which::Committed)]);
    assert_eq!(bench.tell(Event::Prepared(Ok(()))), [Effect::Spawn(Which::Committed)]);
    assert_eq!(bench.tell(Event::Silent), []);
    assert_eq!(bench.tell(Event::Answered { busy: 0 }), [Effect::WarmUp]);
    assert!(!bench.machine.is_ready() && bench.machine.is_live());
    bench.tell(Event::Answered { busy: 1 });
    assert!(!bench.machine.is_ready());
    bench.tell(Event::WarmedUp(Ok(())));
    assert!(bench.machine.is_ready());
}

//= ORCH-3003 type=test
#[test]
fn an_engine_that_ends_while_it_loads_is_reported_at_once() {
    let mut bench = Bench::new();
    bench.tell(Event::Prepared(Ok(())));
    bench.tell(Event::Exited("exit code 1: bad magic".into()));
    assert_eq!(error(&bench.machine), "exit code 1: bad magic");
    assert_eq!(bench.machine.phase(), "resting");
    assert_eq!(bench.pass(1), [Effect::Prepare(Which::Committed)]);
}

//= ORCH-3003 type=test
#[test]
fn an_engine_that_takes_too_long_is_stopped_and_that_is_said() {
    let mut bench = Bench::new();
    bench.tell(Event::Prepared(Ok(())));
    assert_eq!(bench.pass(29), []);
    assert_eq!(bench.pass(1), [Effect::Stop]);
    bench.tell(Event::Exited("killed".into()));
    assert_eq!(error(&bench.machine), "the engine was not ready within 30000 ms; killed");
}

#[test]
fn a_first_token_that_fails_is_a_failed_start() {
    let mut bench = Bench::new();
    bench.tell(Event::Prepared(Ok(())));
    bench.tell(Event::Answered { busy: 0 });
    assert_eq!(bench.tell(Event::WarmedUp(Err("no".into()))), [Effect::Stop]);
    bench.tell(Event::Exited("exit code 0".into()));
    assert_eq!(error(&bench.machine), "the first token failed: no; exit code 0");
}

//= ORCH-3441 type=test
#[test]
fn six_losses_in_ten_minutes_open_the_breaker_and_one_try_follows_after_ten() {
    let mut bench = Bench::new();
    for wait in [1, 2, 4, 8, 16] {
        bench.come_up();
        bench.tell(Event::Exited("killed by signal 9".into()));
        assert_eq!(bench.machine.phase(), "resting");
        assert_eq!(bench.pass(wait), [Effect::Prepare(Which::Committed)]);
    }
    bench.come_up();
    assert_eq!(bench.tell(Event::Exited("killed by signal 9".into())), [Effect::Lost]);
    assert_eq!(bench.machine.phase(), "failed");
    assert!(error(&bench.machine).contains("6 failures") && error(&bench.machine).contains("signal 9"));
    assert_eq!(bench.pass(599), []);
    assert_eq!(bench.pass(1), [Effect::Prepare(Which::Committed)]);
    bench.tell(Event::Prepared(Err(NotPrepared::Failed("again".into()))));
    assert_eq!(bench.machine.phase(), "failed");
    assert_eq!(bench.order(Order::Resume).unwrap(), [Effect::Prepare(Which::Committed)]);
}

//= ORCH-3441 type=test
#[test]
fn five_minutes_of_health_forget_earlier_losses() {
    let mut bench = Bench::ready();
    for _ in 0..20 {
        bench.pass(300);
        bench.tell(Event::Exited("gone".into()));
        assert_eq!(bench.pass(1), [Effect::Prepare(Which::Committed)]);
        bench.come_up();
    }
}

#[test]
fn an_engine_that_hangs_is_not_ready_and_then_stopped() {
    let mut bench = Bench::ready();
    bench.tell(Event::Silent);
    assert!(bench.machine.is_ready());
    bench.tell(Event::Silent);
    assert!(!bench.machine.is_ready());
    assert_eq!(error(&bench.machine), "the engine does not answer");
    bench.tell(Event::Answered { busy: 0 });
    assert!(bench.machine.is_ready());
    bench.tell(Event::Silent);
    bench.pass(60);
    assert_eq!(bench.tell(Event::Silent), [Effect::Stop]);
}

#[test]
fn an_engine_of_somebody_else_is_looked_at_and_never_touched() {
    let mut bench = Bench::with(Rules { keeper: Keeper::Other, ..RULES });
    bench.tell(Event::Prepared(Ok(())));
    assert_eq!(bench.pass(3_600), []);
    bench.tell(Event::Answered { busy: 0 });
    assert!(bench.machine.is_ready());
    bench.tell(Event::Silent);
    bench.pass(600);
    assert_eq!(bench.tell(Event::Silent), []);
    assert!(!bench.machine.is_ready());
    let within = Duration::ZERO;
    assert_eq!(bench.order(Order::Reload { within }), Err(Busy::NotOurs));
    assert_eq!(bench.order(Order::Purge { within: None, rest: Rest::Stops }), Err(Busy::NotOurs));
    assert!(!bench.seen.contains(&Effect::Stop));
}

#[test]
fn a_drain_ends_with_the_last_stream_or_at_its_deadline() {
    let within = Duration::from_secs(10);
    let ended = Effect::Finished(OperationKind::Drain, Ok(()));
    let mut bench = Bench::ready();
    bench.tell(Event::Answered { busy: 2 });
    assert_eq!(bench.order(Order::Drain { within }).unwrap(), []);
    assert_eq!(bench.machine.next_wake(), Some(within));
    bench.tell(Event::Answered { busy: 1 });
    assert_eq!(bench.tell(Event::Answered { busy: 0 }), std::slice::from_ref(&ended));
    assert!(bench.machine.is_draining() && bench.machine.is_ready());
    bench.order(Order::Resume).unwrap();
    assert!(!bench.machine.is_draining());

    bench.tell(Event::Answered { busy: 2 });
    bench.order(Order::Drain { within }).unwrap();
    assert_eq!(bench.pass(10), [ended]);
}

#[test]
fn a_pool_takes_work_again_also_while_it_drains() {
    let within = Duration::from_secs(10);
    let mut bench = Bench::ready();
    bench.tell(Event::Answered { busy: 2 });
    bench.order(Order::Drain { within }).unwrap();
    let effects = bench.order(Order::Resume).unwrap();
    let given_up = |effect: &Effect| matches!(effect, Effect::Finished(OperationKind::Drain, Err(_)));
    assert!(effects.len() == 1 && given_up(&effects[0]), "{effects:?}");
    assert!(bench.machine.is_ready() && !bench.machine.is_draining());
    assert_eq!(bench.pass(10), []);
}

//= ORCH-3443 type=test
#[test]
fn a_reload_stops_the_old_engine_only_after_its_check_and_commits_only_after_the_first_token() {
    let mut bench = Bench::ready();
    let within = Duration::from_secs(10);
    assert_eq!(bench.order(Order::Reload { within }).unwrap(), [Effect::Check]);
    assert!(bench.machine.is_ready() && !bench.machine.is_draining());
    assert_eq!(bench.tell(Event::Checked(Ok(()))), [Effect::Stop]);
    assert!(bench.machine.is_draining());
    assert_eq!(bench.tell(Event::Exited("exit code 0".into())), [Effect::Prepare(Which::Candidate)]);
    bench.tell(Event::Prepared(Ok(())));
    bench.tell(Event::Answered { busy: 0 });
    assert_eq!(bench.tell(Event::WarmedUp(Ok(()))), [Effect::Commit]);
    assert!(!bench.machine.is_ready());
    let ended = bench.tell(Event::Committed(Ok(())));
    assert_eq!(ended, [Effect::Finished(OperationKind::Reload, Ok(()))]);
    assert!(bench.machine.is_ready() && !bench.machine.is_draining());
    assert_eq!(bench.machine.which, Which::Committed);
}

//= ORCH-3443 type=test
// N11
#[test]
fn a_reload_whose_check_fails_never_touches_the_old_engine() {
    let mut bench = Bench::ready();
    bench.order(Order::Reload { within: Duration::ZERO }).unwrap();
    let ended = bench.tell(Event::Checked(Err("no file".into())));
    assert_eq!(ended, [Effect::Finished(OperationKind::Reload, Err("no file".into()))]);
    assert!(bench.machine.is_ready() && !bench.seen.contains(&Effect::Stop));
}

//= ORCH-3443 type=test
// N11
#[test]
fn a_candidate_that_fails_brings_the_old_model_back_without_a_second_try() {
    type Failure = fn(&mut Bench);
    let failures: [(&str, Failure); 4] = [
        ("refused", |it| drop(it.tell(Event::Prepared(Err(NotPrepared::Refused("refused".into())))))),
        ("exit code 1", |it| {
            it.tell(Event::Prepared(Ok(())));
            it.tell(Event::Exited("exit code 1".into()));
        }),
        ("the first token failed", |it| {
            it.tell(Event::Prepared(Ok(())));
            it.tell(Event::Answered { busy: 0 });
            it.tell(Event::WarmedUp(Err("x".into())));
            it.tell(Event::Exited("killed".into()));
        }),
        ("disk full", |it| {
            it.tell(Event::Prepared(Ok(())));
            it.tell(Event::Answered { busy: 0 });
            it.tell(Event::WarmedUp(Ok(())));
            it.tell(Event::Committed(Err("disk full".into())));
            it.tell(Event::Exited("killed".into()));
        }),
    ];
    for (why, fail) in failures {
        let mut bench = Bench::ready();
        bench.order(Order::Reload { within: Duration::ZERO }).unwrap();
        bench.tell(Event::Checked(Ok(())));
        bench.tell(Event::Exited("exit code 0".into()));
        fail(&mut bench);
        assert_eq!(bench.seen.last(), Some(&Effect::Prepare(Which::Committed)), "{why}");
        bench.come_up();
        assert!(bench.machine.is_ready(), "{why}");
        let Some(Effect::Finished(OperationKind::Reload, Err(told))) = bench.seen.last() else {
            panic!("{why}: {:?}", bench.seen)
        };
        assert!(told.contains(why), "{told}");
    }
}

//= ORCH-3443 type=test
#[test]
fn a_reload_whose_old_model_fails_too_ends_and_the_old_one_is_tried_on() {
    let mut bench = Bench::ready();
    bench.order(Order::Reload { within: Duration::ZERO }).unwrap();
    bench.tell(Event::Checked(Ok(())));
    bench.tell(Event::Exited("exit code 0".into()));
    bench.tell(Event::Prepared(Err(NotPrepared::Failed("new".into()))));
    bench.tell(Event::Prepared(Err(NotPrepared::Refused("old".into()))));
    let both = "new; and the old model failed: old".to_owned();
    assert_eq!(bench.seen.last(), Some(&Effect::Finished(OperationKind::Reload, Err(both))));
    assert_eq!(bench.pass(1), [Effect::Prepare(Which::Committed)]);
}

#[test]
fn a_purge_keeps_what_runs_unless_it_is_forced() {
    let mut bench = Bench::ready();
    bench.tell(Event::Answered { busy: 3 });
    let at_once = |rest| Order::Purge { within: None, rest };
    assert_eq!(bench.order(at_once(Rest::Keeps)), Err(Busy::Streams(3)));
    let within = Some(Duration::from_secs(5));
    bench.order(Order::Purge { within, rest: Rest::Keeps }).unwrap();
    assert!(matches!(bench.pass(5)[..], [Effect::Finished(OperationKind::Purge, Err(_))]));
    assert!(bench.machine.is_ready() && !bench.machine.is_draining());
    assert_eq!(bench.order(at_once(Rest::Stops)).unwrap(), [Effect::Stop]);
    assert_eq!(bench.tell(Event::Exited("exit code 0".into())), [Effect::CleanUp]);
    let ended = bench.tell(Event::CleanedUp(Ok(())));
    assert_eq!(ended, [Effect::Finished(OperationKind::Purge, Ok(()))]);
    assert!(bench.machine.is_down());
    assert_eq!(bench.pass(3_600), []);
    assert_eq!(bench.order(Order::Resume).unwrap(), [Effect::Prepare(Which::Committed)]);
}

// N13
#[test]
fn of_two_operations_at_once_the_second_is_refused() {
    let mut bench = Bench::ready();
    let within = Duration::from_secs(10);
    bench.order(Order::Reload { within }).unwrap();
    for order in
        [Order::Drain { within }, Order::Reload { within }, Order::Purge { within: None, rest: Rest::Stops }]
    {
        assert_eq!(bench.order(order), Err(Busy::Operation(OperationKind::Reload)));
    }
}

#[test]
fn a_refusal_is_looked_at_again_after_a_minute() {
    let mut bench = Bench::new();
    bench.tell(Event::Prepared(Err(NotPrepared::Refused("no cmake".into()))));
    assert_eq!((bench.machine.phase(), error(&bench.machine)), ("refused", "no cmake"));
    assert_eq!(bench.pass(59), []);
    assert_eq!(bench.pass(1), [Effect::Prepare(Which::Committed)]);
}

/// What may happen, in any order that a shell could produce.
fn any_step() -> impl Strategy<Value = u8> {
    0_u8..16
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, cases: 512, ..Config::default() })]

    /// The shell owes an answer to each effect. Whatever the answers and orders are: one process at most,
    /// each operation ends once, and when all goes well from some point on, the engine is ready in the end.
    #[test]
    fn the_machine_holds_its_invariants_and_comes_back(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut bench = Bench::new();
        let mut owed: VecDeque<Effect> = bench.seen.drain(..).collect();
        let (mut running, mut open) = (false, 0_u32);
        for step in steps {
            bench.seen.clear();
            match step {
                0..=7 => if let Some(effect) = owed.pop_front() {
                    settle(&mut bench, &effect, step, &mut running);
                },
                8 if running => { bench.tell(Event::Answered { busy: 0 }); }
                9 if running => { bench.tell(Event::Answered { busy: 2 }); }
                10 if running => { running = false; bench.tell(Event::Exited("lost".into())); }
                11 => { open += u32::from(bench.order(Order::Reload { within: Duration::from_secs(3) }).is_ok()); }
                12 => { open += u32::from(bench.order(Order::Drain { within: Duration::from_secs(3) }).is_ok()); }
                13 => {
                    let order = Order::Purge { within: Some(Duration::from_secs(3)), rest: Rest::Stops };
                    open += u32::from(bench.order(order).is_ok());
                }
                14 => drop(bench.order(Order::Resume)),
                _ => drop(bench.pass(7)),
            }
            note(&mut bench, &mut owed, &mut running, &mut open)?;
        }
        for _ in 0..2_000 {
            bench.seen.clear();
            match owed.pop_front() {
                Some(effect) => settle(&mut bench, &effect, 0, &mut running),
                None if running => drop(bench.tell(Event::Answered { busy: 0 })),
                None if open == 0 && bench.machine.is_down() => drop(bench.order(Order::Resume)),
                None => drop(bench.pass(60)),
            }
            note(&mut bench, &mut owed, &mut running, &mut open)?;
        }
        drop(bench.order(Order::Resume));
        prop_assert!(bench.machine.is_ready() && open == 0, "{:?}", bench.machine);
    }
}

/// Answers an effect, well when `step` is even.
fn settle(bench: &mut Bench, effect: &Effect, step: u8, running: &mut bool) {
    let outcome = || if step.is_multiple_of(2) { Ok(()) } else { Err("no".to_owned()) };
    match effect {
        Effect::Prepare(_) => drop(bench.tell(Event::Prepared(outcome().map_err(NotPrepared::Failed)))),
        Effect::Stop if *running => {
            *running = false;
            bench.tell(Event::Exited("stopped".into()));
        }
        Effect::WarmUp => drop(bench.tell(Event::WarmedUp(outcome()))),
        Effect::Check => drop(bench.tell(Event::Checked(outcome()))),
        Effect::Commit => drop(bench.tell(Event::Committed(outcome()))),
        Effect::CleanUp => drop(bench.tell(Event::CleanedUp(outcome()))),
        Effect::Spawn(_) | Effect::Stop | Effect::Lost | Effect::Finished(..) => {}
    }
}

/// Takes in what the machine wanted, and what must hold of it.
fn note(
    bench: &mut Bench,
    owed: &mut VecDeque<Effect>,
    running: &mut bool,
    open: &mut u32,
) -> Result<(), TestCaseError> {
    for effect in bench.seen.drain(..) {
        match &effect {
            Effect::Spawn(_) => {
                prop_assert!(!*running, "a second process");
                *running = true;
            }
            Effect::Finished(..) => {
                prop_assert!(*open > 0, "an operation ended twice");
                *open -= 1;
            }
            // The shell forgets what it was asked before: only the last preparation counts.
            Effect::Prepare(_) => owed.retain(|it| !matches!(it, Effect::Prepare(_))),
            _ => {}
        }
        owed.push_back(effect);
    }
    prop_assert!(!bench.machine.is_ready() || *running, "ready without a process");
    prop_assert!(*open <= 1);
    Ok(())
}
