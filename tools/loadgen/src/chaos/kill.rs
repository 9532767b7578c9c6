//! `chaos kill`: the server is killed at random moments while clients are at work, and started again.
//!
//! Nothing that a client was told may be taken back: no accepted task is lost, none ends twice, none is accepted
//! twice, and whatever readers saw stays as it was.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    actors::{Actor, Until},
    dice::Dice,
    engine::CountingEngine,
    server::{Server, Setup, free_address},
    task::{Breach, Cancel, Standing, Task},
    verdict,
    world::World,
};
use crate::relay::Scratch;

/// Options of `chaos kill`.
#[derive(Args)]
pub(crate) struct KillArgs {
    /// The server's executable.
    #[arg(long)]
    orchestratord: PathBuf,
    /// How many times the server is killed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    loops: u32,
    /// What the clients do follows from it; when they are cut off does not.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const ENGINES: usize = 2;
const SLOTS: usize = 6;
const WRITERS: u32 = 6;
const VISITORS: u32 = 5;
/// How many clients look at everything at the end.
const JUDGES: usize = 8;
/// A kill comes within so many milliseconds.
const LIFE_MS: u32 = 300;
/// Now and then it comes later, so that long tasks end too.
const LONG_LIFE_MS: u32 = 1_500;
/// Nobody waits longer for anything.
const PATIENCE: Duration = Duration::from_mins(2);

/// Kills and checks, and prints what was found. The state folder of a breach stays.
pub(crate) async fn run(args: &KillArgs) -> Result<()> {
    let mut dice = Dice::new(args.seed);
    let scratch = Scratch::new("chaos-kill")?;
    let mut run = Run::prepare(args, &scratch).await?;
    let outcome = run.all(args.loops, &mut dice).await;
    if let Err(error) = outcome {
        let folder = scratch.keep();
        let done = run.world.known().figures.kills;
        return Err(error.context(format!(
            "seed {}, after {done} kills; the state is in {}",
            args.seed,
            folder.display()
        )));
    }
    Ok(())
}

struct Run {
    world: Arc<World>,
    setup: Setup,
    _engines: Vec<CountingEngine>,
}

impl Run {
    async fn prepare(args: &KillArgs, scratch: &Scratch) -> Result<Self> {
        let mut engines = Vec::new();
        for _ in 0..ENGINES {
            engines.push(CountingEngine::start(SLOTS).await?);
        }
        let pools: Vec<_> = engines
            .iter()
            .enumerate()
            .map(|(number, engine)| format!("p{number}=llamacpp+{}", engine.url()))
            .collect();
        let setting = |name, value: &str| (name, value.to_owned());
        let setup = Setup {
            executable: args.orchestratord.clone(),
            folder: scratch.path().to_owned(),
            target: free_address()?,
            settings: vec![
                setting("ORCHD_POOLS", &pools.join(",")),
                setting("ORCHD_ADMISSION_CAPACITY", "100000"),
                setting("ORCHD_JOBS_MAX_ATTEMPTS", "5"),
                setting("ORCHD_JOBS_RETENTION_MS", "604800000"),
                setting("ORCHD_JOBS_RETAINED_MAX", "10000000"),
                setting("ORCHD_JOBS_RETAINED_BYTES_MAX", "1099511627776"),
                setting("ORCHD_STORE_COMMIT_TIMEOUT_MS", "60000"),
            ],
        };
        Ok(Self { world: Arc::new(World::new(setup.target)), setup, _engines: engines })
    }

    async fn all(&mut self, loops: u32, dice: &mut Dice) -> Result<()> {
        let begun = Instant::now();
        for number in 0..loops {
            self.one_life(dice).await.with_context(|| format!("life {number}"))?;
            if (number + 1) % 100 == 0 {
                let tasks = self.world.known().tasks.len();
                println!("{} kills, {tasks} tasks, {:.0?}", number + 1, begun.elapsed());
            }
        }
        let looped = begun.elapsed();
        let server = self.judge_everything(dice, Pass::First).await.context("after the last kill")?;
        server.kill()?;
        self.world.goes_down();
        // What was read at the end is read once more by a server that has only the disk.
        let server = self.judge_everything(dice, Pass::Second).await.context("after one kill more")?;
        drop(server);
        self.print(looped, begun.elapsed());
        Ok(())
    }

    /// From a start to a kill, which now and then comes while the server still starts.
    async fn one_life(&mut self, dice: &mut Dice) -> Result<()> {
        let mut server = Server::start(&self.setup)?;
        let most = if dice.happens(5) { LONG_LIFE_MS } else { LIFE_MS };
        let life = Duration::from_millis(dice.below(most).into());
        if dice.happens(15) {
            sleep(life / 4).await;
            server.kill()?;
            self.world.known().figures.kills += 1;
            self.world.known().figures.kills_at_start += 1;
            return Ok(());
        }
        server.ready().await?;
        self.world.comes_up();
        let mut actors = self.actors(dice);
        tokio::select! {
            () = sleep(life) => {}
            error = first_error(&mut actors) => return Err(error),
        }
        self.world.goes_down();
        server.kill()?;
        self.world.known().figures.kills += 1;
        while let Some(ended) = timeout(PATIENCE, actors.join_next()).await.context("a client hangs")? {
            ended??;
        }
        self.world.known().forget_what_was_in_memory();
        Ok(())
    }

    fn actors(&self, dice: &mut Dice) -> JoinSet<Result<()>> {
        let mut actors = JoinSet::new();
        for number in 0..WRITERS + VISITORS {
            let mut actor = Actor::new(&self.world, dice.split());
            actors.spawn(async move {
                let done = if number < WRITERS { actor.write().await } else { actor.visit().await };
                excuse(done, &actor.world)
            });
        }
        actors
    }

    /// Waits until all tasks have ended, and looks at each of them.
    async fn judge_everything(&mut self, dice: &mut Dice, pass: Pass) -> Result<Server> {
        let mut server = Server::start(&self.setup)?;
        server.ready().await?;
        self.world.comes_up();
        let mut actor = Actor::new(&self.world, dice.split());
        loop {
            let unanswered = self.world.known().take_unanswered();
            let Some(task) = unanswered else { break };
            actor.submit(task).await?;
        }
        let open = self.world.known().all_open();
        timeout(PATIENCE, self.share(open, dice, Work::ReadToTheEnd)).await.context("tasks do not end")??;
        let all = self.world.known().all_promised();
        self.share(all, dice, Work::Judge(pass)).await?;
        Ok(server)
    }

    /// Shares work on tasks among some clients.
    async fn share(&self, tasks: Vec<usize>, dice: &mut Dice, work: Work) -> Result<()> {
        let mut sharers: JoinSet<Result<()>> = JoinSet::new();
        for part in tasks.chunks(tasks.len().div_ceil(JUDGES).max(1)) {
            let (mut actor, part) = (Actor::new(&self.world, dice.split()), part.to_vec());
            sharers.spawn(async move {
                for task in part {
                    actor.finally(task, work).await?;
                }
                Ok(())
            });
        }
        while let Some(done) = sharers.join_next().await {
            done??;
        }
        Ok(())
    }

    fn print(&self, looped: Duration, took: Duration) {
        let known = self.world.known();
        let (figures, accepted) = (known.figures, known.all_promised().len());
        let memory = known.tasks.iter().filter(|task| task.standing == Standing::GivenUp).count();
        let canceled = known.tasks.iter().filter(|task| task.cancel == Cancel::Done).count();
        let lives = |task: &&Task| task.seen.keys().any(|id| *id >= verdict::IDS_PER_LIFE);
        let resumed = known.tasks.iter().filter(lives).count();
        let rows = [
            ("kills", u64::from(figures.kills), format!("{} while it started", figures.kills_at_start)),
            ("submitted", known.tasks.len() as u64, format!("{} refused", figures.refused)),
            ("accepted", accepted as u64, format!("and {memory} in memory only, not promised")),
            ("submitted again", figures.repeated.into(), "answered with the same job".to_owned()),
            ("completed", figures.completed.into(), "each with its whole text".to_owned()),
            ("canceled", figures.canceled.into(), format!("{canceled} of the cancels were answered 204")),
            ("failed", figures.failed.into(), "their server was lost under their readers".to_owned()),
            ("of several lives", resumed as u64, "tasks with events from before and after a kill".to_owned()),
            ("reads", figures.reads, String::new()),
            ("events checked", figures.events, String::new()),
            ("whole streams judged", figures.verdicts, "the last two times behind the last kills".to_owned()),
            ("lost", 0, String::new()),
            ("second terminals", 0, String::new()),
            ("duplicates", 0, String::new()),
            ("inconsistent", 0, String::new()),
        ];
        for (name, count, note) in rows {
            println!("{name:<22} {count:>9}  {note}");
        }
        println!("{looped:.1?} for the kills, {took:.1?} in all");
    }
}

/// Which look at everything it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    First,
    Second,
}

/// What is done with each task at the end.
#[derive(Debug, Clone, Copy)]
enum Work {
    ReadToTheEnd,
    Judge(Pass),
}

impl Actor {
    async fn finally(&mut self, task: usize, work: Work) -> Result<()> {
        match work {
            Work::ReadToTheEnd => {
                let newest = self.world.known().tasks[task].seen.keys().next_back().copied();
                self.read(task, newest, Until::TheEnd).await?;
            }
            Work::Judge(pass) => {
                self.submit(task).await?;
                let ending = self.verify(task).await?;
                if pass == Pass::First {
                    self.world.known().figures.ended(ending);
                }
            }
        }
        Ok(())
    }
}

/// The first error of a client; never, when they all just end.
async fn first_error(actors: &mut JoinSet<Result<()>>) -> anyhow::Error {
    loop {
        match actors.join_next().await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return error,
            Some(Err(error)) => return error.into(),
            None => std::future::pending().await,
        }
    }
}

/// A connection may break when the server is killed, and only then.
fn excuse(done: Result<()>, world: &World) -> Result<()> {
    match done {
        Err(error) if error.is::<Breach>() || !world.is_down() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_a_broken_connection_and_only_of_a_killed_server_is_excused() {
        let world = World::new("127.0.0.1:1".parse().unwrap());
        let broken = || Err(anyhow!("the server closed the connection"));
        let breach = || Err(Breach("lost".to_owned()).into());
        excuse(broken(), &world).unwrap();
        excuse(breach(), &world).unwrap_err();
        world.comes_up();
        excuse(broken(), &world).unwrap_err();
        excuse(Ok(()), &world).unwrap();
    }
}
