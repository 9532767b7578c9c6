//! Sessions: tasks that belong together, where they ran last, and what they may still use.
//!
//! A budget is kept by reserving before a job comes in and settling when its last attempt has let go.
//! What is reserved can never be more than what is left, and what is settled never more than what was
//! reserved, so a budget cannot be overshot by any order of events; and every amount is a whole number
//! that is added once and taken off once, so it cannot drift.
//!
//! Tokens and cost are known beforehand up to a bound, so the bound is reserved. Time is not: a job holds
//! a little of it at a time, takes more while it runs, and is stopped when there is no more.
//!
//! Invariant: spent and reserved together never exceed a limit.
//! Invariant: a session with a live job is not forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    event::Spent,
    ids::{PoolId, ReplicaId, SessionId},
    rules::SessionRules,
    time::Timestamp,
};

/// How much time a job holds beyond what it has used.
const TIME_STEP: Duration = Duration::from_secs(1);

/// Limits. `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Tokens of prompts and answers.
    pub tokens: Option<u64>,
    /// Time for which slots are held.
    pub time: Option<Duration>,
    /// Cost, in millionths of a unit.
    pub cost: Option<u64>,
}

/// What is left of each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Tokens.
    pub tokens: Option<u64>,
    /// Time.
    pub time: Option<Duration>,
    /// Cost, in millionths of a unit.
    pub cost: Option<u64>,
}

/// What a job asks of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionUse {
    /// The session.
    pub id: SessionId,
    /// Its limits, where the job names them.
    pub budget: Option<Budget>,
    /// The most tokens that the job can use, prompt and answer.
    pub tokens: u64,
}

/// One limit of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// That of tokens.
    Tokens,
    /// That of time.
    Time,
    /// That of cost.
    Cost,
}

/// Why a session refuses a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRefusal {
    /// It has other limits than the job names.
    OtherBudget,
    /// The job could use more than the whole limit, which is this.
    Exceeds(Share, u64),
    /// Not enough of this is left now.
    Spent(Share),
    /// It has had all of its turns.
    Turns(u32),
    /// There are too many sessions at work.
    TooMany,
}

/// A session, told to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// How long it is kept if nothing more comes.
    pub ttl_remaining: Duration,
    /// How many jobs it may have.
    pub turns: u32,
    /// How many it has had.
    pub turns_used: u32,
    /// Jobs of it that are not settled.
    pub live: u32,
    /// Where it was last.
    pub last: Option<(PoolId, ReplicaId)>,
    /// Whether the engine used its cache at the last turn.
    pub warm: bool,
    /// What is left of its budget.
    pub remaining: Remaining,
}

/// What must outlive the process of a session. Live jobs are not counted: they come back by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session.
    pub id: SessionId,
    /// Its limits.
    pub budget: Budget,
    /// What settled jobs have used.
    pub spent: SessionSpent,
    /// How many jobs it has had that are settled.
    pub turns: u32,
    /// When it is forgotten, if no job of it is live.
    pub expires: Timestamp,
    /// Where it was last.
    pub last: Option<(PoolId, ReplicaId)>,
    /// Whether the engine used its cache at the last turn.
    pub warm: bool,
}

/// What the settled jobs of a session have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionSpent {
    /// Tokens.
    pub tokens: u64,
    /// Time.
    pub time: Duration,
    /// Cost, in millionths of a unit.
    pub cost: u64,
}

/// Names one life of a session: an id that is used again is another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    id: SessionId,
    born: u64,
}

/// What a job holds of its session. Settled exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    key: Key,
    amounts: Amounts,
    /// What a million tokens cost at most.
    price: u64,
    /// Whether time is counted at all.
    timed: bool,
    /// Tokens that readers may have seen of an attempt after which the job went on.
    seen: u64,
}

impl Held {
    /// For how long a slot may be held before more time is needed; `None` when time is not counted.
    pub(crate) fn allowance(&self) -> Option<Duration> {
        self.timed.then_some(self.amounts.time)
    }

    pub(crate) fn session(&self) -> SessionId {
        self.key.id
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Amounts {
    tokens: u64,
    time: Duration,
    cost: u64,
}

#[derive(Debug)]
struct Session {
    born: u64,
    budget: Budget,
    spent: Amounts,
    reserved: Amounts,
    live: u32,
    turns: u32,
    /// When it is forgotten, while no job of it is live.
    expires: Timestamp,
    last: Option<(PoolId, ReplicaId)>,
    warm: bool,
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    rules: SessionRules,
    all: BTreeMap<SessionId, Session>,
    /// Those without a live job, in the order in which they are forgotten.
    idle: BTreeSet<(Timestamp, SessionId)>,
    born: u64,
}

/// What tokens cost, rounded up.
fn cost(tokens: u64, price: u64) -> u64 {
    let exact = (u128::from(tokens) * u128::from(price)).div_ceil(1_000_000);
    u64::try_from(exact).unwrap_or(u64::MAX)
}

impl Session {
    fn left(limit: Option<u64>, spent: u64, reserved: u64) -> u64 {
        limit.map_or(u64::MAX, |limit| limit.saturating_sub(spent).saturating_sub(reserved))
    }

    fn tokens_left(&self) -> u64 {
        Self::left(self.budget.tokens, self.spent.tokens, self.reserved.tokens)
    }

    fn cost_left(&self) -> u64 {
        Self::left(self.budget.cost, self.spent.cost, self.reserved.cost)
    }

    fn time_left(&self) -> Duration {
        let used = self.spent.time + self.reserved.time;
        self.budget.time.map_or(Duration::MAX, |limit| limit.saturating_sub(used))
    }

    fn remaining(&self) -> Remaining {
        Remaining {
            tokens: self.budget.tokens.map(|_| self.tokens_left()),
            time: self.budget.time.map(|_| self.time_left()),
            cost: self.budget.cost.map(|_| self.cost_left()),
        }
    }

    /// Takes some time for a job, as much as there is up to one step.
    fn take_time(&mut self) -> Duration {
        let taken = self.time_left().min(TIME_STEP);
        self.reserved.time += taken;
        taken
    }
}

impl Sessions {
    pub(crate) fn new(rules: SessionRules) -> Self {
        Self { rules, all: BTreeMap::new(), idle: BTreeSet::new(), born: 0 }
    }

    /// When the next one is forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.idle.first().map(|(at, _)| *at)
    }

    /// Forgets those whose time is over.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.idle.first().copied()
            && at <= now
        {
            self.idle.pop_first();
            self.all.remove(&id);
        }
    }

    //= ORCH-3021
    /// Whether a job may come in, as far as its session is concerned; else why not, and when to come back.
    pub(crate) fn check(
        &self,
        now: Timestamp,
        asked: &SessionUse,
        price: u64,
    ) -> Result<(), (SessionRefusal, Option<Duration>)> {
        let Some(session) = self.all.get(&asked.id) else {
            if self.all.len() >= self.rules.max && self.idle.is_empty() {
                return Err((SessionRefusal::TooMany, Some(TIME_STEP)));
            }
            let budget = asked.budget.unwrap_or(self.rules.budget);
            return exceeds(&budget, asked.tokens, cost(asked.tokens, price))
                .map_or(Ok(()), |it| Err((it, None)));
        };
        if asked.budget.is_some_and(|budget| budget != session.budget) {
            return Err((SessionRefusal::OtherBudget, None));
        }
        let cost = cost(asked.tokens, price);
        if let Some(refusal) = exceeds(&session.budget, asked.tokens, cost) {
            return Err((refusal, None));
        }
        let forgotten = if session.live == 0 { session.expires - now } else { self.rules.ttl };
        if session.turns >= self.rules.turns {
            return Err((SessionRefusal::Turns(self.rules.turns), Some(forgotten)));
        }
        let short = if session.tokens_left() < asked.tokens {
            Share::Tokens
        } else if session.cost_left() < cost {
            Share::Cost
        } else if session.time_left().is_zero() {
            Share::Time
        } else {
            return Ok(());
        };
        // What other jobs hold comes back in part when they end; what is spent does not.
        let wait = if session.live > 0 { TIME_STEP } else { forgotten };
        Err((SessionRefusal::Spent(short), Some(wait)))
    }

    /// Takes a job in that [`Self::check`] let pass: reserves what it may use, and counts its turn.
    pub(crate) fn enter(&mut self, asked: &SessionUse, price: u64) -> (Held, Remaining) {
        if !self.all.contains_key(&asked.id) {
            self.make_room();
            self.born += 1;
        }
        let (born, budget) = (self.born, asked.budget.unwrap_or(self.rules.budget));
        let session = self.all.entry(asked.id).or_insert_with(|| Session::new(born, budget));
        if session.live == 0 {
            self.idle.remove(&(session.expires, asked.id));
        }
        session.live += 1;
        session.turns += 1;
        let mut amounts =
            Amounts { tokens: asked.tokens, cost: cost(asked.tokens, price), time: Duration::ZERO };
        session.reserved.tokens = session.reserved.tokens.saturating_add(amounts.tokens);
        session.reserved.cost = session.reserved.cost.saturating_add(amounts.cost);
        let timed = session.budget.time.is_some();
        if timed {
            amounts.time = session.take_time();
        }
        let key = Key { id: asked.id, born: session.born };
        (Held { key, amounts, price, timed, seen: 0 }, session.remaining())
    }

    /// The session that would be forgotten first gives way to a new one.
    fn make_room(&mut self) {
        if self.all.len() >= self.rules.max
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.all.remove(&oldest);
        }
    }

    /// More time for a job that has used up what it holds. False when there is none.
    pub(crate) fn extend(&mut self, held: &mut Held) -> bool {
        let Some(session) = self.find(held.key) else {
            // The session was given up, and its limits with it.
            held.timed = false;
            return true;
        };
        let more = session.take_time();
        held.amounts.time += more;
        !more.is_zero()
    }

    /// Counts an attempt after which the job goes on. Its time is gone; its tokens count only if no
    /// later attempt counts more, since the text is one.
    pub(crate) fn carry(&mut self, held: &mut Held, used: Spent, elapsed: Duration) {
        held.seen = held.seen.max(used.tokens);
        let charged = elapsed.min(held.amounts.time);
        held.amounts.time -= charged;
        if let Some(session) = self.find(held.key) {
            session.reserved.time -= charged;
            session.spent.time += charged;
        }
    }

    /// Gives back what a job holds, less what it has used.
    pub(crate) fn settle(&mut self, now: Timestamp, held: Held, used: Spent, elapsed: Duration) {
        let ttl = self.rules.ttl;
        let Some(session) = self.find(held.key) else { return };
        let tokens = used.tokens.max(held.seen).min(held.amounts.tokens);
        session.reserved.tokens -= held.amounts.tokens;
        session.spent.tokens += tokens;
        session.reserved.cost -= held.amounts.cost;
        session.spent.cost += cost(tokens, held.price).min(held.amounts.cost);
        session.reserved.time -= held.amounts.time;
        session.spent.time += elapsed.min(held.amounts.time);
        session.live -= 1;
        if session.live == 0 {
            session.expires = now + ttl;
            self.idle.insert((now + ttl, held.key.id));
        }
    }

    /// What is to be kept of a session; `None` when there is none of this id.
    pub(crate) fn record(&self, now: Timestamp, id: SessionId) -> Option<SessionRecord> {
        let session = self.all.get(&id)?;
        let Amounts { tokens, time, cost } = session.spent;
        Some(SessionRecord {
            id,
            budget: session.budget,
            spent: SessionSpent { tokens, time, cost },
            turns: session.turns.saturating_sub(session.live),
            expires: if session.live == 0 { session.expires } else { now + self.rules.ttl },
            last: session.last.clone(),
            warm: session.warm,
        })
    }

    /// A session of an earlier process comes back, before its jobs do.
    pub(crate) fn recover(&mut self, now: Timestamp, record: SessionRecord) {
        let SessionRecord { id, budget, spent, turns, expires, last, warm } = record;
        if expires <= now || self.all.contains_key(&id) {
            return;
        }
        self.make_room();
        self.born += 1;
        let SessionSpent { tokens, time, cost } = spent;
        let spent = Amounts { tokens, time, cost };
        let session = Session { spent, turns, expires, last, warm, ..Session::new(self.born, budget) };
        self.all.insert(id, session);
        self.idle.insert((expires, id));
    }

    /// A client gives a session up.
    pub(crate) fn end(&mut self, id: SessionId) {
        if let Some(session) = self.all.remove(&id) {
            self.idle.remove(&(session.expires, id));
        }
    }

    /// Where a session was last.
    pub(crate) fn last_of(&self, id: SessionId) -> Option<&(PoolId, ReplicaId)> {
        self.all.get(&id)?.last.as_ref()
    }

    /// A job of this session starts there.
    pub(crate) fn went_to(&mut self, held: &Held, pool: &PoolId, replica: &ReplicaId) {
        if let Some(session) = self.find(held.key) {
            session.last = Some((pool.clone(), replica.clone()));
        }
    }

    /// An attempt of this session ended well there, with or without the help of a cache.
    pub(crate) fn ran(&mut self, held: &Held, used: Spent) {
        if let Some(session) = self.find(held.key) {
            session.warm = used.warm;
        }
    }

    /// An attempt of this session broke there: whatever was cached is not to be counted on.
    pub(crate) fn broke(&mut self, held: &Held, pool: &PoolId, replica: &ReplicaId) {
        if let Some(session) = self.find(held.key) {
            session.warm = false;
            let there = |(at, name): &(PoolId, ReplicaId)| at == pool && name == replica;
            session.last = session.last.take().filter(|last| !there(last));
        }
    }

    /// A session as it stands; `None` when there is none of this id.
    pub(crate) fn view(&self, now: Timestamp, id: SessionId) -> Option<SessionView> {
        let session = self.all.get(&id)?;
        Some(SessionView {
            ttl_remaining: if session.live == 0 { session.expires - now } else { self.rules.ttl },
            turns: self.rules.turns,
            turns_used: session.turns,
            live: session.live,
            last: session.last.clone(),
            warm: session.warm,
            remaining: session.remaining(),
        })
    }

    fn find(&mut self, key: Key) -> Option<&mut Session> {
        self.all.get_mut(&key.id).filter(|session| session.born == key.born)
    }

    /// What must hold of every session. `held` are all holdings of live jobs and leases.
    pub(crate) fn audit(&self, held: &[&Held]) -> Result<(), String> {
        for (id, session) in &self.all {
            let own = || held.iter().filter(|it| it.key == Key { id: *id, born: session.born });
            let sum = own().fold(Amounts::default(), |sum, it| Amounts {
                tokens: sum.tokens + it.amounts.tokens,
                time: sum.time + it.amounts.time,
                cost: sum.cost + it.amounts.cost,
            });
            if sum != session.reserved || own().count() != session.live as usize {
                return Err(format!(
                    "S3: session {id:?} reserves {:?}, its jobs hold {sum:?}",
                    session.reserved
                ));
            }
            let (spent, reserved, budget) = (session.spent, session.reserved, session.budget);
            let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
            if over(spent.tokens + reserved.tokens, budget.tokens)
                || over(spent.cost + reserved.cost, budget.cost)
                || budget.time.is_some_and(|limit| spent.time + reserved.time > limit)
            {
                return Err(format!("S3: session {id:?} is over its budget: {session:?}"));
            }
            if (session.live == 0) != self.idle.contains(&(session.expires, *id)) {
                return Err(format!("S2: session {id:?} with {} jobs is idle or not", session.live));
            }
        }
        Ok(())
    }
}

impl Session {
    fn new(born: u64, budget: Budget) -> Self {
        Self {
            born,
            budget,
            spent: Amounts::default(),
            reserved: Amounts::default(),
            live: 0,
            turns: 0,
            expires: Timestamp::default(),
            last: None,
            warm: false,
        }
    }
}

/// The limit that a job could break by itself.
fn exceeds(budget: &Budget, tokens: u64, cost: u64) -> Option<SessionRefusal> {
    let over = |need: u64, limit: Option<u64>, share| {
        limit.filter(|limit| need > *limit).map(|limit| SessionRefusal::Exceeds(share, limit))
    };
    let no_time = budget.time.filter(Duration::is_zero).map(|_| SessionRefusal::Exceeds(Share::Time, 0));
    over(tokens, budget.tokens, Share::Tokens).or(over(cost, budget.cost, Share::Cost)).or(no_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SessionRules = SessionRules {
        ttl: Duration::from_mins(1),
        turns: 3,
        max: 9,
        budget: Budget { tokens: Some(100), time: None, cost: None },
    };

    //= ORCH-3409 type=test
    #[test]
    fn a_session_comes_back_with_what_is_left_of_its_budget_and_its_turns() {
        let (id, now) = (SessionId::from_u128(1), Timestamp::from_micros(1));
        let ask = SessionUse { id, budget: None, tokens: 30 };
        let mut before = Sessions::new(RULES);
        let (held, _) = before.enter(&ask, 0);
        before.settle(now, held, Spent { tokens: 20, warm: false }, Duration::ZERO);
        let (_, remaining) = before.enter(&ask, 0);
        assert_eq!(remaining.tokens, Some(50));
        let record = before.record(now, id).unwrap();
        assert_eq!((record.turns, record.spent.tokens), (1, 20));
        let mut after = Sessions::new(RULES);
        after.recover(now, record.clone());
        // Its live job comes back by itself.
        let (_, remaining) = after.enter(&ask, 0);
        assert_eq!(remaining.tokens, Some(50));
        assert_eq!(after.view(now, id).unwrap().turns_used, 2);
        // One that is there already stays, and one whose time is over stays away.
        after.recover(now, SessionRecord { turns: 0, ..record.clone() });
        assert_eq!(after.view(now, id).unwrap().turns_used, 2);
        let mut late = Sessions::new(RULES);
        late.recover(now + Duration::from_secs(61), record);
        assert!(late.view(now, id).is_none());
    }
}
