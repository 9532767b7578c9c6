//! What a trace of system calls says: whether each 202 left after the disk had its task.
//!
//! The trace is that of `strace -f -ttt -y`. A call of one thread that others interrupt has a line at its begin
//! and one at its end. A line at the end is written when the call is over, and one at the begin before it is
//! done, so the order of these lines is an order of what happened.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};
use memchr::memmem;

/// The log in which a commit is on the disk.
const LOG_FILE: &[u8] = b"/jobs.db-wal>";
/// How a task's id stands in its record, with the quotes as the trace writes them: while it lives, and at its
/// end, for a task may come and end within one commit.
const IDS_IN_RECORDS: [&[u8]; 2] = [br#"\"id\":\""#, br#"\"view\":{\"job_id\":\""#];
const ACCEPTED: &[u8] = b"\"HTTP/1.1 202 ";
const LOCATION: &[u8] = b"location: /v2/tasks/";
const ID_BYTES: usize = 36;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    line: u64,
    /// What threads are in the middle of.
    begun: HashMap<u32, Call>,
    /// Ids that were written, and the line at which that was done.
    written: HashMap<String, u64>,
    /// Ids that a later sync has put on the disk.
    safe: HashSet<String>,
    pub(crate) found: Found,
}

/// Figures of a trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
    pub(crate) accepted: u64,
}

/// A call that matters.
#[derive(Debug)]
enum Call {
    /// These ids go into the log.
    Write(Vec<String>),
    /// The log goes to the disk since this line.
    Sync(u64),
    Other,
}

impl Audit {
    /// Takes the next line.
    pub(crate) fn push(&mut self, line: &[u8]) -> Result<()> {
        self.line += 1;
        let Some((thread, rest)) = thread_of(line) else { return Ok(()) };
        if rest.starts_with(b"<... ") {
            if let Some(call) = self.begun.remove(&thread) {
                self.done(call, rest);
            }
            return Ok(());
        }
        let call = self.call(rest)?;
        if rest.ends_with(b"<unfinished ...>") {
            self.begun.insert(thread, call);
        } else {
            self.done(call, rest);
        }
        Ok(())
    }

    /// A call begins. An answer must not begin to leave too early.
    fn call(&mut self, rest: &[u8]) -> Result<Call> {
        let name = rest.split(|byte| *byte == b'(').next().unwrap_or_default();
        let on_log = rest.split(|byte| *byte == b',' || *byte == b')').next().unwrap_or_default();
        let on_log = memmem::find(on_log, LOG_FILE).is_some();
        Ok(match name {
            b"fdatasync" | b"fsync" if on_log => Call::Sync(self.line),
            b"pwrite64" | b"write" if on_log => Call::Write(ids_in(rest)?),
            b"sendto" | b"write" | b"writev" | b"sendmsg" => {
                self.sends(rest)?;
                Call::Other
            }
            _ => Call::Other,
        })
    }

    /// A call is over, as its last line tells.
    fn done(&mut self, call: Call, rest: &[u8]) {
        if memmem::rfind(rest, b" = -1 ").is_some_and(|at| rest.len() - at < 60) {
            return;
        }
        match call {
            Call::Write(ids) => {
                self.found.writes += 1;
                for id in ids {
                    self.written.entry(id).or_insert(self.line);
                }
            }
            Call::Sync(begun) => {
                self.found.syncs += 1;
                let safe = self.written.extract_if(|_, written| *written < begun).map(|(id, _)| id);
                self.safe.extend(safe);
            }
            Call::Other => {}
        }
    }

    fn sends(&mut self, rest: &[u8]) -> Result<()> {
        let Some(at) = memmem::find(rest, ACCEPTED) else { return Ok(()) };
        let Some(id) =
            memmem::find(&rest[at..], LOCATION).and_then(|to| id_at(rest, at + to + LOCATION.len()))
        else {
            bail!("line {}: a 202 does not say where its task is", self.line);
        };
        ensure!(
            self.safe.contains(&id),
            "BREACH: line {}: the 202 of task {id} leaves, and no fdatasync of the log is over that began after its \
             record was written ({})",
            self.line,
            if self.written.contains_key(&id) { "it was written" } else { "it was not even written" },
        );
        self.found.accepted += 1;
        Ok(())
    }
}

/// The thread of a line, and what stands behind its time.
fn thread_of(line: &[u8]) -> Option<(u32, &[u8])> {
    let line = line.trim_ascii();
    let behind_thread = line.iter().position(|byte| *byte == b' ')?;
    let thread = str::from_utf8(&line[..behind_thread]).ok()?.parse().ok()?;
    let rest = line[behind_thread..].trim_ascii_start();
    let behind_time = rest.iter().position(|byte| *byte == b' ')?;
    Some((thread, rest[behind_time..].trim_ascii_start()))
}

/// The ids of all tasks whose records stand in what is written.
fn ids_in(written: &[u8]) -> Result<Vec<String>> {
    // A page that is cut short would hide ids.
    ensure!(memmem::find(written, b"\"..., ").is_none(), "the trace cuts what is written to the log");
    let behind = |name: &'static [u8]| memmem::find_iter(written, name).map(|at| at + name.len());
    Ok(IDS_IN_RECORDS.into_iter().flat_map(behind).filter_map(|at| id_at(written, at)).collect())
}

fn id_at(text: &[u8], at: usize) -> Option<String> {
    let id = str::from_utf8(text.get(at..at + ID_BYTES)?).ok()?;
    let is_id = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a2b3c4-0000-7000-8000-000000000001";

    fn write(thread: u32, end: &str) -> String {
        format!(
            r#"{thread} 1795532534.1 pwrite64(11</s/jobs.db-wal>, "\0\r{{\"version\":1,\"id\":\"{ID}\",\"x\":1}}", 4096, 56{end}"#
        )
    }

    fn accepted() -> String {
        format!(
            r#"7 1795532534.4 sendto(15<TCP:[1]>, "HTTP/1.1 202 Accepted\r\nlocation: /v2/tasks/{ID}\r\n\r\n{{}}", 99, MSG_NOSIGNAL, NULL, 0) = 99"#
        )
    }

    const SYNC: &str = "8 1795532534.2 fdatasync(11</s/jobs.db-wal>) = 0";
    const SYNC_BEGINS: &str = "8 1795532534.2 fdatasync(11</s/jobs.db-wal> <unfinished ...>";
    const SYNC_ENDS: &str = "8 1795532534.3 <... fdatasync resumed>) = 0";
    const DONE: &str = ") = 4096";

    fn audit(lines: &[&str]) -> Result<Found> {
        let mut audit = Audit::default();
        lines.iter().try_for_each(|line| audit.push(line.as_bytes()))?;
        Ok(audit.found)
    }

    #[test]
    fn a_202_behind_a_write_and_a_sync_is_good() {
        let (write, accepted) = (write(8, DONE), accepted());
        let good = Found { writes: 1, syncs: 1, accepted: 1 };
        assert_eq!(audit(&[&write, SYNC, &accepted]).unwrap(), good);
        assert_eq!(audit(&[&write, SYNC_BEGINS, SYNC_ENDS, &accepted]).unwrap(), good);
        let ended = write.replace(r#"\"id\":"#, r#"\"view\":{\"job_id\":"#);
        assert_eq!(audit(&[&ended, SYNC, &accepted]).unwrap(), good);
        let other = write.replace(r#"\"id\":"#, r#"\"job_id\":"#);
        audit(&[&other, SYNC, &accepted]).unwrap_err();
    }

    #[test]
    fn a_202_that_leaves_too_early_is_a_breach() {
        let (whole, accepted) = (write(8, DONE), accepted());
        let (begun, ended) = (write(9, " <unfinished ...>"), "9 1795532534.2 <... pwrite64 resumed>) = 4096");
        let bad: [&[&str]; 6] = [
            &[&accepted],
            &[&whole, &accepted],
            &[SYNC, &whole, &accepted],
            &[&whole, SYNC_BEGINS, &accepted, SYNC_ENDS],
            &[SYNC_BEGINS, &whole, SYNC_ENDS, &accepted],
            &[&begun, SYNC_BEGINS, ended, SYNC_ENDS, &accepted],
        ];
        for lines in bad {
            assert!(audit(lines).unwrap_err().to_string().contains("BREACH"), "{lines:?}");
        }
    }

    #[test]
    fn a_sync_that_fails_or_is_of_another_file_counts_nothing() {
        let (write, accepted) = (write(8, DONE), accepted());
        audit(&[&write, "8 1.2 fdatasync(11</s/jobs.db-wal>) = -1 EIO (Input/output error)", &accepted])
            .unwrap_err();
        audit(&[&write, "8 1.2 fdatasync(10</s/jobs.db>) = 0", &accepted]).unwrap_err();
    }

    #[test]
    fn a_page_that_is_cut_short_is_no_proof() {
        audit(&[r#"8 1.1 pwrite64(11</s/jobs.db-wal>, "\0\1"..., 4096, 56) = 4096"#]).unwrap_err();
    }
}
