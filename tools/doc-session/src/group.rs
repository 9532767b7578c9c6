//! A process with all that it starts: they end together.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// A process in a group of its own, which ends with this value.
pub(crate) struct Group(pub(crate) Child);

impl Group {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.process_group(0).spawn().map(Self).context("bash cannot be started")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What has ended already is no fault.
        if let Ok(leader) = i32::try_from(self.0.id()) {
            killpg(Pid::from_raw(leader), Signal::SIGKILL).ok();
        }
        drop(self.0.wait());
    }
}
