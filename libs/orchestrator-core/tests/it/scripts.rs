//! Stories in plain text, with the effects that each event must have, word for word.
//!
//! A line of a script is an event; the indented lines below it are its effects, all of them, in order.
//! The scheduler is under watch while a script plays, so that each story also checks every invariant.

use std::{collections::HashMap, fmt::Write, fs, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use orchestrator_core::{
    AdmissionPolicy, Affinity, AfterTokens, Budget, Claimant, Device, Effect, Event, FailReason, GpuPolicy,
    JobEnd, JobId, LeaseId, Misfit, NewJob, Outcome, PlacementKind, PoolId, Priority, Readiness, Recovered,
    RejectReason, Remaining, ReplicaId, ReplicaView, Requirements, Rule, Rules, Scheduler, SessionId,
    SessionRefusal, SessionRules, SessionUse, Share, Spent, Timestamp, Verdict, Workload, sim::Checked,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Plays a script and holds every effect against what is written below its event.
fn play(name: &str) {
    let path = folder().join(name).with_extension("txt");
    let script = fs::read_to_string(&path).unwrap();
    let mut player = Player::new();
    let mut told = String::new();
    for (number, line) in script.lines().enumerate() {
        let is_event = !line.is_empty() && !line.starts_with([' ', '#']);
        if !line.starts_with(' ') {
            writeln!(told, "{line}").unwrap();
        }
        if is_event {
            let effects = player.line(line).unwrap_or_else(|what| panic!("{name}:{}: {what}", number + 1));
            for effect in effects {
                writeln!(told, "  {effect}").unwrap();
            }
        }
    }
    assert!(told == script, "{name} went otherwise:\n{told}");
}

struct Player {
    checked: Checked,
    now: Timestamp,
    /// The leases of each job, in the order in which they were given.
    leases: Vec<(JobId, LeaseId)>,
}

/// What follows the first words of a line, as `name=value`.
struct Words<'a>(HashMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    fn of(line: &'a str) -> (Vec<&'a str>, Self) {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        (plain, Self(named.into_iter().filter_map(|word| word.split_once('=')).collect()))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        self.0.remove(name)
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.take(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    }

    fn pools(&mut self, name: &str) -> Vec<PoolId> {
        self.take(name).map(|text| text.split('+').map(PoolId::new).collect()).unwrap_or_default()
    }
}

impl Player {
    fn new() -> Self {
        Self {
            checked: Checked::new(rules(&mut Words::of("").1), 1),
            now: Timestamp::default(),
            leases: vec![],
        }
    }

    fn line(&mut self, line: &str) -> Result<Vec<String>, String> {
        let (plain, mut words) = Words::of(line);
        let event = match plain.as_slice() {
            ["rules"] => {
                self.checked = Checked::new(rules(&mut words), 1);
                return if words.0.is_empty() { Ok(vec![]) } else { Err(format!("unknown: {:?}", words.0)) };
            }
            ["after", time] => {
                self.now = self.now + duration(time);
                Event::Tick
            }
            ["later", time] => {
                self.now = self.now + duration(time);
                return Ok(vec![]);
            }
            ["tick"] => Event::Tick,
            ["seen", at, more @ ..] => Event::ReplicaSeen(view(at, more, &mut words)),
            ["gone", at] => {
                let (pool, replica) = place(at);
                Event::ReplicaGone(pool, replica)
            }
            ["submit", id, more @ ..] => Event::Submit(self.job(id, more, &mut words)),
            ["recover", id, more @ ..] => {
                let pool = PoolId::new(words.take("pool").unwrap_or("a"));
                let attempts = words.number("attempts").unwrap_or(0);
                Event::Recover(Recovered { job: self.job(id, more, &mut words), pool, attempts })
            }
            ["cancel", id] => Event::Cancel(job_id(id)),
            ["end", lease, outcome @ ..] => {
                let outcome = ending(outcome, &mut words);
                let tokens = words.number("used").unwrap_or(0);
                let warm = words.take("cache") == Some("warm");
                Event::AttemptEnded(self.lease(lease), outcome, Spent { tokens, warm })
            }
            ["end-session", id] => Event::EndSession(SessionId::from_u128(id.parse().unwrap())),
            ["session", id] => return Ok(vec![self.session(id)]),
            ["shutdown"] => Event::Shutdown,
            ["stop-running"] => Event::StopRunning,
            _ => return Err(format!("no such event: {line}")),
        };
        if !words.0.is_empty() {
            return Err(format!("unknown: {:?}", words.0));
        }
        let effects = self.checked.handle(self.now, event).map_err(|breach| breach.to_string())?;
        let leases = &mut self.leases;
        Ok(effects.iter().map(|effect| say(effect, leases)).collect())
    }

    fn job(&self, id: &str, class: &[&str], words: &mut Words<'_>) -> NewJob {
        let mut requirements =
            Requirements::of(words.take("model").unwrap_or("m"), words.number("ctx").unwrap_or(100));
        requirements.engine = words.take("engine").map(Arc::from);
        requirements.pin_pool = words.take("pin").map(PoolId::new);
        requirements.prefer_pools = words.pools("prefer");
        requirements.avoid_pools = words.pools("avoid");
        requirements.device_mask = words.take("mask").map(Arc::from);
        requirements.workload = match words.take("work") {
            None => Workload::Completion,
            Some("embedding") => Workload::Embedding,
            Some(other) => panic!("no such work: {other}"),
        };
        let priority = match class {
            [] | ["interactive"] => Priority::Interactive,
            ["batch"] => Priority::Batch,
            other => panic!("no such class: {other:?}"),
        };
        NewJob {
            deadline: words.take("deadline").map(|text| self.now + duration(text)),
            max_attempts: words.number("attempts").unwrap_or(2),
            size: words.number("size").unwrap_or(0),
            fingerprint: words.number("print"),
            after_tokens: match words.take("lost") {
                Some("again") => AfterTokens::TryAgain,
                _ => AfterTokens::End,
            },
            claimant: words.number("like").map_or(Claimant::Job, Claimant::Like),
            session: words.number("session").map(|id| SessionUse {
                id: SessionId::from_u128(id),
                budget: budget(words),
                tokens: words.number("need").unwrap_or(0),
            }),
            ..NewJob::of(job_id(id), priority, requirements)
        }
    }

    /// A session in the words of a script.
    fn session(&self, id: &str) -> String {
        let id = SessionId::from_u128(id.parse().unwrap());
        let Some(it) = self.checked.scheduler().session(self.now, id) else { return "gone".to_owned() };
        let mut text =
            format!("turns={}/{} live={} ttl={:?}", it.turns_used, it.turns, it.live, it.ttl_remaining);
        it.last.iter().for_each(|(pool, replica)| write!(text, " last={pool}/{replica}").unwrap());
        write!(text, "{}", left(&it.remaining)).unwrap();
        text + if it.warm { " warm" } else { "" }
    }

    /// `3` is the newest lease of job 3, `3#1` its first one.
    fn lease(&self, text: &str) -> LeaseId {
        let (job, which) = text.split_once('#').unwrap_or((text, ""));
        let of_job: Vec<LeaseId> =
            self.leases.iter().filter(|(id, _)| *id == job_id(job)).map(|(_, lease)| *lease).collect();
        match which {
            "" => *of_job.last().unwrap(),
            which => of_job[which.parse::<usize>().unwrap() - 1],
        }
    }
}

fn budget(words: &mut Words<'_>) -> Option<Budget> {
    let (tokens, cost) = (words.number("tokens"), words.number("cost"));
    let time = words.take("time").map(duration);
    let named = tokens.is_some() || cost.is_some() || time.is_some();
    named.then_some(Budget { tokens, time, cost })
}

fn left(it: &Remaining) -> String {
    let mut text = String::new();
    it.tokens.iter().for_each(|tokens| write!(text, " tokens={tokens}").unwrap());
    it.time.iter().for_each(|time| write!(text, " time={time:?}").unwrap());
    it.cost.iter().for_each(|cost| write!(text, " cost={cost}").unwrap());
    text
}

fn rules(words: &mut Words<'_>) -> Rules {
    Rules {
        capacity: words.number("capacity").unwrap_or(100),
        policy: match words.take("policy") {
            None | Some("reject") => AdmissionPolicy::Reject,
            Some("drop-lru") => AdmissionPolicy::DropLru,
            Some(other) => panic!("no such policy: {other}"),
        },
        placement: match words.take("placement") {
            None | Some("least-loaded") => PlacementKind::LeastLoaded,
            Some("round-robin") => PlacementKind::RoundRobin,
            Some(other) => panic!("no such placement: {other}"),
        },
        gpu: match words.take("gpu") {
            None | Some("vram-only") => GpuPolicy::VramOnly,
            Some("allow-cpu") => GpuPolicy::AllowCpu,
            Some(other) => panic!("no such policy: {other}"),
        },
        sessions: SessionRules {
            turns: words.number("turns").unwrap_or(8),
            ttl: words.take("ttl").map_or(Duration::from_mins(10), duration),
            max: words.number("sessions").unwrap_or(100),
            ..SessionRules::default()
        },
    }
}

fn view(at: &str, readiness: &[&str], words: &mut Words<'_>) -> ReplicaView {
    let (pool, replica) = place(at);
    ReplicaView {
        pool,
        replica,
        engine: Arc::from(words.take("engine").unwrap_or("llamacpp")),
        models: words.take("models").unwrap_or("m").split('+').map(Arc::from).collect(),
        workloads: match words.take("work") {
            None => vec![Workload::Completion],
            Some("embedding") => vec![Workload::Embedding],
            Some(other) => panic!("no such work: {other}"),
        },
        price: words.number("price").unwrap_or(0),
        slots: words.number("slots").unwrap_or(1),
        ctx_max: words.number("ctx"),
        vram_free_bytes: words.number("vram"),
        device: match words.take("device") {
            None => Device::Unstated,
            Some("cpu") => Device::Cpu,
            Some(mask) => Device::Mask(Arc::from(mask)),
        },
        readiness: match readiness {
            [] | ["ready"] => Readiness::Ready,
            ["unseen"] => Readiness::Unseen,
            ["draining"] => Readiness::Draining,
            ["unreachable"] => Readiness::Unreachable,
            other => panic!("no such readiness: {other:?}"),
        },
    }
}

fn ending(outcome: &[&str], words: &mut Words<'_>) -> Outcome {
    let tokens_out = words.number("tokens").unwrap_or(0);
    match outcome {
        ["completed"] => Outcome::Completed,
        ["aborted"] => Outcome::Aborted,
        ["lost"] => Outcome::Lost { tokens_out },
        ["timed-out"] => Outcome::TimedOut { tokens_out },
        ["busy"] => Outcome::Busy { retry_after: words.take("retry").map(duration) },
        ["refused"] => Outcome::Refused,
        other => panic!("no such outcome: {other:?}"),
    }
}

fn place(at: &str) -> (PoolId, ReplicaId) {
    let (pool, replica) = at.split_once('/').unwrap();
    (PoolId::new(pool), ReplicaId::new(replica))
}

fn job_id(text: &str) -> JobId {
    JobId::from_u128(text.parse().unwrap())
}

fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(ms.parse().unwrap()),
        None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

/// An effect in the words of a script.
fn say(effect: &Effect, leases: &mut Vec<(JobId, LeaseId)>) -> String {
    match effect {
        Effect::Accept(job, it) => {
            let (job, start) = (job.as_u128(), it.predicted_start);
            let on_time = it.on_time_per_mille.map(|it| format!(" on-time={it}")).unwrap_or_default();
            let left = it.budget.as_ref().map(left).unwrap_or_default();
            format!(
                "accept {job} pool={} position={} start={start:?}{on_time}{left}",
                it.pool, it.queue_position
            )
        }
        Effect::Reject(job, it) => {
            let mut text = format!("reject {} {}", job.as_u128(), reason(&it.reason));
            it.pool.iter().for_each(|pool| write!(text, " pool={pool}").unwrap());
            it.retry_after.iter().for_each(|wait| write!(text, " retry={}s", wait.as_secs()).unwrap());
            text
        }
        Effect::Dispatch(it) => {
            leases.push((it.job, it.lease));
            let affinity = match it.affinity {
                Affinity::None => "",
                Affinity::Kept => " kept",
                Affinity::Moved => " moved",
            };
            let (job, at) = (it.job.as_u128(), format!("{}/{}", it.pool, it.replica));
            format!("start {job} on {at} attempt={}{affinity}", it.attempt)
        }
        Effect::Abort(lease) => {
            let at = leases.iter().position(|(_, other)| other == lease).unwrap();
            let job = leases[at].0;
            let nth = leases[..=at].iter().filter(|(other, _)| *other == job).count();
            format!("abort {}#{nth}", job.as_u128())
        }
        Effect::Finish(job, end) => format!("finish {} {}", job.as_u128(), end_name(*end)),
        Effect::Probe(pool, replica) => format!("probe {pool}/{replica}"),
    }
}

fn reason(reason: &RejectReason) -> String {
    match reason {
        RejectReason::NoPool => "no-pool".to_owned(),
        RejectReason::UnknownPin => "unknown-pin".to_owned(),
        RejectReason::NoSuchModel => "no-such-model".to_owned(),
        RejectReason::Context { limit } => format!("context limit={limit}"),
        RejectReason::Device => "device".to_owned(),
        RejectReason::Unready => "unready".to_owned(),
        RejectReason::Unreachable => "unreachable".to_owned(),
        RejectReason::Deadline { predicted_start } => format!("deadline start={predicted_start:?}"),
        RejectReason::QueueFull => "queue-full".to_owned(),
        RejectReason::NothingToDrop => "nothing-to-drop".to_owned(),
        RejectReason::DuplicateId => "duplicate-id".to_owned(),
        RejectReason::Poisoned => "poisoned".to_owned(),
        RejectReason::ShuttingDown => "shutting-down".to_owned(),
        RejectReason::NoSuchWorkload => "no-such-workload".to_owned(),
        RejectReason::Session(refusal) => format!("session {}", refused(refusal)),
    }
}

fn refused(refusal: &SessionRefusal) -> String {
    let share = |share: &Share| match share {
        Share::Tokens => "tokens",
        Share::Time => "time",
        Share::Cost => "cost",
    };
    match refusal {
        SessionRefusal::OtherBudget => "has another budget".to_owned(),
        SessionRefusal::Exceeds(it, limit) => format!("has {limit} {} in all", share(it)),
        SessionRefusal::Spent(it) => format!("has too little {} left", share(it)),
        SessionRefusal::Turns(turns) => format!("has had its {turns} turns"),
        SessionRefusal::TooMany => "finds no room".to_owned(),
    }
}

fn end_name(end: JobEnd) -> &'static str {
    match end {
        JobEnd::Completed => "completed",
        JobEnd::Canceled => "canceled",
        JobEnd::Failed(FailReason::DeadlinePassed) => "deadline-passed",
        JobEnd::Failed(FailReason::Dropped) => "dropped",
        JobEnd::Failed(FailReason::EngineLost) => "engine-lost",
        JobEnd::Failed(FailReason::Poisoned) => "poisoned",
        JobEnd::Failed(FailReason::TimedOut) => "timed-out",
        JobEnd::Failed(FailReason::Refused) => "refused",
        JobEnd::Failed(FailReason::BudgetSpent) => "budget-spent",
        JobEnd::Failed(FailReason::ShuttingDown) => "shutting-down",
    }
}

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
    let this_file = include_str!("scripts.rs");
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(this_file.contains(&format!("play(\"{name}\");")), "nobody plays {name}");
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
