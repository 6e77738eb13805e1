//! Usage of a process tree read from `/proc` (`proc_pid_stat(5)`), where no cgroup counts it.
//!
//! Weaker than a group in two ways, which reports say: what happens between two samples is not
//! seen, and memory that processes share is counted once for each of them.

use std::{fs, path::PathBuf, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// Time between two samples.
pub(crate) const EVERY: Duration = Duration::from_millis(20);

/// What a tree of processes uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Time of living processes and of the dead ones they waited for.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

/// Whether the trees of other processes can be read here.
pub(crate) fn available() -> Result<(), String> {
    let own = std::process::id();
    match fs::read_to_string(children_of(own, own)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the kernel does not list children in /proc: {error}")),
    }
}

fn children_of(pid: u32, thread: u32) -> PathBuf {
    format!("/proc/{pid}/task/{thread}/children").into()
}

/// Adds up the processes below `root`; `root` itself is left out.
pub(crate) fn tree_below(root: u32) -> Sample {
    let mut total = Sample::default();
    let mut pending = children(root);
    // Deeper than any tree under a process limit: ends also if pids are reused meanwhile.
    for _ in 0..65_536 {
        let Some(pid) = pending.pop() else { break };
        if let Some(one) =
            fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parse_stat)
        {
            total.cpu += one.cpu;
            total.memory += one.memory;
        }
        pending.extend(children(pid));
    }
    total
}

/// Children that any thread of a process has started.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let ids = threads.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|thread| fs::read_to_string(children_of(pid, thread)).ok())
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// Reads one line of `/proc/<pid>/stat`.
fn parse_stat(line: &str) -> Option<Sample> {
    // The second field is the command in parentheses and may contain anything, so start behind it.
    let rest = &line[line.rfind(')')? + 1..];
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    // utime, stime, cutime, cstime.
    let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
    let unit = |name, otherwise| sysconf(name).ok().flatten().unwrap_or(otherwise).unsigned_abs();
    let per_second = unit(SysconfVar::CLK_TCK, 100);
    let page = unit(SysconfVar::PAGE_SIZE, 4096);
    Some(Sample {
        cpu: Duration::from_nanos(ticks * (1_000_000_000 / per_second)),
        memory: field(24)? * page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_confuse() {
        let line = "7 (a) R 1) b) S 1 7 7 0 -1 4194560 100 0 0 0 3 4 1 2 20 0 1 0 5 9000 11 99";
        let sample = parse_stat(line).unwrap();
        assert_eq!(sample.cpu, Duration::from_millis(100));
        assert_eq!(sample.memory, 11 * 4096);
        assert_eq!(parse_stat("7 (x"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a bare child is what is measured")]
    fn a_child_is_seen() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let sample = tree_below(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(sample.memory > 0);
    }
}
