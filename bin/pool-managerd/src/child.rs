//! An engine's process as the agent sees it: started, listened to, told to stop, and waited for.

use std::{collections::VecDeque, io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    babysit::{self, in_words},
    plan::{CommandLine, is_kept_from_engines},
};

/// Lines that are kept of what an engine said last.
const TAIL_LINES: usize = 20;
/// No more of them than an error may have.
const TAIL_BYTES_MAX: usize = 3_000;
/// No line is longer in a log or an error.
const LINE_BYTES_MAX: usize = 512;
/// More lines than these in a second are counted instead of logged.
const LINES_PER_SECOND: u32 = 100;
/// The babysitter itself gets so much longer than its engine.
const BABYSITTER_TIME: Duration = Duration::from_secs(3);
/// After the end, what was said last has so long to arrive.
const LAST_WORDS_TIME: Duration = Duration::from_millis(500);

/// How engines are started.
#[derive(Debug, Clone)]
pub(crate) struct Nursery {
    /// The agent's own program.
    pub(crate) program: PathBuf,
    /// Names of the agent's variables that engines must not see.
    pub(crate) hidden: Vec<String>,
    pub(crate) tracker: TaskTracker,
}

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) pool: Arc<str>,
    pub(crate) line: CommandLine,
    pub(crate) stop_timeout: Duration,
    /// What must not be repeated, should the engine say it.
    pub(crate) secret: Option<String>,
}

/// A process that runs. It is told to stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    stop: CancellationToken,
}

impl Process {
    /// Tells it to stop. That it did comes from the `ended` of its start.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Nursery {
    pub(crate) fn new(program: PathBuf, variables: &[String], tracker: TaskTracker) -> Self {
        let hidden = variables.iter().filter(|name| is_kept_from_engines(name)).cloned().collect();
        Self { program, hidden, tracker }
    }

    /// Starts an engine; `ended` is called once, when nothing of it is left.
    ///
    /// # Errors
    /// When not even the babysitter can be started.
    pub(crate) fn start(
        &self,
        launch: Launch,
        ended: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<Process> {
        let mut command = Command::new(&self.program);
        command.arg(babysit::ENGINE).arg(launch.stop_timeout.as_millis().to_string());
        command.arg(&launch.line.program).args(&launch.line.args);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command.envs(launch.line.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C in a terminal is the agent's business.
        let child = command.process_group(0).spawn()?;
        let stop = CancellationToken::new();
        self.tracker.spawn(follow(child, launch, stop.clone(), ended));
        Ok(Process { stop })
    }
}

async fn follow(mut child: Child, launch: Launch, stop: CancellationToken, ended: impl FnOnce(String)) {
    let tail = Arc::new(Tail::default());
    let listening = TaskTracker::new();
    let ear = |stream: &'static str| Ear {
        pool: Arc::clone(&launch.pool),
        stream,
        secret: launch.secret.clone(),
        tail: Arc::clone(&tail),
    };
    if let Some(out) = child.stdout.take() {
        listening.spawn(ear("stdout").listen(out));
    }
    if let Some(err) = child.stderr.take() {
        listening.spawn(ear("stderr").listen(err));
    }
    listening.close();
    let mut line = child.stdin.take();
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop.cancelled() => {
            if let Some(line) = &mut line {
                // A babysitter that is gone already does not read this, and need not.
                drop(line.write_all(&[babysit::STOP]).await);
            }
            match timeout(launch.stop_timeout + BABYSITTER_TIME, child.wait()).await {
                Ok(status) => status,
                Err(_late) => kill_hard(&mut child, &launch.pool).await,
            }
        }
    };
    drop(line);
    // Something that left the group may hold the pipes open for ever.
    drop(timeout(LAST_WORDS_TIME, listening.wait()).await);
    let how = match status {
        Ok(status) => in_words(status),
        Err(error) => format!("cannot be waited for: {error}"),
    };
    ended(tail.after(how));
}

/// The babysitter hangs. The kernel kills its engine with it.
async fn kill_hard(child: &mut Child, pool: &str) -> io::Result<std::process::ExitStatus> {
    warn!(target: "pool_managerd::child", pool_id = pool, "the engine's babysitter does not end and is killed");
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        kill(Pid::from_raw(id), Signal::SIGKILL).ok();
    }
    child.wait().await
}

/// What an engine said last.
#[derive(Debug, Default)]
struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn after(&self, how: String) -> String {
        let lines = self.0.lock();
        if lines.is_empty() {
            return how;
        }
        let mut bytes = 0;
        let fits = |line: &&String| {
            bytes += line.len() + 3;
            bytes <= TAIL_BYTES_MAX
        };
        let mut last: Vec<&str> = lines.iter().rev().take_while(fits).map(String::as_str).collect();
        last.reverse();
        format!("{how}; it said last: {}", last.join(" | "))
    }
}

/// Listens to one of an engine's streams.
struct Ear {
    pool: Arc<str>,
    stream: &'static str,
    secret: Option<String>,
    tail: Arc<Tail>,
}

impl Ear {
    async fn listen(self, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::new(from);
        let (mut second, mut said, mut unsaid) = (Instant::now(), 0_u32, 0_u32);
        // An engine that cannot be read any more has ended, or is about to.
        while let Ok(Some(line)) = next_line(&mut from).await {
            let line = self.harmless(&line);
            if line.is_empty() {
                continue;
            }
            if second.elapsed() >= Duration::from_secs(1) {
                if unsaid > 0 {
                    debug!(target: "pool_managerd::engine", pool_id = %self.pool, lines = unsaid, "lines were left out");
                }
                (second, said, unsaid) = (Instant::now(), 0, 0);
            }
            said += 1;
            if said <= LINES_PER_SECOND {
                debug!(target: "pool_managerd::engine", pool_id = %self.pool, stream = self.stream, line, "said");
            } else {
                unsaid += 1;
            }
            self.tail.push(line);
        }
    }

    /// On one line, without control characters, and without the engine's key.
    fn harmless(&self, line: &[u8]) -> String {
        let text = http_util::excerpt(line);
        let text = match &self.secret {
            Some(secret) => text.replace(secret.as_str(), "(hidden)"),
            None => text,
        };
        text.trim().to_owned()
    }
}

/// The beginning of the next line; the rest of a line that is too long is passed over.
async fn next_line(from: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let bytes = from.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(if line.is_empty() { None } else { Some(line) });
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(bytes.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_at_their_bound_and_no_line_is_lost() {
        let long = "x".repeat(10_000);
        let text = format!("first\n{long}\n\nlast");
        let mut from = BufReader::with_capacity(64, text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut from).await.unwrap() {
            lines.push(line.len());
        }
        assert_eq!(lines, [5, LINE_BYTES_MAX, 0, 4]);
    }

    #[test]
    fn the_last_twenty_lines_are_told_without_the_key() {
        let tail = Arc::new(Tail::default());
        let secret = Some("hush".to_owned());
        let ear = Ear { pool: "p".into(), stream: "stderr", secret, tail: Arc::clone(&tail) };
        for number in 0..30 {
            tail.push(ear.harmless(format!("line {number} hush\x1b[31m").as_bytes()));
        }
        let told = tail.after("exit code 1".into());
        assert!(told.starts_with("exit code 1; it said last: line 10 (hidden)"), "{told}");
        assert!(told.contains("line 29") && !told.contains("hush") && !told.contains('\x1b'), "{told}");
    }
}
