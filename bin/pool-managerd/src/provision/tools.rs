//! Programs of the machine: whether they are there, and running them to their end.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// How much of a failed program's last words is told.
const WORDS_BYTES_MAX: usize = 400;
/// Where NVIDIA's toolkit describes devices to container runtimes.
const CDI_FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Where programs are looked for, and what they must not see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tools {
    /// The search path.
    pub(crate) path: OsString,
    /// Names of the agent's variables that others must not see.
    pub(crate) hidden: Vec<String>,
}

impl Tools {
    /// Whether all of these are there.
    ///
    /// # Errors
    /// The names of all that are not.
    pub(crate) fn need(&self, programs: &[&str]) -> Result<(), String> {
        let missing: Vec<&str> = programs.iter().copied().filter(|it| self.find(it).is_none()).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("missing on this machine: {}", missing.join(", ")))
        }
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        if program.contains('/') {
            return Some(PathBuf::from(program)).filter(|path| is_program(path));
        }
        let folders = self.path.to_str().unwrap_or_default().split(':').filter(|folder| !folder.is_empty());
        folders.map(|folder| Path::new(folder).join(program)).find(|path| is_program(path))
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When it fails, with what it said last, or does not end in time.
    pub(crate) async fn run(&self, program: &str, args: &[&str], within: Duration) -> Result<(), String> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        for name in &self.hidden {
            command.env_remove(name);
        }
        let ended = timeout(within, command.output()).await;
        let output = ended.map_err(|_late| format!("{program} did not end within {} s", within.as_secs()))?;
        let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        let last = &said[said.len().saturating_sub(WORDS_BYTES_MAX)..];
        Err(format!(
            "{program} {} failed ({}): {}",
            args.join(" "),
            output.status,
            http_util::excerpt(last).trim()
        ))
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Whether containers can be given NVIDIA's devices by name.
pub(super) fn has_nvidia_devices() -> bool {
    let describes = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("nvidia");
    CDI_FOLDERS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().any(describes)
}
