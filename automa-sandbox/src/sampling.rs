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
    /// Time of living processes and of the dead ones they waited for, in user mode.
    pub(crate) user: Duration,
    /// The same in the kernel.
    pub(crate) system: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Sample {
    /// Processor time in user mode and in the kernel.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// One process: what it uses itself, and the time of the children it has waited for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Process {
    own: Sample,
    waited_for: Sample,
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

/// Adds up the processes below `root`. Of `root` itself only those count that it has waited for:
/// they are the orphans, when it is an init.
pub(crate) fn tree_below(root: u32) -> Sample {
    let mut total = read(root).map(|init| init.waited_for).unwrap_or_default();
    let mut pending = children(root);
    // Deeper than any tree under a process limit: ends also if pids are reused meanwhile.
    for _ in 0..65_536 {
        let Some(pid) = pending.pop() else { break };
        if let Some(Process { own, waited_for }) = read(pid) {
            total.user += own.user + waited_for.user;
            total.system += own.system + waited_for.system;
            total.memory += own.memory;
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

fn read(pid: u32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads one line of `/proc/<pid>/stat`.
fn parse_stat(line: &str) -> Option<Process> {
    // The second field is the command in parentheses and may contain anything, so start behind it.
    let rest = &line[line.rfind(')')? + 1..];
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let unit = |name, otherwise| sysconf(name).ok().flatten().unwrap_or(otherwise).unsigned_abs();
    let per_second = unit(SysconfVar::CLK_TCK, 100);
    let page = unit(SysconfVar::PAGE_SIZE, 4096);
    let time = |ticks: u64| Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second));
    // utime, stime, rss; cutime, cstime.
    let memory = field(24)?.saturating_mul(page);
    let own = Sample { user: time(field(14)?), system: time(field(15)?), memory };
    let waited_for = Sample { user: time(field(16)?), system: time(field(17)?), memory: 0 };
    Some(Process { own, waited_for })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_confuse() {
        let line = "7 (a) R 1) b) S 1 7 7 0 -1 4194560 100 0 0 0 3 4 1 2 20 0 1 0 5 9000 11 99";
        let Process { own, waited_for } = parse_stat(line).unwrap();
        assert_eq!((own.cpu(), own.memory), (Duration::from_millis(70), 11 * 4096));
        assert_eq!(waited_for.cpu(), Duration::from_millis(30));
        assert_eq!(parse_stat("7 (x"), None);
        assert_eq!(parse_stat(""), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_not(line: String) {
            let _ = parse_stat(&line);
        }

        /// A process may call itself what it likes; its numbers stay where they are.
        #[test]
        fn numbers_are_found_behind_any_name(
            name: String,
            numbers in prop::collection::vec(any::<u64>(), 21..50),
        ) {
            let text: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let read = parse_stat(&format!("7 ({name}) S {}", text.join(" "))).unwrap();
            // The first number is field 4.
            prop_assert_eq!(read.own.memory, numbers[20].saturating_mul(4096));
            prop_assert_eq!(read.waited_for.user > Duration::ZERO, numbers[12] > 0);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a bare child is what is measured")]
    fn a_child_is_seen() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        // The kernel adds small changes up before it shows them, and a program is small at first.
        let deadline = Instant::now() + Duration::from_secs(30);
        while tree_below(std::process::id()).memory == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let sample = tree_below(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(sample.memory > 0);
    }
}
