//! Threads that serve connections, each with a runtime of its own.
//!
//! All that happens for one connection happens on one thread: what it wakes is woken without a lock and without
//! a sleeping thread that must be roused, which costs more than a token does. For that, no thread takes over
//! another's work, so connections are spread when they come in: each goes to the thread that has the fewest.

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

/// Threads of each runtime for what blocks, such as a look at the disk. The usual 512 is for a runtime that is alone.
const BLOCKING_MAX: usize = 64;

/// The threads. They end with [`Workers::stop`].
#[derive(Debug)]
pub struct Workers {
    all: Arc<[Worker]>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: AtomicUsize,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors for them.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (mut all, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count.get() {
            let runtime =
                Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_MAX).build()?;
            all.push(Worker { runtime: runtime.handle().clone(), connections: AtomicUsize::new(0) });
            let stopped = stop.clone().cancelled_owned();
            let thread = thread::Builder::new().name(format!("connections-{index}"));
            threads.push(thread.spawn(move || runtime.block_on(stopped))?);
        }
        Ok(Self { all: all.into(), threads, stop })
    }

    /// Stops them, and whatever runs there. Call it when nothing of that is of use to anybody any more.
    pub fn stop(self) {
        self.stop.cancel();
        for thread in self.threads {
            if thread.join().is_err() {
                error!(target: "http_server::workers", "a thread panicked");
            }
        }
    }

    pub(crate) fn share(&self) -> Spread {
        Spread { all: Arc::clone(&self.all) }
    }
}

/// Spreads connections over the threads.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    all: Arc<[Worker]>,
}

impl Spread {
    /// A place on the thread that has the fewest connections.
    pub(crate) fn place(&self) -> Option<Place> {
        let fewest = (0..self.all.len()).min_by_key(|&at| self.all.get(at).map(Worker::load))?;
        self.all.get(fewest)?.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { all: Arc::clone(&self.all), at: fewest })
    }
}

impl Worker {
    fn load(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One connection's place on its thread; dropped with it.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<[Worker]>,
    at: usize,
}

impl Place {
    /// Runs a connection there, known to `tracker`.
    pub(crate) fn spawn(self, tracker: &TaskTracker, connection: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = self.all.get(self.at).map(|worker| worker.runtime.clone()) else { return };
        tracker.spawn_on(
            async move {
                connection.await;
                drop(self);
            },
            &runtime,
        );
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(worker) = self.all.get(self.at) {
            worker.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Workers {
        Workers::start(NonZeroUsize::new(2).unwrap()).unwrap()
    }

    #[test]
    fn each_connection_goes_where_the_fewest_are() {
        let workers = two();
        let spread = workers.share();
        let mut places: Vec<_> = (0..4).map(|_| spread.place().unwrap()).collect();
        let at = |places: &[Place]| places.iter().map(|place| place.at).collect::<Vec<_>>();
        assert_eq!(at(&places), [0, 1, 0, 1]);
        places.retain(|place| place.at == 0);
        places.extend([spread.place().unwrap(), spread.place().unwrap()]);
        assert_eq!(at(&places), [0, 0, 1, 1]);
        workers.stop();
    }

    #[test]
    fn a_connection_runs_on_its_thread_and_gives_its_place_back() {
        let workers = two();
        let (tracker, spread) = (TaskTracker::new(), workers.share());
        let (tell, told) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let tell = tell.clone();
            spread.place().unwrap().spawn(&tracker, async move {
                tell.send(thread::current().name().map(str::to_owned)).unwrap();
            });
        }
        let mut names: Vec<_> = told.iter().take(4).flatten().collect();
        names.sort();
        assert_eq!(names.len(), 4);
        assert!(names.iter().all(|name| name.starts_with("connections-")), "{names:?}");
        tracker.close();
        Builder::new_current_thread().build().unwrap().block_on(tracker.wait());
        assert!(workers.all.iter().all(|worker| worker.load() == 0));
        workers.stop();
    }

    #[test]
    fn what_still_runs_when_they_stop_is_dropped() {
        let workers = two();
        let (tracker, dropped) = (TaskTracker::new(), Arc::new(()));
        let held = Arc::clone(&dropped);
        workers.share().place().unwrap().spawn(&tracker, async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        workers.stop();
        assert_eq!(Arc::strong_count(&dropped), 1);
    }
}
