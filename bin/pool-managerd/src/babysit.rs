//! The process between the agent and an engine, so that no engine outlives its agent.
//!
//! The agent starts itself again as `pool-managerd __engine`. That process starts the engine in a group of its
//! own, and holds the reading end of a pipe whose other end only the agent has: when the agent dies, in
//! whatever way, the pipe closes, and the group is ended. Between the two stands a third step, `__exec`, that
//! asks the kernel to kill the engine when the babysitter itself is killed, and then becomes the engine.
//!
//! Invariant: when the babysitter ends in order, no process of the engine's group is left.

use std::{
    ffi::OsString,
    fs,
    io::{self, stderr, stdin},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use command_line::say;
use nix::{
    errno::Errno,
    sys::{
        prctl::{set_child_subreaper, set_pdeathsig},
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid, getppid},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::Child,
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

/// The first word of the command line of a babysitter.
pub const ENGINE: &str = "__engine";
const EXEC: &str = "__exec";
/// What the agent writes when it wants the engine to stop in order. A pipe that closes without it has lost its agent.
pub(crate) const STOP: u8 = b's';
/// How long an engine may take to stop once its agent is gone. It is short, since readers of streams that it
/// neither ends nor goes on with wait for as long; it is not zero, since a container's runtime passes the signal on.
const ORPHAN_TIME: Duration = Duration::from_millis(50);
/// What is left of the group is killed again so often.
const SWEEPS: u32 = 50;
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
/// What a shell says when there is no such program.
const EXIT_NOT_STARTED: u8 = 127;
/// Added to a signal's number, as shells do.
const EXIT_SIGNAL: i32 = 128;

/// Runs what a babysitter's command line asks for; `None` when it is not one.
pub fn run(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let first = args.next()?;
    let number = |text: Option<OsString>| text.and_then(|text| text.to_str()?.parse::<u64>().ok());
    if first == ENGINE {
        let stop_ms = number(args.next())?;
        return Some(babysit(Duration::from_millis(stop_ms), &args.collect::<Vec<_>>()));
    }
    if first == EXEC {
        let parent = number(args.next())?;
        return Some(become_the_engine(parent, &args.collect::<Vec<_>>()));
    }
    None
}

/// Becomes the engine, with the promise of the kernel that it dies with its parent.
fn become_the_engine(parent: u64, command: &[OsString]) -> ExitCode {
    let failed = |text: String| say(&mut stderr(), &text, ExitCode::from(EXIT_NOT_STARTED));
    if let Err(error) = set_pdeathsig(Signal::SIGKILL) {
        return failed(format!("the engine cannot be bound to its parent: {error}\n"));
    }
    // The parent may have died before the promise was made.
    if u64::try_from(getppid().as_raw()) != Ok(parent) {
        return ExitCode::FAILURE;
    }
    let Some((program, args)) = command.split_first() else { return failed("no program\n".to_owned()) };
    let error = Command::new(program).args(args).exec();
    failed(format!("{} cannot be started: {error}\n", program.display()))
}

fn babysit(stop_timeout: Duration, command: &[OsString]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(watch(stop_timeout, command))) {
        Ok(status) => code_of(status),
        Err(error) => {
            say(&mut stderr(), &format!("the engine cannot be looked after: {error}\n"), ExitCode::FAILURE)
        }
    }
}

fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| EXIT_SIGNAL + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Why the engine is to end.
enum Wish {
    InOrder,
    AgentGone,
}

/// Starts the engine and waits for its end, or for a reason to end it.
//= ORCH-3440
async fn watch(stop_timeout: Duration, command: &[OsString]) -> io::Result<ExitStatus> {
    // Whatever the engine leaves becomes a child of this process, and can be found and waited for.
    set_child_subreaper(true)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut agent = pipe::Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?;
    let mut child = start(command)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let wish = tokio::select! {
        ended = child.wait() => {
            let status = ended?;
            sweep(group).await;
            return Ok(status);
        }
        _ = terminate.recv() => Wish::InOrder,
        wish = wish_of(&mut agent) => wish,
    };
    let patience = match wish {
        Wish::InOrder => stop_timeout,
        Wish::AgentGone => stop_timeout.min(ORPHAN_TIME),
    };
    signal_group(group, Signal::SIGTERM);
    let status = match timeout(patience, child.wait()).await {
        Ok(status) => status?,
        Err(_late) => {
            signal_group(group, Signal::SIGKILL);
            child.wait().await?
        }
    };
    sweep(group).await;
    Ok(status)
}

fn start(command: &[OsString]) -> io::Result<Child> {
    // The same program, also when its file was replaced since.
    let mut step = tokio::process::Command::new("/proc/self/exe");
    step.arg(EXEC).arg(getpid().to_string()).args(command).stdin(Stdio::null()).process_group(0);
    step.spawn()
}

async fn wish_of(agent: &mut pipe::Receiver) -> Wish {
    let mut byte = [0];
    match agent.read(&mut byte).await {
        Ok(1) if byte[0] == STOP => Wish::InOrder,
        _ => Wish::AgentGone,
    }
}

fn signal_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // A group that is gone needs no signal.
        killpg(group, signal).ok();
    }
}

/// Kills what is left of the engine: its group, and whatever left the group and became ours.
async fn sweep(group: Option<Pid>) {
    for _ in 0..SWEEPS {
        signal_group(group, Signal::SIGKILL);
        for orphan in own_children() {
            kill(orphan, Signal::SIGKILL).ok();
        }
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => return,
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
        sleep(SWEEP_PAUSE).await;
    }
}

/// The children of this process, as far as the kernel tells them.
fn own_children() -> Vec<Pid> {
    let id = getpid();
    let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).map(Pid::from_raw).collect()
}

/// The end of a babysitter in words: it ends as its engine did.
pub(crate) fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) if code > EXIT_SIGNAL && code < 255 => {
            format!("killed by signal {}", code - EXIT_SIGNAL)
        }
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("its babysitter was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
