//! How an engine is set up.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::unistd::{SysconfVar, sysconf};

use crate::{
    egress::{Resolve, SystemResolver},
    error::Error,
    interpreter,
};

/// Set by [`crate::reexec_guard`]: this program can be entered again as a zygote.
static GUARDED: AtomicBool = AtomicBool::new(false);

pub(crate) fn mark_guarded() {
    GUARDED.store(true, Ordering::Relaxed);
}

/// How an [`Engine`](crate::Engine) is set up.
#[derive(Debug, Clone)]
#[must_use]
pub struct EngineConfig {
    pub(crate) slots: usize,
    spare: usize,
    warm: Option<usize>,
    pub(crate) patience: Duration,
    pub(crate) trees: Vec<(PathBuf, PathBuf)>,
    pub(crate) helper: PathBuf,
    pub(crate) hostname: String,
    pub(crate) resolver: Arc<dyn Resolve>,
}

impl Default for EngineConfig {
    /// As many slots as processors, nothing of the host but `/usr`, and this program as helper.
    fn default() -> Self {
        let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten().unwrap_or(1);
        Self {
            slots: usize::try_from(processors).unwrap_or(1).clamp(1, MAX_SLOTS),
            spare: 0,
            warm: None,
            patience: interpreter::PATIENCE,
            trees: Vec::new(),
            helper: SELF.into(),
            hostname: "automa".to_owned(),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// Most slots of one engine.
const MAX_SLOTS: usize = 64;

/// This program, even after its file was replaced by an upgrade.
const SELF: &str = "/proc/self/exe";

/// Paths inside that are not the caller's to mount over.
const RESERVED: [&str; 6] = ["/proc", "/dev", "/etc", "/tmp", "/var/tmp", "/automa"];

impl EngineConfig {
    /// How many sandboxes run at the same time, 1 to 64; more wait.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots.clamp(1, MAX_SLOTS);
        self
    }

    /// How many sandboxes run at the same time beyond that, for programs that run on: together at
    /// most 64; none unless told. Their slots are made when they are needed.
    pub fn spare(mut self, slots: usize) -> Self {
        self.spare = slots;
        self
    }

    /// How many slots may be made beyond the usual ones.
    pub(crate) fn spare_slots(&self) -> usize {
        self.spare.min(MAX_SLOTS - self.slots)
    }

    /// How many sandboxes are kept prepared beyond those of the slots themselves, so that commands
    /// of several [profiles](crate::Profile) find theirs: at most what is left of 64, by default as
    /// many as slots. They are made when they are first missed. With 0 nothing is prepared after a
    /// run, and every start is cold.
    pub fn warm(mut self, sandboxes: usize) -> Self {
        self.warm = Some(sandboxes);
        self
    }

    /// How long an interpreter that was started in advance waits for a script, about: 10 minutes.
    ///
    /// After a Python script its slot starts Python again, up to where the script would be opened. It
    /// holds some 6 MB meanwhile. An engine that has not run Python for this long, or never, has none.
    pub fn keep_interpreters(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Most slots there will be, prepared ones included.
    pub(crate) fn most_slots(&self) -> usize {
        (self.slots + self.spare_slots() + self.warm.unwrap_or(self.slots)).min(MAX_SLOTS)
    }

    /// Whether a slot is prepared again after a run.
    pub(crate) fn prepares(&self) -> bool {
        self.warm != Some(0)
    }

    /// Shows a host directory or file read-only in all sandboxes, at the path `inside`.
    pub fn mount_ro(mut self, outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.trees.push((outside.into(), inside.into()));
        self
    }

    /// A program that calls [`crate::reexec_guard`], for embedders whose own `main` cannot.
    pub fn helper(mut self, program: impl Into<PathBuf>) -> Self {
        self.helper = program.into();
        self
    }

    /// Finds the addresses of the names on allow-lists, instead of the system's resolver.
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.helper == Path::new(SELF) && !GUARDED.load(Ordering::Relaxed) {
            return Err(Error::NoGuard);
        }
        for (outside, inside) in &self.trees {
            let problem = if !outside.is_absolute() || !inside.is_absolute() {
                "is not an absolute path".to_owned()
            } else if inside == Path::new("/") {
                "would replace the sandbox's root".to_owned()
            } else if let Some(dir) = RESERVED.iter().find(|dir| inside.starts_with(dir)) {
                format!("lies in {dir}, which is the sandbox's own: give another path inside")
            } else {
                continue;
            };
            let (outside, inside) = (outside.display(), inside.display());
            return Err(Error::InvalidCommand(format!(
                "cannot show {outside} at {inside}: {inside} {problem}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_over_the_sandboxs_own_places_are_refused() {
        for (inside, part) in [
            ("relative", "not an absolute path"),
            ("/", "replace the sandbox's root"),
            ("/proc/x", "lies in /proc"),
            ("/tmp", "lies in /tmp"),
        ] {
            let config = EngineConfig::default().helper("/bin/true").mount_ro("/srv", inside);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn without_the_guard_nothing_is_started() {
        // The test harness's main does not call it, and must not be entered again as a helper.
        assert!(matches!(EngineConfig::default().check(), Err(Error::NoGuard)));
    }
}
