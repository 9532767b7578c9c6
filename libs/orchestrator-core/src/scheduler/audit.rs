//! What must hold after every step, as one function for the simulator and the tests.

use super::Scheduler;
use crate::{
    fit,
    job::JobState,
    pool::{Pool, Replica, ReplicaKey},
    queue::Place,
    time::Timestamp,
};

impl Scheduler {
    /// Checks the whole state. Costs as much as there are jobs; not for production.
    ///
    /// # Errors
    /// A sentence that names the broken invariant (ids as in `.specs/10_core.md`).
    pub fn audit(&self, now: Timestamp) -> Result<(), String> {
        self.audit_lines()?;
        self.audit_slots()?;
        self.audit_deadlines(now)?;
        self.audit_sessions()?;
        self.audit_holds(now)?;
        self.audit_work_conserving(now)
    }

    fn audit_lines(&self) -> Result<(), String> {
        let mut waiting = 0;
        for (index, pool) in self.pools.iter().enumerate() {
            for (class, line) in pool.lines.iter().enumerate() {
                let places: Vec<_> = self.jobs.in_line(line).collect();
                waiting += places.len();
                if places.len() != line.len as usize {
                    return Err(format!("Q2: a line of {} counts {} jobs", pool.id, line.len));
                }
                if !places.is_sorted_by_key(|place| self.jobs[*place].rank) {
                    return Err(format!("Q2: a line of {} is out of order", pool.id));
                }
                for (ahead, place) in (0..).zip(places) {
                    if self.jobs.ahead(line, place) != ahead {
                        return Err(format!("Q2: {ahead} jobs stand before one that counts others"));
                    }
                    let record = &self.jobs[place];
                    let right = record.pool == index && record.job.priority.index() == class;
                    if !right || record.state != JobState::Queued {
                        return Err(format!("T6: job {} stands in a wrong line", record.job.id));
                    }
                }
            }
        }
        let queued = self.jobs.all().filter(|place| self.jobs[*place].state == JobState::Queued);
        if queued.count() == waiting { Ok(()) } else { Err("T6: a queued job is in no line".to_owned()) }
    }

    fn audit_slots(&self) -> Result<(), String> {
        let runs: usize = (0..self.pools.len()).map(|pool| self.leases.runs(pool).count()).sum();
        if runs != self.leases.len() {
            return Err(format!("P2: {runs} runs are predicted from, {} leases are live", self.leases.len()));
        }
        for (pool, each) in self.pools.iter().enumerate() {
            if each.tally != each.counted() {
                return Err(format!("P2: {} counts {:?}, has {:?}", each.id, each.tally, each.counted()));
            }
            for (replica, it) in each.replicas.iter().enumerate() {
                if each.replicas.iter().position(|other| other.view.does_the_same(&it.view)) != Some(it.like)
                {
                    return Err(format!("P2: {} is thought to be like another", it.view.replica));
                }
                let key = ReplicaKey { pool, replica };
                let leased = self.leases.iter().filter(|lease| lease.replica == key).count();
                if leased != it.used as usize {
                    return Err(format!("P2: {} has {leased} leases, counts {}", it.view.replica, it.used));
                }
            }
        }
        for place in self.jobs.all() {
            let record = &self.jobs[place];
            if let JobState::Running(lease) = record.state
                && !self.leases.is_live(lease)
            {
                return Err(format!("P2: job {} runs without a slot", record.job.id));
            }
        }
        Ok(())
    }

    /// Holds are due, told and obeyed, and nobody waits for what does not come.
    fn audit_holds(&self, now: Timestamp) -> Result<(), String> {
        for pool in &self.pools {
            for hold in &pool.holds {
                let late = hold.deadline().is_some_and(|deadline| deadline <= now);
                if late || (!hold.told && pool.used_under(hold) == 0) {
                    return Err(format!("P12: {:?} of {} is overdue", hold, pool.id));
                }
            }
        }
        let waits = |place: &Place| self.jobs[*place].state == JobState::Queued;
        match self.jobs.all().filter(waits).find(|place| self.is_hopeless(*place).is_some()) {
            Some(place) => Err(format!("P15: job {} waits for nothing", self.jobs[place].job.id)),
            None => Ok(()),
        }
    }

    fn audit_sessions(&self) -> Result<(), String> {
        let waiting = self.jobs.all().filter_map(|place| self.jobs[place].held.as_ref());
        let running = self.leases.iter().filter_map(|lease| lease.held.as_ref());
        self.sessions.audit(&waiting.chain(running).collect::<Vec<_>>())
    }

    fn audit_deadlines(&self, now: Timestamp) -> Result<(), String> {
        for place in self.jobs.all() {
            let record = &self.jobs[place];
            if record.job.deadline.is_some_and(|deadline| deadline <= now) {
                return Err(format!("Q5: job {} outlives its deadline", record.job.id));
            }
        }
        Ok(())
    }

    /// No replica has room while a job waits that it may run.
    fn audit_work_conserving(&self, now: Timestamp) -> Result<(), String> {
        let has_room = |(pool, replica): &(&Pool, &Replica)| pool.has_room(replica, now);
        let idle: Vec<_> = self.existing().filter(has_room).map(|(_, replica)| replica).collect();
        if idle.is_empty() {
            return Ok(());
        }
        let lines = self.pools.iter().flat_map(|pool| &pool.lines);
        for place in lines.flat_map(|line| self.jobs.in_line(line)) {
            let record = &self.jobs[place];
            for replica in &idle {
                let (job, gpu) = (&record.job.requirements, self.rules.gpu);
                if fit::check(job, &record.tried, &replica.view, gpu).is_ok() {
                    let name = &replica.view.replica;
                    return Err(format!("Q8: {name} is idle while job {} waits for it", record.job.id));
                }
            }
        }
        Ok(())
    }
}
