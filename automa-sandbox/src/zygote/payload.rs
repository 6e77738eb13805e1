//! From clone to exec: everything a payload gives up before its program runs, in order.
//!
//! Runs in a child that shares init's memory, and allocates nothing. The order matters: identity
//! before files, so that they belong to the payload; Landlock and the filter last, as they forbid
//! what the steps before them need.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

use super::{
    Shared,
    plan::Plan,
    protocol::{Mark, Marks},
};
use crate::{report::Stage, sys};

/// What the payload is to become, and what came of it: init reads this after the exec.
pub(super) struct Setup<'a> {
    /// Descriptors to become standard input, output and error.
    pub(super) stdio: [RawFd; 3],
    /// The ids to take on; `None` in a user namespace, which has only one.
    pub(super) uid: Option<u32>,
    pub(super) shared: &'a Shared,
    pub(super) plan: &'a Plan<'a>,
    pub(super) marks: Marks,
    /// Set when a step failed and the program did not run.
    pub(super) failed: Option<(Stage, io::Error)>,
}

impl Setup<'_> {
    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks[mark as usize] = sys::monotonic_ns();
    }

    /// Closes init's copies, so that readers see the end of output when the payload's are closed.
    pub(super) fn close_stdio(&mut self) {
        for fd in self.stdio {
            sys::close(fd);
        }
    }
}

/// Becomes the program. Returns an exit code only when a step failed.
pub(super) fn run(setup: &mut Setup<'_>) -> i32 {
    setup.mark(Mark::PayloadRuns);
    let plan = setup.plan;
    let failed = match confine(setup, plan) {
        Ok(()) => (Stage::Exec, sys::execve(plan.program(), plan.argv(), plan.envp())),
        Err(failed) => failed,
    };
    setup.failed = Some(failed);
    127
}

fn confine(setup: &mut Setup<'_>, plan: &Plan<'_>) -> Result<(), (Stage, io::Error)> {
    let at = |stage| move |error| (stage, error);
    for (fd, target) in setup.stdio.into_iter().zip(0..) {
        sys::duplicate_to(fd, target).map_err(at(Stage::Stdio))?;
    }
    nix::unistd::setsid().map_err(|errno| (Stage::Session, errno.into()))?;
    // The kernel's first choice when memory is short, of its group or of the machine, never its
    // slot. A user namespace may not say so; its slot is smaller than most programs in any case.
    let _ = sys::write_file(c"/proc/self/oom_score_adj", b"1000");
    if let Some(uid) = setup.uid {
        sys::drop_groups().map_err(at(Stage::Identity))?;
        sys::set_ids(uid, uid).map_err(at(Stage::Identity))?;
    }
    sys::drop_capabilities().map_err(at(Stage::Capabilities))?;
    make_files(plan)?;
    setup.mark(Mark::FilesMade);
    // After the files: the limit on file size is for the program, not for us.
    for (resource, value) in plan.limits() {
        sys::lower_limit(resource, value).map_err(at(Stage::Limits))?;
    }
    if let Some(ruleset) = &setup.shared.landlock {
        sys::landlock_restrict_self(ruleset.as_raw_fd()).map_err(at(Stage::Landlock))?;
    }
    setup.mark(Mark::Landlocked);
    sys::close_from(3).map_err(at(Stage::Stdio))?;
    sys::install_filter(&setup.shared.filter).map_err(at(Stage::Seccomp))?;
    setup.mark(Mark::Filtered);
    Ok(())
}

/// Makes the directories of the writable file system, and the files of the plan.
fn make_files(plan: &Plan<'_>) -> Result<(), (Stage, io::Error)> {
    let at = |error| (Stage::Files, error);
    for (dir, mode) in
        [(c"/automa/job/work", 0o755), (c"/automa/job/tmp", 0o777), (c"/automa/job/shm", 0o777)]
    {
        sys::make_dir(dir, mode).map_err(at)?;
    }
    sys::change_dir(c"/automa/job/work").map_err(at)?;
    for (path, mode, data) in plan.files() {
        sys::create_file(path, mode, data).map_err(at)?;
    }
    Ok(())
}
