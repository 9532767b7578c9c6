//! Ctrl-C, a polite kill and a closed terminal, as a flag that loops look at.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether somebody wants this process to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    flag: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes the signals over from the system's default, which would end the process at once.
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.flag))
                .context("cannot handle signals")?;
        }
        Ok(interrupt)
    }

    pub(crate) fn has_come(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
impl Interrupt {
    pub(crate) fn come(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }
}
