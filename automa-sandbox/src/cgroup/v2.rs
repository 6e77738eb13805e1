//! cgroup v2: one hierarchy, every control in one directory (kernel `admin-guide/cgroup-v2.rst`).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::group::{self, EngineGroups, LeafGroups};
use super::limits::{
    CPU_PERIOD_US, UNLIMITED, Written, cpu_quota, limit_text, refill, task_limit, update,
};
use super::meter::{Counter, CpuTime, Totals, count, number};
use super::{GroupLimits, Recycled, Support, Usage, unsupported};

/// Where this process lives when the group it was started in shall have groups with controllers:
/// a group other than the root has either processes or such children ("no internal processes").
const SUPERVISOR: &str = "supervisor";

/// Where slots live, below the engine's group: a fresh group that nobody has killed.
const HOME: &str = "slots";

/// Bytes, of page cache for the most part, that a run may leave to the next: they count for its
/// peak. To give back one MiB takes about 30 us.
pub(super) const RESIDUE: u64 = 4 << 20;

/// Only the sandbox's init is in the leaf beside the payload.
const OVERHEAD: u64 = 1;

/// The engine's group.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    support: Support,
    _groups: EngineGroups,
}

impl Tree {
    /// `own` is the directory of the group this process is in.
    pub(super) fn new(own: &Path) -> Result<Self, String> {
        let base = base(own)?;
        let mut groups = EngineGroups::new(&[&base]);
        let path = groups.create(&base).map_err(|error| not_ours(&error))?;
        let home = path.join(HOME);
        fs::create_dir(&home).map_err(|error| not_ours(&group::at(&home, &error)))?;
        let [memory, pids, cpu] =
            ["memory", "pids", "cpu"].map(|controller| enable(&base, &path, controller));
        let has = |name| has(&path, name);
        let support = Support {
            version: "v2",
            swap: memory.clone().and_then(|()| has("memory.swap.max")),
            cpu: cpu.and_then(|()| has("cpu.max")),
            cpu_accounting: has("cpu.stat"),
            kill: has("cgroup.kill"),
            memory,
            pids,
        };
        Ok(Self(Arc::new(Shared { path, support, _groups: groups })))
    }

    pub(super) fn support(&self) -> &Support {
        &self.0.support
    }

    pub(super) fn leaf(&self, slot: usize) -> io::Result<Leaf> {
        let groups = LeafGroups::create(&[&self.0.path], slot)?;
        Leaf::open(groups, self.0.clone())
    }
}

/// Finds the group below which ours can be, and leaves it if that is needed.
fn base(own: &Path) -> Result<PathBuf, String> {
    // The root has no `cgroup.type`, and the rule about internal processes is not for it.
    if own.join("cgroup.procs").exists() && !own.join("cgroup.type").exists() {
        return Ok(own.to_owned());
    }
    // An earlier engine of this process moved it, or systemd's DelegateSubgroup= put it here.
    if own.file_name().is_some_and(|name| name == SUPERVISOR)
        && let Some(parent) = own.parent()
        && others(parent).is_ok_and(|others| others == 0)
    {
        return Ok(parent.to_owned());
    }
    let others = others(own).map_err(|error| not_ours(&error))?;
    if others > 0 {
        return divisible_above(own).ok_or_else(|| {
            format!(
                "our cgroup {} is shared with other processes ({others}), so it cannot be \
                 divided; start in a group of our own: {ADVICE}",
                own.display()
            )
        });
    }
    let supervisor = own.join(SUPERVISOR);
    match fs::create_dir(&supervisor) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(not_ours(&group::at(&supervisor, &error)));
        }
        _ => {}
    }
    group::write(&supervisor.join("cgroup.procs"), &std::process::id().to_string())
        .map_err(|error| not_ours(&error))?;
    Ok(own.to_owned())
}

/// The nearest group above that can have ours beside what it has: the root, or one without
/// processes of its own, if we may write there. So a shell's scope need not be left: sandboxes are
/// born in their leaves, and this process stays where it is.
fn divisible_above(own: &Path) -> Option<PathBuf> {
    let writable = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    own.ancestors()
        .skip(1)
        .take_while(|group| group.join("cgroup.procs").exists())
        .find(|group| {
            let root = !group.join("cgroup.type").exists();
            root || others(group).is_ok_and(|others| others == 0)
        })
        // clone(2), CLONE_INTO_CGROUP: the right to move processes is asked for in the group above.
        .filter(|group| writable(group) && writable(&group.join("cgroup.procs")))
        .map(Path::to_owned)
}

const ADVICE: &str = "as a systemd service with Delegate=yes, or by \
    `systemd-run --user --scope -p Delegate=yes …` (as root without --user)";

fn not_ours(error: &io::Error) -> String {
    format!("this process may not make control groups ({error}); start it {ADVICE}")
}

/// How many processes other than this one are in the group; one outside of our pid namespace has
/// the number 0.
fn others(group: &Path) -> io::Result<usize> {
    let path = group.join("cgroup.procs");
    let text = fs::read_to_string(&path).map_err(|error| group::at(&path, &error))?;
    let own = std::process::id().to_string();
    Ok(text.lines().filter(|pid| *pid != own).count())
}

/// Turns a controller on for the engine's group, and for the leaves below it.
fn enable(base: &Path, engine: &Path, controller: &str) -> Result<(), String> {
    let offered = base.join("cgroup.controllers");
    let offers = fs::read_to_string(&offered)
        .map_err(|error| group::at(&offered, &error).to_string())?
        .split_whitespace()
        .any(|name| name == controller);
    if !offers {
        return Err(format!("{} does not offer `{controller}`; start {ADVICE}", offered.display()));
    }
    for group in [base, engine] {
        group::write(&group.join("cgroup.subtree_control"), &format!("+{controller}"))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether this kernel has a control.
pub(super) fn has(group: &Path, name: &str) -> Result<(), String> {
    if group.join(name).exists() {
        return Ok(());
    }
    Err(format!("this kernel has no `{name}` in {}", group.display()))
}

/// What works without controllers, and so on hybrid hosts as well.
#[derive(Debug)]
pub(super) struct Unified {
    path: PathBuf,
    directory: File,
    events: Option<Counter>,
    cpu: Option<Counter>,
}

impl Unified {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            directory: File::open(path).map_err(|error| group::at(path, &error))?,
            events: Counter::open(&path.join("cgroup.events")),
            cpu: Counter::open(&path.join("cpu.stat")),
        })
    }

    pub(super) fn birthplace(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(super) fn is_empty(&self) -> Option<bool> {
        let [populated] = self.events.as_ref()?.keyed(["populated"])?;
        Some(populated == 0)
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        let file = self.path.join("cgroup.kill");
        group::write(&file, "1").map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unsupported(&error.to_string()),
            _ => error,
        })
    }

    pub(super) fn cpu(&self) -> Option<CpuTime> {
        let keys = ["usage_usec", "user_usec", "system_usec"];
        let [total, user, system] = self.cpu.as_ref()?.keyed(keys)?.map(Duration::from_micros);
        Some(CpuTime { total, user, system })
    }
}

/// The group of one slot.
#[derive(Debug)]
pub(crate) struct Leaf {
    open: Open,
    written: Written,
    /// As they were at the beginning of the run.
    begun: Totals,
    groups: LeafGroups,
    tree: Arc<Shared>,
}

/// The files of a leaf.
#[derive(Debug)]
struct Open {
    unified: Unified,
    memory_now: Option<Counter>,
    memory_peak: Option<Counter>,
    /// Linux 6.12 can reset `memory.peak`, as seen through the same open file.
    peak_resets: bool,
    memory_events: Option<Counter>,
    pids_now: Option<Counter>,
    pids_events: Option<Counter>,
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let peak = path.join("memory.peak");
        // Root may open any file for writing: only a write tells.
        let resettable = Counter::open_resettable(&peak).filter(|peak| peak.reset().is_ok());
        Ok(Self {
            unified: Unified::open(path)?,
            memory_now: Counter::open(&path.join("memory.current")),
            peak_resets: resettable.is_some(),
            memory_peak: resettable.or_else(|| Counter::open(&peak)),
            memory_events: Counter::open(&path.join("memory.events")),
            pids_now: Counter::open(&path.join("pids.current")),
            pids_events: Counter::open(&path.join("pids.events")),
        })
    }

    fn totals(&self) -> Totals {
        Totals {
            cpu: self.unified.cpu(),
            oom_kills: count(self.memory_events.as_ref(), "oom_kill"),
            pids_refused: count(self.pids_events.as_ref(), "max"),
        }
    }
}

impl Leaf {
    fn open(groups: LeafGroups, tree: Arc<Shared>) -> io::Result<Self> {
        let open = Open::new(groups.first())?;
        Ok(Self { open, written: Written::default(), begun: Totals::default(), groups, tree })
    }

    #[cfg(test)]
    pub(super) fn paths(&self) -> &[PathBuf] {
        self.groups.paths()
    }

    pub(super) fn attach_files(&self) -> io::Result<Vec<File>> {
        Ok(vec![group::open_procs(&self.tree.path.join(HOME))?])
    }

    pub(super) fn birthplace(&self) -> BorrowedFd<'_> {
        self.open.unified.birthplace()
    }

    pub(super) fn apply(&mut self, limits: &GroupLimits) -> io::Result<()> {
        let support = &self.tree.support;
        support.check(limits)?;
        let path = self.groups.first();
        let set = |name: &str, value: &str| group::write(&path.join(name), value);
        update(&mut self.written.memory, limits.memory.unwrap_or(UNLIMITED), |_| {
            // Without swap the limit is for both, as in v1, and is met at once.
            if support.swap.is_ok() {
                set("memory.swap.max", if limits.memory.is_some() { "0" } else { "max" })?;
            }
            // Not memory.oom.group, although all have to end: the kernel would take init along, and
            // with it the slot, whose memory init shares. The supervisor ends the rest.
            set("memory.max", &limit_text(limits.memory.unwrap_or(UNLIMITED), "max"))
        })?;
        let pids = task_limit(limits.pids, OVERHEAD);
        update(&mut self.written.pids, pids, |_| set("pids.max", &limit_text(pids, "max")))?;
        let quota = cpu_quota(limits.cpu_millis);
        update(&mut self.written.cpu, quota, |_| limit_cpu(path, quota))
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        if let (Some(peak), true) = (&self.open.memory_peak, self.open.peak_resets) {
            peak.reset().map_err(|error| group::at(self.groups.first(), &error))?;
        }
        self.begun = self.open.totals();
        Ok(())
    }

    pub(super) fn usage(&self) -> Usage {
        let open = &self.open;
        Usage {
            memory_peak: number(open.memory_peak.as_ref()),
            memory_now: number(open.memory_now.as_ref()),
            pids_now: number(open.pids_now.as_ref()).map(|all| all.saturating_sub(OVERHEAD)),
            ..open.totals().since(&self.begun)
        }
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        self.open.unified.kill()
    }

    pub(super) fn unthrottle(&mut self) -> io::Result<()> {
        let path = self.groups.first();
        update(&mut self.written.cpu, UNLIMITED, |_| limit_cpu(path, UNLIMITED))
    }

    pub(super) fn is_empty(&self) -> Option<bool> {
        self.open.unified.is_empty()
    }

    /// Before Linux 6.12 a peak can only be forgotten together with its group.
    pub(super) fn recycle(&mut self) -> io::Result<Recycled> {
        if self.open.memory_peak.is_some() && !self.open.peak_resets {
            self.groups.renew()?;
            self.open = Open::new(self.groups.first())?;
            self.written = Written::default();
            self.begun = Totals::default();
            return Ok(Recycled::Renewed);
        }
        let now = number(self.open.memory_now.as_ref()).unwrap_or(0);
        if now > RESIDUE {
            let file = self.groups.first().join("memory.reclaim");
            // Fails when some cannot be given back, and before Linux 5.19: no harm to the next run.
            let _ = group::write(&file, &(now - RESIDUE).to_string());
        }
        refill(&self.written, |quota| limit_cpu(self.groups.first(), quota))?;
        Ok(Recycled::Same)
    }
}

fn limit_cpu(path: &Path, quota: u64) -> io::Result<()> {
    let text = format!("{} {CPU_PERIOD_US}", limit_text(quota, "max"));
    group::write(&path.join("cpu.max"), &text)
}

#[cfg(test)]
pub(super) mod tests;
