//! The CPU time of a process, as the kernel has accounted it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::{time::ClockId, unistd::Pid};

/// User and system time of all threads of these processes, ended threads included.
///
/// The process's own clock counts nanoseconds, where /proc/PID/stat counts hundredths of a second.
pub(crate) fn time_of(processes: &[u32]) -> Result<Duration> {
    processes.iter().try_fold(Duration::ZERO, |sum, &process| {
        let gone = || format!("the process under test ({process}) has ended");
        let pid = Pid::from_raw(i32::try_from(process).with_context(gone)?);
        let clock = ClockId::pid_cpu_clock_id(pid).with_context(gone)?;
        Ok(sum + Duration::from(clock.now().with_context(gone)?))
    })
}

/// The CPU time of the calling thread.
pub(crate) fn time_of_thread() -> Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into())
}

/// The processes that `parent` has started and that still run.
pub(crate) fn children_of(parent: u32) -> Result<Vec<u32>> {
    let processes = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        parent_in(&stat) == Some(parent)
    };
    Ok(processes.filter(is_child).collect())
}

/// The name in the second field may hold blanks and brackets, so counting starts behind its last one.
fn parent_in(stat: &str) -> Option<u32> {
    let (_name, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 100 0 0 0 250 31 9 9 20 0 5 0 100 1 2";
        assert_eq!(parent_in(stat), Some(7));
        assert_eq!(parent_in("42 (a) S"), None);
    }

    #[test]
    fn own_process_is_found_and_a_process_that_never_was_is_not() {
        let own = std::process::id();
        time_of(&[own, own]).unwrap();
        let parent = parent_in(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(children_of(parent).unwrap().contains(&own));
        time_of(&[u32::MAX]).unwrap_err();
    }

    #[test]
    fn work_is_charged_to_the_process_that_did_it() {
        let (own, thread) = (time_of(&[std::process::id()]).unwrap(), time_of_thread().unwrap());
        let busy = (0_u64..2_000_000).fold(0, |sum, number| std::hint::black_box(sum ^ number));
        std::hint::black_box(busy);
        let charged = time_of_thread().unwrap().saturating_sub(thread);
        assert!(charged > Duration::ZERO);
        assert!(time_of(&[std::process::id()]).unwrap().saturating_sub(own) >= charged);
    }
}
