//! The clients: some submit tasks, some look after them, and any of them may be cut off at any moment.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    client::{Answer, Client, Heard},
    dice::Dice,
    frames::Frame,
    task::{Breach, Cancel},
    verdict::{self, Ending},
    world::World,
};

/// A client at its work.
pub(crate) struct Actor {
    pub(crate) world: Arc<World>,
    client: Client,
    dice: Dice,
}

/// How far a reader reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Events(u32),
    TheEnd,
}

impl Actor {
    pub(crate) fn new(world: &Arc<World>, dice: Dice) -> Self {
        Self { world: Arc::clone(world), client: Client::new(world.target), dice }
    }

    /// Submits some tasks, one after the other, and stays with them for a while.
    pub(crate) async fn write(&mut self) -> Result<()> {
        for _ in 0..=self.dice.below(3) {
            self.wait(40).await;
            let task = self.world.known().take_unanswered();
            let task = task.or_else(|| self.world.known().new_task(&mut self.dice));
            let Some(task) = task else { continue };
            self.submit_some_way(task).await?;
            if !self.world.known().tasks[task].is_open() {
                continue;
            }
            if self.dice.happens(60) {
                self.read_some(task).await?;
            }
            if self.dice.happens(25) {
                self.wait(30).await;
                self.cancel(task).await?;
            }
        }
        Ok(())
    }

    /// Looks after any task, again and again.
    pub(crate) async fn visit(&mut self) -> Result<()> {
        while !self.world.is_down() {
            self.wait(20).await;
            let Some(task) = self.world.known().pick(&mut self.dice) else { continue };
            match self.dice.below(20) {
                0 => self.cancel(task).await?,
                1..4 => self.submit(task).await?,
                4..6 => drop(self.view(task).await?),
                6..8 => {
                    if !self.world.known().tasks[task].is_open() {
                        self.verify(task).await?;
                    }
                }
                _ => self.read_some(task).await?,
            }
        }
        Ok(())
    }

    async fn wait(&mut self, most_ms: u32) {
        sleep(Duration::from_millis(self.dice.below(most_ms).into())).await;
    }

    /// Submits a task, and sometimes twice at once.
    async fn submit_some_way(&mut self, task: usize) -> Result<()> {
        let result = if self.dice.happens(30) {
            let mut other = Self::new(&self.world, self.dice.split());
            let (one, two) = tokio::join!(self.submit(task), other.submit(task));
            one.and(two)
        } else {
            self.submit(task).await
        };
        if result.is_err() {
            self.world.known().unanswered(task);
        }
        result
    }

    pub(crate) async fn submit(&mut self, task: usize) -> Result<()> {
        let (body, before) = {
            let known = self.world.known();
            (known.tasks[task].asked.body.clone(), known.tasks[task].standing)
        };
        let answer = self.client.call("POST", "/v2/tasks", &body).await?;
        Ok(self.world.known().answered(task, &answer, before)?)
    }

    /// Takes a task back. After a 204 its stream must be over.
    async fn cancel(&mut self, task: usize) -> Result<()> {
        let path = format!("/v2/tasks/{}/cancel", self.id(task));
        let answer = self.client.call("POST", &path, "").await?;
        let told = match answer.status {
            204 => Cancel::Done,
            409 => Cancel::TooLate,
            503 => return Ok(()),
            _ => return Err(self.lost(task, "a cancel", &answer).into()),
        };
        self.world.known().tasks[task].cancel_answered(told)?;
        self.verify(task).await.map(drop)
    }

    /// What a task's view says.
    pub(crate) async fn view(&mut self, task: usize) -> Result<serde_json::Value> {
        let answer = self.client.call("GET", &format!("/v2/tasks/{}", self.id(task)), "").await?;
        if answer.status != 200 {
            return Err(self.lost(task, "a view", &answer).into());
        }
        let view = answer.json();
        self.world.known().tasks[task].viewed(view["state"].as_str().unwrap_or_default())?;
        Ok(view)
    }

    /// Reads a part of a stream, from its start or behind any event that anybody saw.
    async fn read_some(&mut self, task: usize) -> Result<()> {
        let ids: Vec<u32> = self.world.known().tasks[task].seen.keys().copied().collect();
        let newest = ids.last().copied();
        let after = match self.dice.below(10) {
            0..3 => None,
            3..7 => newest,
            _ => self.dice.pick(&ids),
        };
        let until =
            if self.dice.happens(50) { Until::Events(1 + self.dice.below(30)) } else { Until::TheEnd };
        self.read(task, after, until).await.map(drop)
    }

    /// Reads events and notes each of them.
    pub(crate) async fn read(&mut self, task: usize, after: Option<u32>, until: Until) -> Result<Vec<Frame>> {
        let (id, world) = (self.id(task), Arc::clone(&self.world));
        let (mut last, mut frames) = (after, Vec::new());
        let each = |frame: Frame| {
            let mut known = world.known();
            known.tasks[task].saw(last, &frame)?;
            known.figures.events += 1;
            last = Some(frame.id);
            frames.push(frame);
            let left = matches!(until, Until::Events(most) if frames.len() >= most as usize);
            Ok(if left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let heard = self.client.events(&id, after, each).await?;
        self.world.known().figures.reads += 1;
        let terminal = self.world.known().tasks[task].terminal;
        match heard {
            Heard::Refused(answer) => {
                Err(self.lost(task, &format!("a reader behind {after:?}"), &answer).into())
            }
            Heard::All if terminal.is_none() || terminal != last => {
                let what = format!("a stream ended behind {last:?} without its terminal event");
                Err(self.world.known().tasks[task].breach(&what).into())
            }
            Heard::All | Heard::Left => Ok(frames),
        }
    }

    /// Reads a task that is over from its start to its end, and judges it.
    pub(crate) async fn verify(&mut self, task: usize) -> Result<Ending> {
        let stream = self.read(task, None, Until::TheEnd).await?;
        let view = self.view(task).await?;
        let mut known = self.world.known();
        let ending = verdict::judge(&known.tasks[task], &stream, &view)?;
        known.figures.verdicts += 1;
        Ok(ending)
    }

    fn id(&self, task: usize) -> String {
        self.world.known().tasks[task].asked.id.clone()
    }

    fn lost(&self, task: usize, who: &str, answer: &Answer) -> Breach {
        self.world.known().tasks[task].breach(&format!("{who} was answered {}", answer.shown()))
    }
}
