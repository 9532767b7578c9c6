//! Stories of jobs, queues, replicas and sessions, each a script of its own.

use std::{fs, time::Duration};

use orchestrator_core::{
    Effect, Event, JobId, Misfit, NewJob, Outcome, PoolId, Priority, Readiness, ReplicaId, ReplicaView,
    Requirements, Rule, Rules, Scheduler, SessionId, SessionRules, SessionUse, Spent, Timestamp, Verdict,
};

use crate::player::{folder, play};

//= ORCH-3004 type=test
#[test]
fn interactive_jobs_go_first_and_each_class_is_first_in_first_out() {
    play("order_of_classes");
}

//= ORCH-3004 type=test
//= ORCH-3005 type=test
//= ORCH-2007 type=test
#[test]
fn a_full_queue_turns_newcomers_away_and_tells_when_to_come_back() {
    play("capacity");
}

//= ORCH-3005 type=test
#[test]
fn without_a_queue_a_job_starts_at_once_or_not_at_all() {
    play("capacity_zero");
}

//= ORCH-3005 type=test
#[test]
fn a_full_queue_drops_its_oldest_batch_job_and_an_interactive_one_only_for_its_like() {
    play("drop_lru");
}

//= ORCH-3017 type=test
//= ORCH-3026 type=test
#[test]
fn a_cancel_is_final_and_frees_the_slot_only_when_the_engine_lets_go() {
    play("cancel");
}

//= ORCH-3024 type=test
#[test]
fn a_live_job_keeps_its_id_to_itself() {
    play("duplicate_id");
}

//= ORCH-3014 type=test
#[test]
fn a_deadline_binds_at_admission_in_the_queue_and_while_running() {
    play("deadline");
}

#[test]
fn a_job_lost_before_its_first_token_waits_at_its_old_rank_for_another_replica() {
    play("retry");
}

#[test]
fn a_job_has_as_many_attempts_as_allowed_and_none_after_a_token() {
    play("retry_budget");
}

#[test]
fn replicas_of_two_pools_may_have_the_same_name() {
    play("retry_in_another_pool");
}

#[test]
fn a_lost_job_ends_when_there_is_nowhere_left_to_go() {
    play("stranded");
}

//= ORCH-2007 type=test
#[test]
fn a_place_that_was_promised_is_kept_for_its_client_and_not_for_ever() {
    play("promise");
}

//= ORCH-3062 type=test
#[test]
fn a_replica_that_fails_requests_gets_no_more_until_a_single_one_succeeds() {
    play("breaker");
}

//= ORCH-3063 type=test
#[test]
fn a_request_that_breaks_two_replicas_meets_no_third() {
    play("poison");
}

#[test]
fn a_busy_replica_rests_and_costs_no_attempt() {
    play("busy");
}

//= ORCH-3011 type=test
//= ORCH-3014 type=test
#[test]
fn what_no_replica_can_serve_is_refused_before_the_queue() {
    play("requirements");
}

//= ORCH-3011 type=test
#[test]
fn a_cpu_serves_only_where_it_is_allowed() {
    play("cpu_policy");
}

//= ORCH-3008 type=test
#[test]
fn a_preferred_pool_comes_first_and_a_pin_binds() {
    play("prefer");
}

//= ORCH-3004 type=test
#[test]
fn a_free_slot_takes_its_own_line_first_but_never_batch_before_interactive() {
    play("steal");
}

//= ORCH-3010 type=test
#[test]
fn only_ready_replicas_get_work() {
    play("readiness");
}

//= ORCH-3406 type=test
#[test]
fn jobs_of_an_earlier_process_come_back_in_their_order_and_class() {
    play("recover");
}

//= ORCH-3010 type=test
#[test]
fn a_replica_that_changes_size_is_filled_to_its_new_size() {
    play("resize");
}

//= ORCH-3017 type=test
#[test]
fn a_replica_that_goes_ends_its_jobs_and_keeps_its_slots_until_they_let_go() {
    play("gone");
}

#[test]
fn a_shutdown_ends_what_waits_and_starts_nothing_more() {
    play("shutdown");
}

//= ORCH-3017 type=test
#[test]
fn a_stop_ends_what_runs_and_gives_its_slots_back() {
    play("stop_running");
}

#[test]
fn round_robin_takes_each_replica_in_turn() {
    play("round_robin");
}

//= ORCH-3008 type=test
//= ORCH-3012 type=test
#[test]
fn the_least_loaded_replica_is_the_one_with_most_vram_then_fewest_streams_then_by_name() {
    play("least_loaded");
}

#[test]
fn a_job_that_insists_starts_again_after_tokens_and_never_where_it_was_lost() {
    play("retry_after_tokens");
}

//= ORCH-3009 type=test
//= ORCH-3021 type=test
#[test]
fn a_session_keeps_to_its_last_replica_while_that_has_room() {
    play("session_affinity");
}

//= ORCH-3099 type=test
#[test]
fn a_budget_is_reserved_at_admission_and_settled_at_the_end() {
    play("session_budget");
}

//= ORCH-3099 type=test
#[test]
fn a_job_takes_its_sessions_time_bit_by_bit_and_is_stopped_without_it() {
    play("session_time");
}

//= ORCH-3022 type=test
#[test]
fn a_session_has_so_many_turns_and_is_forgotten_when_nothing_comes() {
    play("session_turns");
}

#[test]
fn work_goes_where_it_can_be_done() {
    play("workload");
}

//= ORCH-2007 type=test
#[test]
fn a_client_without_an_id_of_its_own_finds_its_promised_place_by_what_it_asks_for() {
    play("promise_alike");
}

#[test]
fn every_script_is_played() {
    let these_files = [include_str!("scripts.rs"), include_str!("pools.rs")];
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let line = format!("play(\"{name}\");");
        assert!(these_files.iter().any(|file| file.contains(&line)), "nobody plays {name}");
    }
}

//= ORCH-3021 type=test
#[test]
fn a_session_is_forgotten_at_its_time_although_nothing_else_happens() {
    let mut scheduler = Scheduler::new(Rules::default());
    let mut now = Timestamp::from_micros(1);
    let view = ReplicaView::ready(PoolId::new("p"), ReplicaId::new("a"), "m");
    scheduler.handle(now, Event::ReplicaSeen(view));
    let id = SessionId::from_u128(9);
    let mut job = NewJob::of(JobId::from_u128(1), Priority::Batch, Requirements::of("m", 1));
    job.session = Some(SessionUse { id, budget: None, tokens: 1 });
    let effects: Vec<_> = scheduler.handle(now, Event::Submit(job)).collect();
    let lease = effects.iter().find_map(|effect| match effect {
        Effect::Dispatch(assignment) => Some(assignment.lease),
        _ => None,
    });
    assert_eq!(scheduler.next_due(), None, "a session in use has no end yet");
    now = now + Duration::from_secs(5);
    scheduler.handle(now, Event::AttemptEnded(lease.unwrap(), Outcome::Completed, Spent::default()));
    let end = now + SessionRules::default().ttl;
    assert_eq!(scheduler.next_due(), Some(end));
    assert!(scheduler.session(end, id).is_some());
    scheduler.handle(end, Event::Tick);
    assert_eq!((scheduler.session(end, id), scheduler.next_due()), (None, None));
}

#[test]
fn an_explanation_counts_every_replica_and_names_the_first_sixteen() {
    let mut scheduler = Scheduler::new(Rules::default());
    let now = Timestamp::from_micros(1);
    for number in 0..20 {
        let mut view = ReplicaView::ready(PoolId::new("p"), ReplicaId::new(format!("r{number:02}")), "m");
        view.readiness = match number {
            0 => Readiness::Unreachable,
            _ => Readiness::Ready,
        };
        if number > 2 {
            view.models = vec!["other".into()];
        }
        scheduler.handle(now, Event::ReplicaSeen(view));
    }
    let job = |number| NewJob::of(JobId::from_u128(number), Priority::Batch, Requirements::of("m", 1));
    for number in 1..=3 {
        scheduler.handle(now, Event::Submit(job(number)));
    }
    assert_eq!(scheduler.explain(now, JobId::from_u128(1)), None, "it does not wait");
    let why = scheduler.explain(now, JobId::from_u128(3)).unwrap();
    assert_eq!((why.rule, why.considered, why.candidates.len()), (Rule::NoneOpen, 20, 16));
    let verdicts: Vec<_> = why.candidates.into_iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts[0], Verdict::NotReady(Readiness::Unreachable));
    assert_eq!(verdicts[1..3], [Verdict::Full { slots: 1 }, Verdict::Full { slots: 1 }]);
    assert!(verdicts[3..].iter().all(|it| *it == Verdict::Misfit(Misfit::Model)), "{verdicts:?}");
}
