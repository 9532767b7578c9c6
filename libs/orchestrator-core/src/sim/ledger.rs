//! The sessions once more, naively: what every job of each may use and has used, as a list.

use std::time::Duration;

use crate::{
    Affinity, Budget, JobId, LeaseId, NewJob, Remaining, SessionId, SessionRefusal, SessionRules, Share,
    Spent, Timestamp,
};

/// How much time a job holds at a time.
const STEP: Duration = Duration::from_secs(1);

/// One session.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: SessionId,
    life: u64,
    budget: Budget,
    pub(super) turns: u32,
    used: Spending,
    /// Where it was last, as an index of a replica.
    pub(super) last: Option<usize>,
    pub(super) warm: bool,
    /// Since when no job of it is live.
    idle_since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Spending {
    tokens: u64,
    cost: u64,
    time: Duration,
}

/// What one job holds.
#[derive(Debug, Clone)]
struct Entry {
    job: JobId,
    session: SessionId,
    life: u64,
    tokens: u64,
    price: u64,
    /// Time that it holds; `None` when time is not counted.
    granted: Option<Duration>,
    /// The most tokens that readers may have seen of one attempt.
    seen: u64,
    slot: Option<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    lease: LeaseId,
    since: Timestamp,
    stopped: Option<Timestamp>,
}

impl Slot {
    fn elapsed(&self, now: Timestamp) -> Duration {
        self.stopped.unwrap_or(now).since(self.since)
    }
}

/// All sessions and what their jobs hold.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    rules: SessionRules,
    pub(super) accounts: Vec<Account>,
    entries: Vec<Entry>,
    lives: u64,
}

fn price_of(tokens: u64, price: u64) -> u64 {
    let whole = u128::from(tokens) * u128::from(price);
    u64::try_from(whole / 1_000_000 + u128::from(!whole.is_multiple_of(1_000_000))).unwrap_or(u64::MAX)
}

impl Ledger {
    pub(super) fn new(rules: SessionRules) -> Self {
        Self { rules, accounts: Vec::new(), entries: Vec::new(), lives: 0 }
    }

    pub(super) fn account(&self, id: SessionId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    fn account_of(&mut self, entry: &Entry) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|it| it.id == entry.session && it.life == entry.life)
    }

    fn entries_of<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|it| it.session == account.id && it.life == account.life)
    }

    /// Jobs of a session that are not settled.
    pub(super) fn live(&self, account: &Account) -> usize {
        self.entries_of(account).count()
    }

    /// For how long it is kept from now on, if nothing comes.
    pub(super) fn ttl(&self, account: &Account, now: Timestamp) -> Duration {
        account.idle_since.map_or(self.rules.ttl, |since| self.rules.ttl.saturating_sub(now.since(since)))
    }

    /// Forgets the sessions whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let ttl = self.rules.ttl;
        self.accounts.retain(|account| account.idle_since.is_none_or(|since| since + ttl > now));
    }

    /// What is left of a session's budget.
    pub(super) fn remaining(&self, account: &Account) -> Remaining {
        let held = |what: fn(&Entry) -> u64| self.entries_of(account).map(what).sum::<u64>();
        let time = self.entries_of(account).filter_map(|entry| entry.granted).sum::<Duration>();
        let (budget, used) = (account.budget, account.used);
        let cost = held(|entry| price_of(entry.tokens, entry.price));
        Remaining {
            tokens: budget.tokens.map(|all| all.saturating_sub(used.tokens + held(|entry| entry.tokens))),
            time: budget.time.map(|all| all.saturating_sub(used.time + time)),
            cost: budget.cost.map(|all| all.saturating_sub(used.cost + cost)),
        }
    }

    /// Why a session refuses a job, if it does.
    pub(super) fn refusal(&self, job: &NewJob, price: u64) -> Option<SessionRefusal> {
        let asked = job.session?;
        let cost = price_of(asked.tokens, price);
        let account = self.account(asked.id);
        let budget = account.map_or(asked.budget.unwrap_or(self.rules.budget), |account| account.budget);
        let crowded = || {
            let busy = self.accounts.iter().filter(|account| account.idle_since.is_none()).count();
            self.accounts.len() >= self.rules.max && busy == self.accounts.len()
        };
        if account.is_none() && crowded() {
            return Some(SessionRefusal::TooMany);
        }
        if account.is_some() && asked.budget.is_some_and(|named| named != budget) {
            return Some(SessionRefusal::OtherBudget);
        }
        let whole = [
            (budget.tokens, asked.tokens, Share::Tokens),
            (budget.cost, cost, Share::Cost),
            (budget.time.map(|time| u64::from(!time.is_zero())), 1, Share::Time),
        ];
        if let Some((limit, _, share)) =
            whole.iter().find(|(limit, need, _)| limit.is_some_and(|it| *need > it))
        {
            return Some(SessionRefusal::Exceeds(*share, limit.unwrap_or(0)));
        }
        let account = account?;
        if account.turns >= self.rules.turns {
            return Some(SessionRefusal::Turns(self.rules.turns));
        }
        let left = self.remaining(account);
        if left.tokens.is_some_and(|left| left < asked.tokens) {
            Some(SessionRefusal::Spent(Share::Tokens))
        } else if left.cost.is_some_and(|left| left < cost) {
            Some(SessionRefusal::Spent(Share::Cost))
        } else if left.time == Some(Duration::ZERO) {
            Some(SessionRefusal::Spent(Share::Time))
        } else {
            None
        }
    }

    /// A job came in.
    pub(super) fn enter(&mut self, job: &NewJob, price: u64) {
        let Some(asked) = job.session else { return };
        if self.account(asked.id).is_none() {
            self.lives += 1;
            if self.accounts.len() >= self.rules.max {
                let first = self.accounts.iter().filter_map(|it| Some((it.idle_since?, it.id))).min();
                self.accounts.retain(|account| first.is_none_or(|(_, id)| account.id != id));
            }
            self.accounts.push(Account {
                id: asked.id,
                life: self.lives,
                budget: asked.budget.unwrap_or(self.rules.budget),
                turns: 0,
                used: Spending::default(),
                last: None,
                warm: false,
                idle_since: None,
            });
        }
        let Some(account) = self.account(asked.id) else { return };
        let (life, left) = (account.life, self.remaining(account).time);
        let entry = Entry {
            job: job.id,
            session: asked.id,
            life,
            tokens: asked.tokens,
            price,
            granted: left.map(|left| left.min(STEP)),
            seen: 0,
            slot: None,
        };
        if let Some(account) = self.account_of(&entry) {
            account.turns += 1;
            account.idle_since = None;
        }
        self.entries.push(entry);
    }

    /// How a job's session stands to a replica on which it starts now.
    pub(super) fn start(&mut self, job: JobId, lease: LeaseId, now: Timestamp, replica: usize) -> Affinity {
        let Some(at) = self.entries.iter().position(|entry| entry.job == job && entry.slot.is_none()) else {
            return Affinity::None;
        };
        self.entries[at].slot = Some(Slot { lease, since: now, stopped: None });
        let entry = self.entries[at].clone();
        let last = self.account(entry.session).and_then(|account| account.last);
        if let Some(account) = self.account_of(&entry) {
            account.last = Some(replica);
        }
        match last {
            None => Affinity::None,
            Some(last) if last == replica => Affinity::Kept,
            Some(_) => Affinity::Moved,
        }
    }

    /// An attempt let go: how it ended matters to where the session is warm.
    pub(super) fn let_go(&mut self, lease: LeaseId, replica: usize, well: Option<bool>, spent: Spent) {
        let Some(entry) = self.holder(lease).cloned() else { return };
        let Some(account) = self.account_of(&entry) else { return };
        match well {
            Some(true) => account.warm = spent.warm,
            Some(false) => {
                account.warm = false;
                account.last = account.last.filter(|last| *last != replica);
            }
            None => {}
        }
    }

    /// The attempt is over, and its job waits again.
    pub(super) fn again(&mut self, lease: LeaseId, now: Timestamp, spent: Spent) {
        let Some(at) = self.entries.iter().position(|it| it.slot.is_some_and(|slot| slot.lease == lease))
        else {
            return;
        };
        let slot = self.entries[at].slot.take();
        let used = slot.map_or(Duration::ZERO, |slot| slot.elapsed(now));
        self.entries[at].seen = self.entries[at].seen.max(spent.tokens);
        let Some(granted) = self.entries[at].granted else { return };
        let used = used.min(granted);
        self.entries[at].granted = Some(granted.saturating_sub(used));
        let entry = self.entries[at].clone();
        if let Some(account) = self.account_of(&entry) {
            account.used.time += used;
        }
    }

    /// The attempt is over, and its job is, too.
    pub(super) fn over(&mut self, lease: LeaseId, now: Timestamp, spent: Spent) {
        if let Some(at) = self.entries.iter().position(|it| it.slot.is_some_and(|slot| slot.lease == lease)) {
            self.settle(at, now, spent);
        }
    }

    /// A job ended: one that waits is settled, one that runs stops using its time.
    pub(super) fn ended(&mut self, job: JobId, now: Timestamp) {
        let Some(at) = self.entries.iter().rposition(|entry| entry.job == job) else { return };
        match &mut self.entries[at].slot {
            Some(slot) => slot.stopped = slot.stopped.or(Some(now)),
            None => self.settle(at, now, Spent::default()),
        }
    }

    fn settle(&mut self, at: usize, now: Timestamp, spent: Spent) {
        let entry = self.entries.remove(at);
        let tokens = spent.tokens.max(entry.seen).min(entry.tokens);
        let elapsed = entry.slot.map_or(Duration::ZERO, |slot| slot.elapsed(now));
        let cost = price_of(tokens, entry.price);
        let time = entry.granted.map_or(Duration::ZERO, |granted| elapsed.min(granted));
        if let Some(account) = self.account_of(&entry) {
            account.used.tokens += tokens;
            account.used.cost += cost;
            account.used.time += time;
        }
        let busy = self.entries.iter().any(|it| it.session == entry.session && it.life == entry.life);
        if let Some(account) = self.account_of(&entry).filter(|_| !busy) {
            account.idle_since = Some(now);
        }
    }

    /// A client gave a session up.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.accounts.retain(|account| account.id != id);
    }

    fn holder(&self, lease: LeaseId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.slot.is_some_and(|slot| slot.lease == lease))
    }

    /// The next attempt whose time is used up, and when.
    pub(super) fn next_allowance(&self) -> Option<(Timestamp, LeaseId)> {
        let due = |entry: &Entry| {
            let slot = entry.slot.filter(|slot| slot.stopped.is_none())?;
            Some((slot.since + entry.granted?, slot.lease))
        };
        self.entries.iter().filter_map(due).min()
    }

    /// Gives an attempt more time; else names the job that must end.
    pub(super) fn extend(&mut self, lease: LeaseId) -> Option<JobId> {
        let at = self.entries.iter().position(|it| it.slot.is_some_and(|slot| slot.lease == lease))?;
        let entry = self.entries[at].clone();
        let Some(account) = self.account_of(&entry).cloned() else {
            self.entries[at].granted = None;
            return None;
        };
        let more = self.remaining(&account).time.unwrap_or_default().min(STEP);
        if more.is_zero() {
            return Some(entry.job);
        }
        self.entries[at].granted = entry.granted.map(|granted| granted + more);
        None
    }
}
