//! Stories of what operators, nodes and pools do, each a script of its own.

use crate::player::play;

// N09, N10
//= ORCH-2101 type=test
//= ORCH-3422 type=test
#[test]
fn a_drained_pool_starts_nothing_from_that_step_on_and_is_emptied_at_its_deadline() {
    play("drain");
}

// N10
//= ORCH-3422 type=test
#[test]
fn an_evicted_job_goes_on_elsewhere_at_its_old_rank_and_loses_no_attempt() {
    play("drain_elsewhere");
}

//= ORCH-2101 type=test
#[test]
fn who_waits_for_a_drained_pool_alone_ends_at_its_deadline() {
    play("drain_waiting");
}

// N13
//= ORCH-3031 type=test
#[test]
fn one_operation_at_a_time_is_under_way_in_a_pool() {
    play("operations");
}

// N11
//= ORCH-3031 type=test
#[test]
fn a_reload_goes_from_replica_to_replica_and_may_be_taken_back() {
    play("reload");
}

#[test]
fn a_closed_replica_takes_nothing_until_it_and_its_pool_are_open() {
    play("close_replica");
}

// N01, N03, N05, N14
//= ORCH-3010 type=test
#[test]
fn a_silent_replica_gets_nothing_and_keeps_what_runs_there() {
    play("offline");
}

//= ORCH-3420 type=test
#[test]
fn a_job_runs_only_where_its_need_of_memory_is_met() {
    play("vram");
}

//= ORCH-3421 type=test
#[test]
fn a_job_that_is_pinned_to_a_node_runs_there_or_not_at_all() {
    play("node_pin");
}
