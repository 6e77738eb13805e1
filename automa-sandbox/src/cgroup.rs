//! Control groups: how much a sandbox may use, what it used, and an end for all that is in it.
//!
//! Each engine makes one group per hierarchy below the group it was started in, and one *leaf*
//! below that for each slot. What this module does not do is put a sandbox into its leaf: writing
//! `cgroup.procs` waits for an RCU grace period, 6 to 16 ms, so a sandbox is rather born inside.
//! In v1 the slot writes itself into the leaf once ([`Leaf::attach_files`]) and sandboxes inherit
//! it by fork; in v2, and for the second hierarchy of a hybrid host, the sandbox's init comes from
//! `clone3` with `CLONE_INTO_CGROUP` ([`Leaf::birthplace`]).
//!
//! Sources: kernel `admin-guide/cgroup-v2.rst`, `admin-guide/cgroup-v1/{cgroups,memory,pids,
//! cpuacct}.rst`, `scheduler/sched-bwc.rst`; cgroups(7), clone(2).

use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

mod group;
mod limits;
mod meter;
mod place;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use place::Places;

/// Where this process may make groups.
#[derive(Debug)]
pub(crate) enum Cgroups {
    /// One hierarchy per controller; on a hybrid host also a v2 one, without controllers.
    V1(v1::Tree),
    /// One hierarchy for all.
    V2(v2::Tree),
    /// None at all, for this reason.
    None { reason: String },
}

/// Which controls work here; the reason for each that does not, in words for an operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Support {
    /// `v1`, `hybrid`, `v2` or `none`.
    pub(crate) version: &'static str,
    /// A limit for memory.
    pub(crate) memory: Result<(), String>,
    /// The memory limit holds for swap as well.
    pub(crate) swap: Result<(), String>,
    /// A limit for processes and threads.
    pub(crate) pids: Result<(), String>,
    /// A limit for processor time per period.
    pub(crate) cpu: Result<(), String>,
    /// The processor time used is known.
    pub(crate) cpu_accounting: Result<(), String>,
    /// [`Leaf::kill`] works.
    pub(crate) kill: Result<(), String>,
}

/// What a sandbox may use; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupLimits {
    /// Bytes of memory and swap together.
    pub(crate) memory: Option<u64>,
    /// Processes and threads of the payload.
    pub(crate) pids: Option<u64>,
    /// Thousandths of one processor; less than 10 counts as 10.
    pub(crate) cpu_millis: Option<u64>,
}

/// What was used since [`Leaf::begin`]. A `None` is not known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time, the sum of the next two.
    pub(crate) cpu: Option<Duration>,
    pub(crate) cpu_user: Option<Duration>,
    pub(crate) cpu_system: Option<Duration>,
    /// Bytes charged to the leaf: memory, page cache, tmpfs, kernel memory, and in v1 swap.
    pub(crate) memory_peak: Option<u64>,
    pub(crate) memory_now: Option<u64>,
    /// Processes the kernel killed for want of memory.
    pub(crate) oom_kills: u64,
    /// Forks that failed at the limit of processes.
    pub(crate) pids_refused: u64,
    /// Processes and threads of the payload.
    pub(crate) pids_now: Option<u64>,
}

/// What [`Leaf::recycle`] did.
#[must_use = "a slot that holds the old directory cannot start sandboxes in a new one"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recycled {
    /// The leaf is the same as before.
    Same,
    /// The group is a new one, without limits: the descriptor of [`Leaf::birthplace`] changed.
    Renewed,
}

impl Cgroups {
    /// Finds our own groups and makes the engine's below them. Call it before anything is forked:
    /// in v2 this process moves to a group of its own, which it does only when it is alone.
    ///
    /// Never fails: what is not available has its reason in [`Cgroups::support`].
    pub(crate) fn discover() -> Self {
        match Self::here() {
            Ok(places) => Self::at(places),
            Err(error) => {
                Self::None { reason: format!("cannot tell which groups we are in: {error}") }
            }
        }
    }

    fn here() -> io::Result<Places> {
        let read =
            |path: &str| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(Places::find(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?))
    }

    fn at(places: Places) -> Self {
        let found = if places.v1.is_empty() {
            places.unified.and_then(|own| v2::Tree::new(&own)).map(Self::V2)
        } else {
            v1::Tree::new(&places).map(Self::V1)
        };
        found.unwrap_or_else(|reason| Self::None { reason })
    }

    /// Which controls work here.
    pub(crate) fn support(&self) -> Support {
        match self {
            Self::V1(tree) => tree.support().clone(),
            Self::V2(tree) => tree.support().clone(),
            Self::None { reason } => Support::nothing("none", reason),
        }
    }

    /// Makes the leaf of a slot. The engine's groups live as long as the last leaf.
    pub(crate) fn leaf(&self, slot: usize) -> io::Result<Leaf> {
        Ok(match self {
            Self::V1(tree) => Leaf::V1(Box::new(tree.leaf(slot)?)),
            Self::V2(tree) => Leaf::V2(Box::new(tree.leaf(slot)?)),
            Self::None { .. } => Leaf::None,
        })
    }
}

impl Support {
    fn nothing(version: &'static str, reason: &str) -> Self {
        let no = || Err(reason.to_owned());
        let (memory, swap, pids, cpu, cpu_accounting, kill) = (no(), no(), no(), no(), no(), no());
        Self { version, memory, swap, pids, cpu, cpu_accounting, kill }
    }

    /// Refuses limits that would not hold, before any is written.
    fn check(&self, limits: &GroupLimits) -> io::Result<()> {
        let asked = [
            (limits.memory, &self.memory, "memory"),
            (limits.pids, &self.pids, "processes"),
            (limits.cpu_millis, &self.cpu, "processor time"),
        ];
        for (limit, support, what) in asked {
            if let (Some(_), Err(reason)) = (limit, support) {
                return Err(unsupported(&format!("cannot limit {what}: {reason}")));
            }
        }
        Ok(())
    }
}

/// The groups of one slot.
#[derive(Debug)]
pub(crate) enum Leaf {
    V1(Box<v1::Leaf>),
    V2(Box<v2::Leaf>),
    None,
}

impl Leaf {
    /// The `cgroup.procs` files to which the slot writes `0` once, before anything else: those of
    /// its leaf in v1, and in v2 that of a group of ours. A sandbox cannot be born from a group
    /// that was killed once, as the one we were started in may have been: see [`Leaf::kill`].
    ///
    /// A process with a realtime scheduling class is refused by `cpu` groups with `EINVAL`. Once
    /// inside, the slot can be what the kernel kills for want of memory: it should have a low
    /// `oom_score_adj`, and give its children back a normal one.
    pub(crate) fn attach_files(&self) -> io::Result<Vec<File>> {
        match self {
            Self::V1(leaf) => leaf.attach_files(),
            Self::V2(leaf) => leaf.attach_files(),
            Self::None => Ok(Vec::new()),
        }
    }

    /// The directory for `CLONE_INTO_CGROUP`. Where there is one, each sandbox must be born in it:
    /// `kill`, `is_empty` and the processor time then tell of this group.
    pub(crate) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::V1(leaf) => leaf.birthplace(),
            Self::V2(leaf) => Some(leaf.birthplace()),
            Self::None => None,
        }
    }

    /// Writes those limits that changed since the last call. A limit that [`Support`] has a reason
    /// against is an error, and then none is written.
    pub(crate) fn apply(&mut self, limits: &GroupLimits) -> io::Result<()> {
        match self {
            Self::V1(leaf) => leaf.apply(limits),
            Self::V2(leaf) => leaf.apply(limits),
            Self::None => Support::nothing("none", "there are no groups").check(limits),
        }
    }

    /// Marks the beginning of a run, for [`Leaf::usage`].
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        match self {
            Self::V1(leaf) => leaf.begin(),
            Self::V2(leaf) => leaf.begin(),
            Self::None => Ok(()),
        }
    }

    /// What the run used until now; cheap enough to be polled.
    pub(crate) fn usage(&self) -> Usage {
        match self {
            Self::V1(leaf) => leaf.usage(),
            Self::V2(leaf) => leaf.usage(),
            Self::None => Usage::default(),
        }
    }

    /// Kills all that was born in [`Leaf::birthplace`], or fails with
    /// [`io::ErrorKind::Unsupported`]. Only for a leaf that is given up: since Linux 6.14 whatever
    /// is born in a group after a kill dies at once, as the kernel compares the number of kills
    /// with that of the parent's group (`kill_seq` in `kernel/cgroup/cgroup.c`).
    pub(crate) fn kill(&self) -> io::Result<()> {
        match self {
            Self::V1(leaf) => leaf.kill(),
            Self::V2(leaf) => leaf.kill(),
            Self::None => Err(unsupported("there are no groups")),
        }
    }

    /// Lifts the processor limit until the next [`Leaf::apply`]. Call it right after killing what
    /// is in the leaf, in whatever way: a process that used up its quota dies only with the next
    /// period, up to 100 ms later.
    pub(crate) fn unthrottle(&mut self) -> io::Result<()> {
        match self {
            Self::V1(leaf) => leaf.unthrottle(),
            Self::V2(leaf) => leaf.unthrottle(),
            Self::None => Ok(()),
        }
    }

    /// Whether no process of a sandbox is left. In v1 alone this is true when there is at most one
    /// process, which is the slot as long as that lives. `None` when there is no group to ask.
    pub(crate) fn is_empty(&self) -> Option<bool> {
        match self {
            Self::V1(leaf) => leaf.is_empty(),
            Self::V2(leaf) => leaf.is_empty(),
            Self::None => None,
        }
    }

    /// Makes the leaf ready for the next run, once it is empty. May take milliseconds.
    pub(crate) fn recycle(&mut self) -> io::Result<Recycled> {
        match self {
            Self::V1(leaf) => leaf.recycle(),
            Self::V2(leaf) => leaf.recycle(),
            Self::None => Ok(Recycled::Same),
        }
    }
}

fn unsupported(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, reason)
}
