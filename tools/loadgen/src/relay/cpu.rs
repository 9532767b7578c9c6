//! The CPU time of a process, as the kernel has accounted it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// The kernel's unit in /proc is `USER_HZ`, which is 100 on every architecture that we build for.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads of these processes, ended threads included.
pub(crate) fn time_of(processes: &[u32]) -> Result<Duration> {
    processes.iter().try_fold(Duration::ZERO, |sum, &process| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))
            .with_context(|| format!("the process under test ({process}) has ended"))?;
        Ok(sum + parse(&stat).context("/proc/PID/stat does not look as expected")?.used)
    })
}

/// The processes that `parent` has started and that still run.
pub(crate) fn children_of(parent: u32) -> Result<Vec<u32>> {
    let processes = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        parse(&stat).is_some_and(|stat| stat.parent == parent)
    };
    Ok(processes.filter(is_child).collect())
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    used: Duration,
}

/// The name in the second field may hold blanks and brackets, so counting starts behind its last one.
fn parse(stat: &str) -> Option<Stat> {
    let (_name, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u32 = fields.nth(9)?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(Stat { parent, used: TICK * user.checked_add(system)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 100 0 0 0 250 31 9 9 20 0 5 0 100 1 2";
        assert_eq!(parse(stat), Some(Stat { parent: 7, used: Duration::from_millis(2_810) }));
        assert_eq!(parse("42 (a) S 7"), None);
    }

    #[test]
    fn own_process_is_found_and_a_process_that_never_was_is_not() {
        let own = std::process::id();
        time_of(&[own, own]).unwrap();
        let parent = parse(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap().parent;
        assert!(children_of(parent).unwrap().contains(&own));
        time_of(&[u32::MAX]).unwrap_err();
    }
}
