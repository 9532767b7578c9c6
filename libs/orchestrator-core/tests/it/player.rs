//! Plays stories in plain text, with the effects that each event must have, word for word.
//!
//! A line of a script is an event; the indented lines below it are its effects, all of them, in order.
//! The scheduler is under watch while a script plays, so that each story also checks every invariant.

use std::{collections::HashMap, fmt::Write, fs, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use orchestrator_core::{
    AdmissionPolicy, Affinity, AfterTokens, Budget, Claimant, Closed, Device, Effect, Event, FailReason,
    GpuPolicy, JobEnd, JobId, LeaseId, Loaded, NewJob, NodeId, Operation, OperationKind, OperationRefusal,
    Outcome, PlacementKind, PoolId, Priority, Readiness, Recovered, RejectReason, Remaining, ReplicaId,
    ReplicaView, Requirements, Rules, SessionId, SessionRefusal, SessionRules, SessionUse, Share, Spent,
    Timestamp, Verdict, Workload, sim::Checked,
};

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Plays a script and holds every effect against what is written below its event.
pub(crate) fn play(name: &str) {
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
            ["begin", kind, pool] => {
                let deadline = words.take("deadline").map(|text| self.now + duration(text));
                let operation = Operation { kind: operation(kind), deadline };
                Event::Begin { pool: PoolId::new(*pool), operation }
            }
            ["close", at] => {
                let (pool, replica) = scope(at);
                let deadline = words.take("deadline").map_or(self.now, |text| self.now + duration(text));
                Event::Close { pool, replica, deadline }
            }
            ["open", at] => {
                let (pool, replica) = scope(at);
                Event::Open { pool, replica }
            }
            ["settle", pool] => Event::Settle { pool: PoolId::new(*pool) },
            ["explain", id] => return Ok(self.explain(id)),
            ["pool", name] => return Ok(self.pool(name)),
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
        requirements.pin_node = words.take("node").map(NodeId::new);
        requirements.vram_need = words.number("vram-need");
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

    /// Why a job waits: each replica's verdict.
    fn explain(&self, id: &str) -> Vec<String> {
        let why = self.checked.scheduler().explain(self.now, job_id(id));
        let Some(why) = why else { return vec!["does not wait".to_owned()] };
        why.candidates
            .iter()
            .map(|it| format!("{}/{} {}", it.pool, it.replica, verdict(&it.verdict)))
            .collect()
    }

    /// A pool and its replicas, as they are told to the outside.
    fn pool(&self, name: &str) -> Vec<String> {
        let closed = |closed: Option<Closed>| closed.map(|it| format!(" {it:?}")).unwrap_or_default();
        let all = self.checked.scheduler().pools();
        let Some(pool) = all.iter().find(|pool| pool.pool.as_str() == name) else {
            return vec!["unknown".to_owned()];
        };
        let operation = pool.operation.map(|it| format!(" {}", it.as_str())).unwrap_or_default();
        let mut told = vec![format!("running={}{}{operation}", pool.running, closed(pool.closed))];
        for it in &pool.replicas {
            told.push(format!("{} used={}{}", it.view.replica, it.slots_used, closed(it.closed)));
        }
        told
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
        node: words.take("node").map(NodeId::new),
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
        vram_total_bytes: words.number("vram-total"),
        loaded: match words.take("loaded") {
            None | Some("yes") => Loaded::Yes,
            Some("no") => Loaded::No,
            Some(other) => panic!("no such state: {other}"),
        },
        device: match words.take("device") {
            None => Device::Unstated,
            Some("cpu") => Device::Cpu,
            Some(mask) => Device::Mask(Arc::from(mask)),
        },
        readiness: match readiness {
            [] | ["ready"] => Readiness::Ready,
            ["unseen"] => Readiness::Unseen,
            ["draining"] => Readiness::Draining,
            ["offline"] => Readiness::Offline,
            ["barred"] => Readiness::Barred,
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
        ["evicted"] => Outcome::Evicted { tokens_out },
        other => panic!("no such outcome: {other:?}"),
    }
}

fn place(at: &str) -> (PoolId, ReplicaId) {
    let (pool, replica) = at.split_once('/').unwrap();
    (PoolId::new(pool), ReplicaId::new(replica))
}

fn scope(at: &str) -> (PoolId, Option<ReplicaId>) {
    match at.split_once('/') {
        Some((pool, replica)) => (PoolId::new(pool), Some(ReplicaId::new(replica))),
        None => (PoolId::new(at), None),
    }
}

fn operation(kind: &str) -> OperationKind {
    match kind {
        "drain" => OperationKind::Drain,
        "reload" => OperationKind::Reload,
        "purge" => OperationKind::Purge,
        other => panic!("no such operation: {other}"),
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Misfit(misfit) => misfit.to_string(),
        Verdict::Closed => "closed".to_owned(),
        Verdict::NotReady(readiness) => format!("{readiness:?}").to_lowercase(),
        Verdict::Suspect => "suspect".to_owned(),
        Verdict::Resting(_) => "resting".to_owned(),
        Verdict::CircuitOpen(_) => "circuit open".to_owned(),
        Verdict::Full { slots } => format!("full slots={slots}"),
        Verdict::Open { .. } => "open".to_owned(),
    }
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
        Effect::Abort(lease) | Effect::Evict(lease) => {
            let at = leases.iter().position(|(_, other)| other == lease).unwrap();
            let job = leases[at].0;
            let nth = leases[..=at].iter().filter(|(other, _)| *other == job).count();
            let what = if matches!(effect, Effect::Evict(_)) { "evict" } else { "abort" };
            format!("{what} {}#{nth}", job.as_u128())
        }
        Effect::Finish(job, end) => format!("finish {} {}", job.as_u128(), end_name(*end)),
        Effect::Probe(pool, replica) => format!("probe {pool}/{replica}"),
        Effect::Began(pool, kind) => format!("began {} {pool}", kind.as_str()),
        Effect::Refused(pool, why) => match why {
            OperationRefusal::UnknownPool => format!("refused {pool} unknown"),
            OperationRefusal::Busy(kind) => format!("refused {pool} busy {}", kind.as_str()),
            OperationRefusal::Running(running) => format!("refused {pool} running={running}"),
        },
        Effect::Drained(pool, None) => format!("drained {pool}"),
        Effect::Drained(pool, Some(replica)) => format!("drained {pool}/{replica}"),
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
        RejectReason::NodeUnavailable => "node-unavailable".to_owned(),
        RejectReason::Vram { need, have } => format!("vram need={need} have={have}"),
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
        JobEnd::Failed(FailReason::Drained) => "drained",
        JobEnd::Failed(FailReason::ShuttingDown) => "shutting-down",
    }
}
