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
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Threads of each runtime for what blocks, such as a look at the disk. The usual 512 is for a runtime that is alone.
const BLOCKING_MAX: usize = 64;

/// The threads. They end with [`Workers::stop`].
#[derive(Debug)]
pub struct Workers {
    all: Arc<[Arc<Worker>]>,
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
            let (handle, connections) = (runtime.handle().clone(), AtomicUsize::new(0));
            all.push(Arc::new(Worker { runtime: handle, connections }));
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
    all: Arc<[Arc<Worker>]>,
}

impl Spread {
    /// A place on the thread that has the fewest connections.
    pub(crate) fn place(&self) -> Option<Place> {
        let worker = self.all.iter().min_by_key(|worker| worker.load())?;
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { worker: Arc::clone(worker) })
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
    worker: Arc<Worker>,
}

impl Place {
    /// Where the connection is to run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.worker.runtime
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    fn two() -> io::Result<Workers> {
        Workers::start(NonZeroUsize::MIN.saturating_add(1))
    }

    #[test]
    fn each_connection_goes_where_the_fewest_are() {
        let workers = two().unwrap();
        let spread = workers.share();
        let at = |place: &Place| workers.all.iter().position(|it| Arc::ptr_eq(it, &place.worker)).unwrap();
        let mut places: Vec<_> = (0..4).map(|_| spread.place().unwrap()).collect();
        assert_eq!(places.iter().map(at).collect::<Vec<_>>(), [0, 1, 0, 1]);
        places.retain(|place| at(place) == 0);
        places.extend([spread.place().unwrap(), spread.place().unwrap()]);
        assert_eq!(places.iter().map(at).collect::<Vec<_>>(), [0, 0, 1, 1]);
        drop(places);
        assert!(workers.all.iter().all(|worker| worker.load() == 0));
        workers.stop();
    }

    #[test]
    fn what_still_runs_when_they_stop_is_dropped() {
        let workers = two().unwrap();
        let (tracker, alive) = (TaskTracker::new(), Arc::new(()));
        let (held, place) = (Arc::clone(&alive), workers.share().place().unwrap());
        let runs_for_ever = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        tracker.spawn_on(runs_for_ever, place.runtime());
        workers.stop();
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
