//! cgroup v1: a hierarchy per controller, and on a hybrid host one of v2 beside them (kernel
//! `admin-guide/cgroup-v1/{memory,pids,cpuacct}.rst`, `scheduler/sched-bwc.rst`).
//!
//! Each controller works or is missing on its own. The slot lives in the leaf together with its
//! sandboxes: its share of memory and time is counted too, and its quota and limits are theirs.

use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group::{self, EngineGroups, LeafGroups};
use super::limits::{UNLIMITED, Written, cpu_quota, limit_text, refill, task_limit, update};
use super::meter::{Counter, Cpuacct, Totals, count, number};
use super::place::Places;
use super::v2::{RESIDUE, Unified, has};
use super::{GroupLimits, Recycled, Support, Usage, unsupported};

/// The slot, and the sandbox's init.
const OVERHEAD: u64 = 2;

/// The engine's groups.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hierarchies: Vec<Hierarchy>,
    unified: Option<PathBuf>,
    support: Support,
    _groups: EngineGroups,
}

/// The engine's group in one hierarchy.
#[derive(Debug)]
struct Hierarchy {
    controllers: Vec<&'static str>,
    path: PathBuf,
}

impl Tree {
    pub(super) fn new(places: &Places) -> Result<Self, String> {
        let own = places.v1.iter().map(|place| &place.own).chain([&places.unified]);
        let parents: Vec<&Path> = own.flatten().map(PathBuf::as_path).collect();
        let mut groups = EngineGroups::new(&parents);
        let mut create = |own: &Result<PathBuf, String>| {
            let parent = own.as_ref().map_err(Clone::clone)?;
            groups.create(parent).map_err(|error| {
                format!("this process may not make control groups ({error}); v1 needs root")
            })
        };

        let mut support = Support::nothing("v1", "this kernel has no such cgroup v1 controller");
        let mut hierarchies = Vec::new();
        let mut failed = None;
        for place in &places.v1 {
            let made = create(&place.own);
            support.learn(&place.controllers, &made);
            match made {
                Ok(path) => {
                    hierarchies.push(Hierarchy { controllers: place.controllers.clone(), path });
                }
                Err(reason) => failed = failed.or(Some(reason)),
            }
        }
        let unified = match create(&places.unified) {
            Ok(path) => {
                support.version = "hybrid";
                support.kill = has(&path, "cgroup.kill");
                support.cpu_accounting = has(&path, "cpu.stat");
                Some(path)
            }
            Err(reason) => {
                support.kill = Err(reason);
                None
            }
        };
        if hierarchies.is_empty() && unified.is_none() {
            return Err(failed.unwrap_or_default());
        }
        Ok(Self(Arc::new(Shared { hierarchies, unified, support, _groups: groups })))
    }

    pub(super) fn support(&self) -> &Support {
        &self.0.support
    }

    pub(super) fn leaf(&self, slot: usize) -> io::Result<Leaf> {
        let Shared { hierarchies, unified, support, .. } = &*self.0;
        let v1 = hierarchies.iter().map(|hierarchy| hierarchy.path.as_path());
        let parents: Vec<&Path> = v1.chain(unified.as_deref()).collect();
        let groups = LeafGroups::create(&parents, slot)?;
        let of = |controller| {
            let index = hierarchies.iter().position(|one| one.controllers.contains(&controller))?;
            groups.paths().get(index).cloned()
        };
        let unified = match unified {
            Some(_) => groups.paths().last().map(|path| Unified::open(path)).transpose()?,
            None => None,
        };
        let cpuacct = if unified.is_some() { None } else { of("cpuacct") };
        Ok(Leaf {
            memory: of("memory").filter(|_| support.memory.is_ok()).map(Memory::open),
            pids: of("pids").filter(|_| support.pids.is_ok()).map(Pids::open),
            cpu: of("cpu").filter(|_| support.cpu.is_ok()),
            cpuacct: cpuacct.and_then(|path| Cpuacct::open(&path)),
            unified,
            written: Written::default(),
            begun: Totals::default(),
            groups,
            tree: self.0.clone(),
        })
    }
}

impl Support {
    /// Notes what the group made for some v1 controllers, or the failure to make it, says of them.
    fn learn(&mut self, controllers: &[&str], made: &Result<PathBuf, String>) {
        let control =
            |name: &str| made.as_ref().map_err(Clone::clone).and_then(|path| has(path, name));
        for controller in controllers {
            match *controller {
                "memory" => {
                    self.memory = control("memory.limit_in_bytes");
                    self.swap = control("memory.memsw.limit_in_bytes")
                        .map_err(|reason| format!("swap is not accounted: {reason}"));
                }
                // The root group has no `pids.max`, ours is below it.
                "pids" => self.pids = control("pids.max"),
                "cpu" => self.cpu = control("cpu.cfs_quota_us"),
                _ => self.cpu_accounting = control("cpuacct.usage"),
            }
        }
    }
}

/// The groups of one slot.
#[derive(Debug)]
pub(crate) struct Leaf {
    memory: Option<Memory>,
    pids: Option<Pids>,
    cpu: Option<PathBuf>,
    cpuacct: Option<Cpuacct>,
    unified: Option<Unified>,
    written: Written,
    /// As they were at the beginning of the run.
    begun: Totals,
    groups: LeafGroups,
    tree: Arc<Shared>,
}

#[derive(Debug)]
struct Memory {
    path: PathBuf,
    /// The limit for memory and swap together, where swap is accounted.
    with_swap: Option<PathBuf>,
    now: Option<Counter>,
    peak: Option<Counter>,
    oom: Option<Counter>,
}

#[derive(Debug)]
struct Pids {
    path: PathBuf,
    now: Option<Counter>,
    events: Option<Counter>,
}

impl Memory {
    fn open(path: PathBuf) -> Self {
        let with_swap = Some(path.join("memory.memsw.limit_in_bytes")).filter(|it| it.exists());
        let peak = match with_swap {
            Some(_) => "memory.memsw.max_usage_in_bytes",
            None => "memory.max_usage_in_bytes",
        };
        Self {
            now: Counter::open(&path.join("memory.usage_in_bytes")),
            peak: Counter::open_resettable(&path.join(peak)),
            oom: Counter::open(&path.join("memory.oom_control")),
            with_swap,
            path,
        }
    }

    /// The limit for memory alone may at no time be above the one that includes swap.
    fn limit(&self, before: Option<u64>, limit: u64) -> io::Result<()> {
        let with_swap = |limit| match &self.with_swap {
            Some(path) => group::write(path, &limit_text(limit, "-1")),
            None => Ok(()),
        };
        match before {
            Some(before) if limit < before => {
                self.limit_without_swap(limit)?;
                with_swap(limit)
            }
            Some(_) => {
                with_swap(limit)?;
                self.limit_without_swap(limit)
            }
            None => {
                with_swap(UNLIMITED)?;
                self.limit_without_swap(limit)?;
                with_swap(limit)
            }
        }
    }

    fn limit_without_swap(&self, limit: u64) -> io::Result<()> {
        group::write(&self.path.join("memory.limit_in_bytes"), &limit_text(limit, "-1"))
    }
}

impl Pids {
    fn open(path: PathBuf) -> Self {
        Self {
            now: Counter::open(&path.join("pids.current")),
            events: Counter::open(&path.join("pids.events")),
            path,
        }
    }
}

impl Leaf {
    #[cfg(test)]
    pub(super) fn paths(&self) -> &[PathBuf] {
        self.groups.paths()
    }

    pub(super) fn attach_files(&self) -> io::Result<Vec<File>> {
        let leaves = self.groups.paths().iter().take(self.tree.hierarchies.len());
        leaves.chain(&self.tree.unified).map(|group| group::open_procs(group)).collect()
    }

    pub(super) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(Unified::birthplace)
    }

    pub(super) fn apply(&mut self, limits: &GroupLimits) -> io::Result<()> {
        self.tree.support.check(limits)?;
        if let Some(memory) = &self.memory {
            let limit = limits.memory.unwrap_or(UNLIMITED);
            update(&mut self.written.memory, limit, |before| memory.limit(before, limit))?;
        }
        if let Some(pids) = &self.pids {
            let limit = task_limit(limits.pids, OVERHEAD);
            update(&mut self.written.pids, limit, |_| {
                group::write(&pids.path.join("pids.max"), &limit_text(limit, "max"))
            })?;
        }
        if let Some(path) = &self.cpu {
            let quota = cpu_quota(limits.cpu_millis);
            update(&mut self.written.cpu, quota, |_| limit_cpu(path, quota))?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        if let Some(Memory { path, peak: Some(peak), .. }) = &self.memory {
            peak.reset().map_err(|error| group::at(path, &error))?;
        }
        self.begun = self.totals();
        Ok(())
    }

    fn totals(&self) -> Totals {
        let oom = self.memory.as_ref().and_then(|memory| memory.oom.as_ref());
        let refused = self.pids.as_ref().and_then(|pids| pids.events.as_ref());
        Totals {
            // Where sandboxes are born in the v2 group, that one does not count the slot.
            cpu: match &self.unified {
                Some(unified) => unified.cpu(),
                None => self.cpuacct.as_ref().and_then(Cpuacct::read),
            },
            oom_kills: count(oom, "oom_kill"),
            pids_refused: count(refused, "max"),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let memory = self.memory.as_ref();
        Usage {
            memory_peak: number(memory.and_then(|memory| memory.peak.as_ref())),
            memory_now: number(memory.and_then(|memory| memory.now.as_ref())),
            pids_now: self.tasks().map(|all| all.saturating_sub(OVERHEAD)),
            ..self.totals().since(&self.begun)
        }
    }

    fn tasks(&self) -> Option<u64> {
        number(self.pids.as_ref()?.now.as_ref())
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        match &self.unified {
            Some(unified) => unified.kill(),
            None => Err(unsupported("cgroup v1 cannot kill a group")),
        }
    }

    pub(super) fn unthrottle(&mut self) -> io::Result<()> {
        let Some(path) = &self.cpu else { return Ok(()) };
        update(&mut self.written.cpu, UNLIMITED, |_| limit_cpu(path, UNLIMITED))
    }

    pub(super) fn is_empty(&self) -> Option<bool> {
        if let Some(unified) = &self.unified {
            return unified.is_empty();
        }
        let tasks = self.tasks().or_else(|| {
            // Opened anew: an open `cgroup.procs` of v1 can show a list that is a second old.
            let procs = fs::read_to_string(self.groups.paths().first()?.join("cgroup.procs"));
            u64::try_from(procs.ok()?.lines().count()).ok()
        });
        Some(tasks? <= 1)
    }

    /// The limit is lowered for a moment to have page cache given back: that takes as much as
    /// needed and stops. `memory.force_empty` would go on until all is gone, in vain while the slot
    /// is inside, for up to 100 ms.
    pub(super) fn recycle(&mut self) -> io::Result<Recycled> {
        if let Some(memory) = &self.memory
            && number(memory.now.as_ref()).unwrap_or(0) > RESIDUE
        {
            let limit = self.written.memory.take();
            // Fails when some cannot be given back: no harm to the next run.
            let _ = memory.limit_without_swap(RESIDUE);
            memory.limit_without_swap(limit.unwrap_or(UNLIMITED))?;
            self.written.memory = limit;
        }
        if let Some(path) = &self.cpu {
            refill(&self.written, |quota| limit_cpu(path, quota))?;
        }
        Ok(Recycled::Same)
    }
}

fn limit_cpu(path: &Path, quota: u64) -> io::Result<()> {
    let file = path.join("cpu.cfs_quota_us");
    match group::write(&file, &limit_text(quota, "-1")) {
        // A group above has less than is asked: its quota holds for all below, so none is needed.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput && quota != UNLIMITED => {
            group::write(&file, "-1")
        }
        written => written,
    }
}
