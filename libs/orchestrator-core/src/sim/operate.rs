//! What operators and whole nodes do to a random world.

use super::{
    check::Breach,
    draw::{deadline, operation},
    rare::Rare,
    world::World,
};
use crate::{Event, Operation, OperationKind, PoolId, Readiness, ReplicaId, ReplicaView};

impl World {
    /// An operator does something with a pool; what was begun is mostly brought to its end first.
    pub(super) fn operate(&mut self) -> Result<(), Breach> {
        let Some(pool) = self.random.pick(&self.map.pools).cloned() else { return Ok(()) };
        let pool = if self.random.chance(2) { PoolId::new("nowhere") } else { pool };
        let (index, random) = (self.checked.book.find_pool(&pool), &mut self.random);
        let busy = index.is_some_and(|index| self.checked.book.operation(index).is_some());
        let holds = self.checked.book.holds.iter().filter(|hold| Some(hold.pool) == index);
        let scopes: Vec<Option<ReplicaId>> = holds.map(|hold| hold.replica.clone()).collect();
        // Most of the time most pools must be open, or nothing else happens in the world.
        if scopes.is_empty() && !busy && random.chance(75) {
            return Ok(());
        }
        let weights = [8, 8, if scopes.is_empty() { 1 } else { 60 }, if busy { 35 } else { 1 }];
        match random.weighted(&weights) {
            0 => {
                let (kind, deadline) = (operation(random), deadline(random, self.now));
                let deadline = random.chance(80).then_some(deadline);
                self.tell(Event::Begin { pool, operation: Operation { kind, deadline } })
            }
            1 => {
                let of_pool = self.map.homes.iter().filter(|home| home.pool == pool);
                let names: Vec<ReplicaId> = of_pool.map(|home| home.replica.clone()).collect();
                let replica = random.pick(&names).cloned().filter(|_| random.chance(75));
                let deadline = deadline(random, self.now);
                self.tell(Event::Close { pool, replica, deadline })
            }
            2 => {
                let replica = random.pick(&scopes).cloned().flatten();
                self.tell(Event::Open { pool, replica })
            }
            _ => self.settle(pool),
        }
    }

    /// The operation of a pool ends; every other reload has brought another model.
    fn settle(&mut self, pool: PoolId) -> Result<(), Breach> {
        let index = self.checked.book.find_pool(&pool);
        let kind = index.and_then(|index| self.checked.book.operation(index));
        if kind == Some(OperationKind::Reload) && self.random.chance(50) {
            let models = self.map.some_models(&mut self.random);
            for place in 0..self.map.homes.len() {
                if self.map.homes[place].pool != pool {
                    continue;
                }
                self.map.homes[place].models.clone_from(&models);
                let replica = self.map.homes[place].replica.clone();
                let known = self.checked.book.find_replica(&pool, &replica);
                if known.is_some_and(|known| self.checked.book.replicas[known].is_here()) {
                    let view = self.changed_view(place);
                    self.tell(Event::ReplicaSeen(view))?;
                }
            }
        }
        self.tell(Event::Settle { pool })
    }

    /// Everything on a node goes silent or away, or comes back.
    pub(super) fn lose_node(&mut self) -> Result<(), Breach> {
        let node = self.map.nodes[self.random.index(3)].clone();
        let there = |view: &ReplicaView| view.node.as_ref() == Some(&node);
        let homes = self.map.homes.iter().enumerate();
        let on_it: Vec<usize> = homes.filter(|(_, home)| there(home)).map(|(index, _)| index).collect();
        let how = self.random.weighted(&[3, 3, 2]);
        self.checked.tally.reach_if(on_it.len() > 1 && how < 2, Rare::NodeLost);
        for index in on_it {
            let mut view = self.changed_view(index);
            let event = match how {
                0 => Event::ReplicaGone(view.pool, view.replica),
                1 => {
                    view.readiness = Readiness::Offline;
                    Event::ReplicaSeen(view)
                }
                _ => Event::ReplicaSeen(view),
            };
            self.tell(event)?;
        }
        Ok(())
    }

    /// Every operation is over, and everything is open.
    pub(super) fn open_all(&mut self) -> Result<(), Breach> {
        for (index, _) in self.checked.book.operations.clone() {
            let pool = self.checked.book.pools[index].clone();
            self.tell(Event::Settle { pool })?;
        }
        while let Some(hold) = self.checked.book.holds.first() {
            let (pool, replica) = (self.checked.book.pools[hold.pool].clone(), hold.replica.clone());
            self.tell(Event::Open { pool, replica })?;
        }
        Ok(())
    }
}
