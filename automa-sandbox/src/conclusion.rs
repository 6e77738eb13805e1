//! From what was seen of a run to its report: which of the facts was the cause.

use std::time::Duration;

use crate::{
    cgroup,
    egress::EgressEvent,
    history::UsageHistory,
    limits::{Bytes, Limits},
    protection::{Feature, Protection},
    report::{Exit, ExitReport, Outcome, Stage, Start, Step, Usage},
    sampling::Sample,
    sys::Used,
    zygote::{
        OVERDUE,
        protocol::{Exited, Mark},
    },
};

/// Why the supervisor ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    WallTime,
    CpuTime,
    Memory,
    Output,
    Disk,
    Cancelled,
}

/// What was seen of a run.
pub(crate) struct Facts {
    limits: Limits,
    /// When the request was sent and when the run was over, on the monotonic clock.
    begun_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) start: Start,
    /// The first reason for which it was ended, if it was.
    pub(crate) killed: Option<Killed>,
    /// The step that failed, if one did.
    pub(crate) failed: Option<(Stage, i32)>,
    /// How the program ended, as its init saw it.
    pub(crate) exited: Option<Exited>,
    /// How init ended, and what it and all below it used.
    pub(crate) gone: Option<(i32, Used)>,
    /// The slot ended, or did not answer in time.
    pub(crate) slot_lost: bool,
    pub(crate) group: cgroup::Usage,
    /// The largest sample of memory, where groups do not count it.
    pub(crate) sampled_peak: u64,
    /// The sample with the most processor time.
    pub(crate) sampled_cpu: Sample,
    pub(crate) output: u64,
    pub(crate) output_truncated: bool,
    pub(crate) tree_empty: bool,
    /// What happened on the network, and how many events were left out of that.
    pub(crate) egress: (Vec<EgressEvent>, u64),
    pub(crate) history: UsageHistory,
}

impl Facts {
    pub(crate) fn new(limits: Limits, begun_ns: u64) -> Self {
        Self {
            limits,
            begun_ns,
            end_ns: begun_ns,
            start: Start::Cold,
            killed: None,
            failed: None,
            exited: None,
            gone: None,
            slot_lost: false,
            group: cgroup::Usage::default(),
            sampled_peak: 0,
            sampled_cpu: Sample::default(),
            output: 0,
            output_truncated: false,
            tree_empty: false,
            egress: (Vec::new(), 0),
            history: UsageHistory::default(),
        }
    }

    /// Draws the conclusion.
    pub(crate) fn report(self, protections: Vec<Protection>) -> ExitReport {
        let exit = self.exited.map(|exited| exit_of(exited.ended.status));
        let usage = self.usage();
        ExitReport {
            outcome: self.outcome(exit, &usage),
            exit,
            limits_hit: self.limits_hit(exit),
            timeline: self.timeline(),
            usage,
            protections,
            output_truncated: self.output_truncated,
            tree_empty: self.tree_empty,
            start: self.start,
            egress: self.egress.0,
            egress_omitted: self.egress.1,
            history: self.history.points(),
        }
    }

    fn outcome(&self, exit: Option<Exit>, usage: &Usage) -> Outcome {
        // A terminal that was hung up before its program ran cannot be given to it.
        let hung_up = |stage| stage == Stage::Terminal && self.killed == Some(Killed::Cancelled);
        if let Some((stage, errno)) = self.failed.filter(|(stage, _)| !hung_up(*stage)) {
            return Outcome::SetupFailed { stage, errno };
        }
        match (self.killed, exit) {
            (Some(Killed::Output), _) => return Outcome::Output,
            (Some(Killed::Memory), _) => return Outcome::Memory,
            (Some(Killed::Cancelled), _) => return Outcome::Cancelled,
            (Some(Killed::WallTime), None) => return Outcome::WallTime,
            (Some(Killed::CpuTime), None) => return Outcome::CpuTime,
            (Some(Killed::Disk), None) => return Outcome::Disk,
            // The program ended by itself before the signal reached it.
            (Some(Killed::WallTime | Killed::CpuTime | Killed::Disk) | None, _) => {}
        }
        if self.group.oom_kills > 0 {
            return Outcome::Memory;
        }
        let Some(exit) = exit else {
            // A program that shares init's user could make its clock strike early (kill(2)).
            let late = self.end_ns.saturating_sub(self.begun_ns) >= nanos(self.limits.wall);
            let own_clock =
                self.gone.is_some_and(|(status, _)| exit_of(status) == Exit::Code(OVERDUE));
            return if late && own_clock { Outcome::WallTime } else { Outcome::Lost };
        };
        let hit = self.limits_hit(Some(exit));
        match exit {
            Exit::Signal(libc::SIGSYS) => Outcome::Seccomp,
            // RLIMIT_CPU, the backstop, ends a process with one of these (getrlimit(2)).
            Exit::Signal(libc::SIGXCPU | libc::SIGKILL) if self.cpu_used_up(usage) => {
                Outcome::CpuTime
            }
            Exit::Code(0) => Outcome::Exited { code: 0 },
            _ if hit.contains(&Feature::ProcessLimit) => Outcome::Processes,
            _ if hit.contains(&Feature::DiskLimit) => Outcome::Disk,
            Exit::Code(code) => Outcome::Exited { code },
            Exit::Signal(signal) => Outcome::Signaled { signal },
        }
    }

    fn cpu_used_up(&self, usage: &Usage) -> bool {
        self.limits.cpu_time.is_some_and(|limit| usage.cpu() >= limit)
    }

    fn limits_hit(&self, exit: Option<Exit>) -> Vec<Feature> {
        // A page less than one block: what is left when a write was refused.
        let disk_full = self
            .exited
            .is_some_and(|exited| exited.disk.bytes_free < 4096 || exited.disk.inodes_free == 0);
        let too_large = exit == Some(Exit::Signal(libc::SIGXFSZ));
        let killed = |cause| self.killed == Some(cause);
        [
            (Feature::MemoryLimit, self.group.oom_kills > 0 || killed(Killed::Memory)),
            (Feature::ProcessLimit, self.group.pids_refused > 0),
            (Feature::CpuTime, killed(Killed::CpuTime)),
            (Feature::WallTime, killed(Killed::WallTime)),
            (Feature::DiskLimit, disk_full || too_large || killed(Killed::Disk)),
            (Feature::OutputLimit, self.output_truncated),
        ]
        .into_iter()
        .filter_map(|(feature, hit)| hit.then_some(feature))
        .collect()
    }

    fn usage(&self) -> Usage {
        // The group's count includes what died without being waited for; else what the kernel
        // handed up from init to its slot.
        let own = self.gone.map(|(_, used)| used).unwrap_or_default();
        let (user, system) = match (self.group.cpu_user, self.group.cpu_system) {
            (Some(user), Some(system)) => (user, system),
            // What was alive when init was killed is not handed up (`zap_pid_ns_processes`).
            _ if self.sampled_cpu.cpu() > own.user + own.system => {
                (self.sampled_cpu.user, self.sampled_cpu.system)
            }
            _ => (own.user, own.system),
        };
        let sampled = (self.sampled_peak > 0).then_some(self.sampled_peak);
        let disk = self.exited.map(|exited| exited.disk).unwrap_or_default();
        Usage {
            wall_ns: self.end_ns.saturating_sub(self.begun_ns),
            cpu_user_ns: nanos(user),
            cpu_system_ns: nanos(system),
            memory_peak: self.group.memory_peak.or(sampled).map(Bytes),
            process_peak: Bytes(own.max_rss),
            output: Bytes(self.output),
            tmp: Bytes(disk.bytes_used),
            tmp_inodes: disk.inodes_used,
            oom_kills: self.group.oom_kills,
            forks_refused: self.group.pids_refused,
        }
    }

    fn timeline(&self) -> Vec<Step> {
        let Some(exited) = &self.exited else { return Vec::new() };
        let mut last = self.begun_ns;
        let mut step = |name: &str, at: u64| {
            let ns = at.saturating_sub(last);
            last = at.max(last);
            Step { name: name.to_owned(), ns }
        };
        let at = |mark: Mark| exited.marks[mark as usize];
        let mut steps = match self.start {
            Start::Cold => vec![
                step("order reaches the slot", at(Mark::Ordered)),
                step("clone3 with new namespaces", at(Mark::InitRuns)),
                step("mount proc", at(Mark::ProcMounted)),
                step("request reaches init", at(Mark::Requested)),
                step("mount the tmpfs", at(Mark::JobMounted)),
                step("clone the payload", at(Mark::PayloadRuns)),
                step("identity, capabilities, Landlock", at(Mark::Landlocked)),
                step("seccomp", at(Mark::Filtered)),
            ],
            Start::Warm => vec![
                step("request reaches init", at(Mark::Requested)),
                step("wake the payload", at(Mark::Passed)),
            ],
        };
        steps.extend([
            step("files, resource limits", at(Mark::FilesMade)),
            step("exec, run, exit", at(Mark::Ended)),
            step("tree ends, output and counters are read", self.end_ns),
        ]);
        steps
    }
}

impl ExitReport {
    /// The report of a run whose supervisor is gone, as its runtime was shut down.
    pub(crate) fn lost() -> Self {
        Facts::new(Limits::default(), 0).report(Vec::new())
    }
}

/// 584 years at most.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads a wait status (`wait(2)`).
fn exit_of(status: i32) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else {
        Exit::Signal(libc::WTERMSIG(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Ended, Filled};

    const KILLED: i32 = libc::SIGKILL;
    const FULL: Filled = Filled { bytes_used: 9, bytes_free: 0, inodes_used: 1, inodes_free: 7 };
    const ROOMY: Filled =
        Filled { bytes_used: 9, bytes_free: 1 << 20, inodes_used: 1, inodes_free: 7 };

    /// A run that ended with this wait status, on a disk like this.
    fn ended(status: i32, disk: Filled) -> Facts {
        let ended = Ended { status, ..Ended::default() };
        let mut facts = Facts::new(Limits::default(), 0);
        facts.exited = Some(Exited { ended, disk, ..Exited::default() });
        facts.gone = Some((0, Used::default()));
        facts
    }

    /// A run whose init was killed before its program ended.
    fn killed(cause: Killed) -> Facts {
        let mut facts = Facts::new(Limits::default(), 0);
        facts.killed = Some(cause);
        facts.gone = Some((KILLED, Used::default()));
        facts
    }

    fn outcome(facts: Facts) -> Outcome {
        facts.report(Vec::new()).outcome
    }

    #[test]
    fn a_program_that_ends_by_itself_says_how() {
        assert_eq!(outcome(ended(3 << 8, ROOMY)), Outcome::Exited { code: 3 });
        assert_eq!(outcome(ended(libc::SIGTERM, ROOMY)), Outcome::Signaled { signal: 15 });
        // Bit 7 of a status tells of a core file, not of another signal.
        assert_eq!(outcome(ended(libc::SIGSEGV | 0x80, ROOMY)), Outcome::Signaled { signal: 11 });
        assert_eq!(outcome(ended(libc::SIGSYS, ROOMY)), Outcome::Seccomp);
    }

    #[test]
    fn what_ended_it_is_the_cause() {
        for (cause, expected) in [
            (Killed::WallTime, Outcome::WallTime),
            (Killed::CpuTime, Outcome::CpuTime),
            (Killed::Memory, Outcome::Memory),
            (Killed::Output, Outcome::Output),
            (Killed::Disk, Outcome::Disk),
            (Killed::Cancelled, Outcome::Cancelled),
        ] {
            assert_eq!(outcome(killed(cause)), expected);
        }
    }

    #[test]
    fn a_program_that_was_faster_than_the_clock_has_ended_by_itself() {
        let mut facts = ended(0, ROOMY);
        facts.killed = Some(Killed::WallTime);
        assert_eq!(outcome(facts), Outcome::Exited { code: 0 });
        // But not one that ended because it was told to.
        let mut facts = ended(0, ROOMY);
        facts.killed = Some(Killed::Cancelled);
        assert_eq!(outcome(facts), Outcome::Cancelled);
    }

    #[test]
    fn a_process_killed_for_memory_decides_whatever_the_program_says() {
        let mut facts = ended(0, ROOMY);
        facts.group.oom_kills = 1;
        let report = facts.report(Vec::new());
        assert_eq!(report.outcome, Outcome::Memory);
        assert_eq!(report.exit, Some(Exit::Code(0)));
    }

    #[test]
    fn limits_that_refuse_are_causes_only_of_failures() {
        let refused = |status| {
            let mut facts = ended(status, ROOMY);
            facts.group.pids_refused = 2;
            facts.report(Vec::new())
        };
        assert_eq!(refused(1 << 8).outcome, Outcome::Processes);
        assert_eq!(refused(0).outcome, Outcome::Exited { code: 0 });
        assert_eq!(refused(0).limits_hit, [Feature::ProcessLimit]);
        assert_eq!(outcome(ended(1 << 8, FULL)), Outcome::Disk);
        assert_eq!(outcome(ended(0, FULL)), Outcome::Exited { code: 0 });
        assert_eq!(outcome(ended(libc::SIGXFSZ, ROOMY)), Outcome::Disk);
    }

    #[test]
    fn an_end_without_a_word_is_a_loss_or_inits_own_clock() {
        let gone = |status, after: Duration| {
            let mut facts = Facts::new(Limits::default(), 0);
            facts.gone = Some((status, Used::default()));
            facts.end_ns = nanos(after);
            outcome(facts)
        };
        let wall = Limits::default().wall;
        assert_eq!(gone(KILLED, wall), Outcome::Lost);
        assert_eq!(gone(OVERDUE << 8, wall), Outcome::WallTime);
        assert_eq!(gone(OVERDUE << 8, wall / 2), Outcome::Lost, "nobody's time was up");
        assert_eq!(ExitReport::lost().outcome, Outcome::Lost);
    }

    #[test]
    fn a_failed_step_comes_first() {
        let mut facts = killed(Killed::WallTime);
        facts.failed = Some((Stage::Exec, libc::ENOENT));
        let expected = Outcome::SetupFailed { stage: Stage::Exec, errno: libc::ENOENT };
        assert_eq!(outcome(facts), expected);
    }

    #[test]
    fn a_terminal_that_was_hung_up_early_is_no_failure() {
        let mut facts = killed(Killed::Cancelled);
        facts.failed = Some((Stage::Terminal, libc::EIO));
        assert_eq!(outcome(facts), Outcome::Cancelled);
    }

    #[test]
    fn the_backstop_on_processor_time_is_recognised() {
        let limits = Limits { cpu_time: Some(Duration::from_secs(1)), ..Limits::default() };
        let mut facts = ended(libc::SIGKILL, ROOMY);
        facts.limits = limits;
        assert_eq!(outcome(facts), Outcome::Signaled { signal: 9 });
        let mut facts = ended(libc::SIGKILL, ROOMY);
        facts.limits.cpu_time = Some(Duration::from_secs(1));
        facts.gone = Some((0, Used { user: Duration::from_secs(2), ..Used::default() }));
        assert_eq!(outcome(facts), Outcome::CpuTime);
    }
}
