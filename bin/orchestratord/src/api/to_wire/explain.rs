//! Why a task is where it is, in words.

use api_types::{CandidateView, ChoiceView, ExplainView, StartView};
use orchestrator_core::{Assignment, Candidate, Readiness, Requirements, Verdict, Why};

use super::state;
use crate::{
    clock::Clock,
    services::{JobEntry, JobStatus, millis, on_time_probability},
};

/// Where a task waits: jobs ahead, and what keeps each engine from it.
pub(crate) type Waits = Option<(u32, Why)>;

//= ORCH-3009
pub(crate) fn explain(entry: &JobEntry, waits: &Waits, clock: Clock) -> ExplainView {
    let status = entry.shown_status();
    let placed = status.attempt.as_ref().map(|attempt| &attempt.assignment);
    let choice = match (waits, placed) {
        (Some((_, why)), _) => Some(choice(why, None)),
        (None, Some(placed)) => Some(choice(&placed.why, Some(placed))),
        (None, None) => None,
    };
    ExplainView {
        task_id: entry.facts.id.to_string(),
        state: state(&status),
        asked: asked(&entry.facts.requirements),
        start: start(&status, waits.as_ref().map(|(position, _)| *position), clock),
        human: human(&status, choice.as_ref()),
        choice,
    }
}

/// What was asked of the engines.
fn asked(of: &Requirements) -> Vec<String> {
    let mut asked = vec![
        format!("model {}", of.model),
        format!("workload {}", of.workload.as_str()),
        format!("{} tokens of context", of.ctx),
    ];
    asked.extend(of.engine.iter().map(|engine| format!("engine {engine}")));
    asked.extend(of.pin_pool.iter().map(|pool| format!("pool {pool} and no other")));
    asked.extend(of.pin_node.iter().map(|node| format!("node {node} and no other")));
    asked.extend(of.prefer_pools.iter().map(|pool| format!("pool {pool} rather than others")));
    asked.extend(of.avoid_pools.iter().map(|pool| format!("not pool {pool}")));
    asked.extend(of.device_mask.iter().map(|mask| format!("device mask {mask}")));
    asked.extend(of.vram_need.iter().map(|need| format!("{need} bytes of GPU memory")));
    asked
}

fn start(status: &JobStatus, position: Option<u32>, clock: Clock) -> StartView {
    let admission = status.admission.as_ref();
    let started = status.attempt.as_ref().map(|attempt| attempt.dispatched_at);
    StartView {
        queue_position_at_admission: admission.map_or(0, |it| it.queue_position),
        queue_position: position,
        predicted_start_ms: admission.map_or(0, |it| millis(it.predicted_start)),
        predicted_start_p90_ms: admission.map_or(0, |it| millis(it.predicted_start_p90)),
        on_time_probability: admission.and_then(on_time_probability),
        actual_start_ms: started.map(|at| millis(at.since(status.accepted_at))),
        waited_ms: position.map(|_| millis(clock.now().since(status.accepted_at))),
    }
}

fn choice(why: &Why, chosen: Option<&Assignment>) -> ChoiceView {
    ChoiceView {
        rule: why.rule.as_str().to_owned(),
        attempt: chosen.map(|it| it.attempt),
        pool_id: chosen.map(|it| it.pool.to_string()),
        replica_id: chosen.map(|it| it.replica.to_string()),
        considered: why.considered,
        candidates: why.candidates.iter().map(|it| candidate(it, chosen)).collect(),
    }
}

fn candidate(it: &Candidate, chosen: Option<&Assignment>) -> CandidateView {
    let is_it = chosen.is_some_and(|chosen| chosen.pool == it.pool && chosen.replica == it.replica);
    let (verdict, reason) = match &it.verdict {
        Verdict::Misfit(misfit) => ("filtered", misfit.to_string()),
        Verdict::Closed => ("closed", "it takes nothing new for now".to_owned()),
        Verdict::NotReady(readiness) => ("not_ready", format!("it is {}", word(*readiness))),
        Verdict::Suspect => ("suspect", "a stream of it broke; it is looked at first".to_owned()),
        Verdict::Resting(_) => ("resting", "it said that it is busy, and rests for a moment".to_owned()),
        Verdict::CircuitOpen(_) => ("circuit_open", "its requests failed too often lately".to_owned()),
        Verdict::Full { slots } => ("full", format!("all of its {slots} slots are in use")),
        Verdict::Open { .. } => ("open", "it has a free slot".to_owned()),
    };
    let (slots_used, slots_total, vram_free_bytes) = match it.verdict {
        Verdict::Full { slots } => (Some(slots), Some(slots), None),
        Verdict::Open { used, slots, vram_free_bytes } => (Some(used), Some(slots), vram_free_bytes),
        _ => (None, None, None),
    };
    CandidateView {
        pool_id: it.pool.to_string(),
        replica_id: it.replica.to_string(),
        verdict: if is_it { "chosen" } else { verdict }.to_owned(),
        reason,
        slots_used,
        slots_total,
        vram_free_bytes,
    }
}

fn word(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Unseen => "not heard of yet",
        Readiness::Ready => "ready",
        Readiness::Draining => "draining",
        Readiness::Unreachable => "not reachable",
        Readiness::Offline => "on a node that is silent",
        Readiness::Barred => "not to be used",
    }
}

/// What happened, in one plain sentence.
fn human(status: &JobStatus, choice: Option<&ChoiceView>) -> String {
    let admitted = status.admission.as_ref();
    let predicted = admitted.map_or(0, |it| millis(it.predicted_start));
    let placed = status.attempt.as_ref().map(|attempt| &attempt.assignment);
    let place = placed.map(|it| format!("{} in pool {}", it.replica, it.pool)).unwrap_or_default();
    match (&status.attempt, choice) {
        (Some(_), Some(ChoiceView { rule, .. })) if rule == "recovered" => {
            format!("It went to {place} before the server started; why is not known any more.")
        }
        (Some(attempt), Some(ChoiceView { pool_id: Some(_), rule, considered, .. })) => {
            let waited = millis(attempt.dispatched_at.since(status.accepted_at));
            format!(
                "It went to {place} by the rule {rule} among {considered}, after {waited} ms \
                 where {predicted} ms were predicted."
            )
        }
        (_, Some(choice)) => {
            let full = choice.candidates.iter().filter(|it| it.verdict == "full").count();
            format!("It waits: of {} engines none is open to it, and {full} are full.", choice.considered)
        }
        (_, None) => "It ended before an engine had it.".to_owned(),
    }
}
