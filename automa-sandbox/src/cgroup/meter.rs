//! Reading what a group used: counter files, and the sums over a run.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::Usage;

/// A counter file kept open: opening costs several times what reading does.
#[derive(Debug)]
pub(super) struct Counter(File);

impl Counter {
    /// Opens for reading; `None` when this kernel has no such file.
    pub(super) fn open(path: &Path) -> Option<Self> {
        File::open(path).ok().map(Self)
    }

    /// Opens for [`Counter::reset`] too; `None` also when the kernel does not let it be reset.
    pub(super) fn open_resettable(path: &Path) -> Option<Self> {
        OpenOptions::new().read(true).write(true).open(path).ok().map(Self)
    }

    pub(super) fn reset(&self) -> io::Result<()> {
        self.0.write_all_at(b"0", 0)
    }

    /// The content of a file with one number.
    pub(super) fn number(&self) -> Option<u64> {
        self.parse(|text| text.trim_end().parse().ok())
    }

    /// The numbers that follow `keys` in a file of `key number` lines.
    pub(super) fn keyed<const N: usize>(&self, keys: [&str; N]) -> Option<[u64; N]> {
        self.parse(|text| keyed(text, keys))
    }

    fn parse<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        // More than the files have; and the keys asked for are among their first.
        let mut buffer = [0; 512];
        let length = self.0.read_at(&mut buffer, 0).ok()?;
        parse(std::str::from_utf8(&buffer[..length]).ok()?)
    }
}

/// [`Counter::number`] of a file that may be missing.
pub(super) fn number(counter: Option<&Counter>) -> Option<u64> {
    counter.and_then(Counter::number)
}

/// The number after `key`, 0 when there is none.
pub(super) fn count(counter: Option<&Counter>, key: &str) -> u64 {
    counter.and_then(|counter| counter.keyed([key])).map_or(0, |[number]| number)
}

fn keyed<const N: usize>(text: &str, keys: [&str; N]) -> Option<[u64; N]> {
    let mut found = [None; N];
    for line in text.lines() {
        let Some((key, number)) = line.split_once(' ') else { continue };
        if let Some(index) = keys.iter().position(|wanted| *wanted == key) {
            found[index] = number.trim().parse().ok();
        }
    }
    let mut numbers = [0; N];
    for (number, found) in numbers.iter_mut().zip(found) {
        *number = found?;
    }
    Some(numbers)
}

/// The counters of a leaf that only grow.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) cpu: Option<CpuTime>,
    pub(super) oom_kills: u64,
    pub(super) pids_refused: u64,
}

impl Totals {
    /// What was added since an earlier reading.
    pub(super) fn since(&self, earlier: &Self) -> Usage {
        let cpu = self.cpu.map(|cpu| cpu.since(earlier.cpu.unwrap_or_default()));
        Usage {
            cpu: cpu.map(|cpu| cpu.total),
            cpu_user: cpu.map(|cpu| cpu.user),
            cpu_system: cpu.map(|cpu| cpu.system),
            oom_kills: self.oom_kills.saturating_sub(earlier.oom_kills),
            pids_refused: self.pids_refused.saturating_sub(earlier.pids_refused),
            ..Usage::default()
        }
    }
}

/// Processor time of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct CpuTime {
    pub(super) total: Duration,
    pub(super) user: Duration,
    pub(super) system: Duration,
}

impl CpuTime {
    /// v1 counts the two parts in ticks of some milliseconds where the total is exact: keeps their
    /// ratio and makes them add up, as the kernel does for a process (`cputime_adjust`).
    fn since(self, earlier: Self) -> Self {
        let total = self.total.saturating_sub(earlier.total);
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let parts = user + system;
        let system = if parts.is_zero() {
            Duration::ZERO
        } else {
            total.mul_f64(system.as_secs_f64() / parts.as_secs_f64()).min(total)
        };
        Self { total, user: total.saturating_sub(system), system }
    }
}

/// The files of the v1 controller that only counts (kernel `admin-guide/cgroup-v1/cpuacct.rst`).
#[derive(Debug)]
pub(super) struct Cpuacct {
    total: Counter,
    user: Option<Counter>,
    system: Option<Counter>,
}

impl Cpuacct {
    pub(super) fn open(path: &Path) -> Option<Self> {
        Some(Self {
            total: Counter::open(&path.join("cpuacct.usage"))?,
            user: Counter::open(&path.join("cpuacct.usage_user")),
            system: Counter::open(&path.join("cpuacct.usage_sys")),
        })
    }

    pub(super) fn read(&self) -> Option<CpuTime> {
        let part = |counter: &Option<Counter>| number(counter.as_ref()).unwrap_or(0);
        let times = [self.total.number()?, part(&self.user), part(&self.system)];
        let [total, user, system] = times.map(Duration::from_nanos);
        Some(CpuTime { total, user, system })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text: String) {
            let _ = keyed(&text, ["oom_kill", "max"]);
        }

        #[test]
        fn numbers_are_found_among_other_lines(
            before in "([a-z_]{1,9} [0-9]{1,9}\n){0,5}",
            number: u64,
            after in "([a-z_]{1,9}( [a-z0-9]{0,9})?\n){0,5}",
        ) {
            let text = format!("{before}the_key {number}\n{after}");
            prop_assert_eq!(keyed(&text, ["the_key"]), Some([number]));
            prop_assert_eq!(keyed(&text, ["the_key", "no_such_key"]), None);
        }
    }

    #[test]
    fn keyed_files() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(keyed(events, ["oom_kill"]), Some([2]));
        assert_eq!(keyed(events, ["oom_kill", "max"]), Some([2, 12]));
        assert_eq!(keyed("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", ["oom_kill"]), Some([7]));
        assert_eq!(keyed("populated 1\nfrozen 0\n", ["populated"]), Some([1]));
        assert_eq!(keyed("max max\n", ["max"]), None);
        assert_eq!(keyed("", ["max"]), None);
        assert_eq!(keyed("user_usec 5\n", ["user_usec", "system_usec"]), None);
    }

    #[test]
    fn parts_of_the_time_add_up() {
        let time = |total, user, system| {
            let [total, user, system] = [total, user, system].map(Duration::from_millis);
            CpuTime { total, user, system }
        };
        assert_eq!(time(130, 30, 14).since(time(100, 20, 4)), time(30, 15, 15));
        // No tick fell into a short run.
        assert_eq!(time(3, 8, 8).since(time(1, 8, 8)), time(2, 2, 0));
        assert_eq!(time(1, 0, 0).since(time(5, 1, 1)), time(0, 0, 0));
    }
}
