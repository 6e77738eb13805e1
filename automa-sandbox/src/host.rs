//! What this host enforces: found out once when an engine starts, and judged for each policy.

use crate::{
    cgroup::Support,
    landlock,
    policy::Profile,
    protection::{Feature, Protection, Status},
    sampling,
    zygote::protocol::Facts,
};

/// What this host and this user can enforce.
#[derive(Debug, Clone)]
pub struct Host {
    facts: Facts,
    groups: Support,
    sampling: Result<(), String>,
    /// Whether more of the host is shown than what every sandbox needs.
    shows_trees: bool,
    processors: u16,
}

impl Host {
    pub(crate) fn new(facts: Facts, groups: Support, shows_trees: bool) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = u16::try_from(processors).unwrap_or(u16::MAX);
        Self { facts, groups, sampling: sampling::available(), shows_trees, processors }
    }

    /// How many processors this program may use. Finding out reads files of proc and of control
    /// groups: too slow for each start.
    pub(crate) fn processors(&self) -> f64 {
        f64::from(self.processors)
    }

    /// Whether sandboxes live in a user namespace, as they do for an ordinary user.
    #[must_use]
    pub fn user_namespace(&self) -> bool {
        self.facts.user_namespace
    }

    /// The kernel's Landlock ABI, 0 where there is none.
    #[must_use]
    pub fn landlock_abi(&self) -> i32 {
        self.facts.landlock_abi
    }

    /// Which control groups are used: `v1`, `hybrid`, `v2` or `none`.
    #[must_use]
    pub fn cgroups(&self) -> &'static str {
        self.groups.version
    }

    /// Why there are no control groups, where there are none. The protections that suffer from it
    /// repeat this text at the end of their reasons.
    #[must_use]
    pub fn cgroup_problem(&self) -> Option<&str> {
        let none = self.groups.version == "none";
        self.groups.memory.as_ref().err().filter(|_| none).map(String::as_str)
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn groups(&self) -> &Support {
        &self.groups
    }

    /// Whether usage has to be sampled from proc, for want of groups.
    pub(crate) fn samples(&self) -> bool {
        self.sampling.is_ok()
            && (self.groups.memory.is_err() || self.groups.cpu_accounting.is_err())
    }

    /// Every protection of a script that is started here with piped output.
    #[must_use]
    pub fn protections(&self) -> Vec<Protection> {
        self.protections_of(Profile::Script)
    }

    /// The same for another profile.
    #[must_use]
    pub fn protections_of(&self, profile: Profile) -> Vec<Protection> {
        let status =
            |feature| self.given_up(feature, profile).unwrap_or_else(|| self.status(feature));
        Feature::ALL
            .into_iter()
            .map(|feature| Protection { feature, status: status(feature) })
            .collect()
    }

    /// What a profile goes without, as far as this host would have it.
    fn given_up(&self, feature: Feature, profile: Profile) -> Option<Status> {
        match feature {
            Feature::Proc if profile.shows_machine() => Some(Status::Weaker(format!(
                "profile `{profile}` is shown the machine's processors, memory and load"
            ))),
            Feature::LandlockNetwork
                if profile.loopback() && self.facts.landlock_abi >= landlock::NET_ABI =>
            {
                Some(Status::Missing(format!(
                    "profile `{profile}` may use TCP on its own loopback interface; the namespace \
                     has no other"
                )))
            }
            _ => None,
        }
    }

    fn status(&self, feature: Feature) -> Status {
        use Feature as F;
        match feature {
            // Each of these failed the engine's or the sandbox's start if it were not in force.
            F::Namespaces
            | F::Network
            | F::Capabilities
            | F::NoNewPrivileges
            | F::Seccomp
            | F::WallTime
            | F::DiskLimit
            | F::OutputLimit
            | F::OpenFiles
            | F::TreeKill => Status::Enforced,
            F::Identity => self.identity(),
            F::Filesystem => self.filesystem(self.shows_trees),
            F::Proc => self.proc(),
            F::Landlock => self.landlock_files(),
            F::LandlockNetwork => self.landlock_from(
                landlock::NET_ABI,
                "TCP ports; the sandbox's own network refuses them",
            ),
            F::LandlockScope => self.landlock_from(
                landlock::SCOPE_ABI,
                "abstract sockets and signals; the namespaces keep them inside",
            ),
            F::MemoryLimit => self.memory(),
            F::SwapLimit => or_missing(&self.groups.swap),
            F::ProcessLimit => match &self.groups.pids {
                Ok(()) => Status::Enforced,
                Err(reason) => Status::Weaker(format!(
                    "counted for the sandbox's user by a resource limit, not by a group: {reason}"
                )),
            },
            F::CpuShare => or_missing(&self.groups.cpu),
            F::CpuTime => match (&self.groups.cpu_accounting, &self.sampling) {
                (Ok(()), _) => Status::Enforced,
                (Err(reason), Ok(())) => Status::Weaker(format!(
                    "sampled every {} ms from /proc, and a resource limit for each process: \
                     {reason}",
                    sampling::EVERY.as_millis()
                )),
                (Err(reason), Err(_)) => {
                    Status::Weaker(format!("a resource limit for each process only: {reason}"))
                }
            },
        }
    }

    fn identity(&self) -> Status {
        match self.facts.kept_groups {
            0 => Status::Enforced,
            count => Status::Weaker(format!(
                "{count} of your supplementary groups stay with the program: an ordinary user \
                 cannot drop them"
            )),
        }
    }

    /// With more of the host shown than what every sandbox needs, or not.
    pub(crate) fn filesystem(&self, shows_trees: bool) -> Status {
        // unix(7): connecting needs write permission on the socket, which a read-only mount leaves.
        if shows_trees && self.facts.landlock_abi < landlock::SOCKET_ABI {
            return Status::Weaker(format!(
                "sockets in the shown directories can be connected to, as far as their permissions \
                 let anybody: Landlock ABI {} does not rule that",
                self.facts.landlock_abi
            ));
        }
        Status::Enforced
    }

    fn proc(&self) -> Status {
        if self.facts.proc_subset && self.facts.proc_hidepid {
            Status::Enforced
        } else {
            Status::Weaker("Linux before 5.8 cannot hide all of /proc".to_owned())
        }
    }

    fn landlock_files(&self) -> Status {
        match self.facts.landlock_abi {
            0 => Status::Missing(
                "the kernel has no Landlock or it is not enabled: add landlock to the lsm= boot \
                 parameter (Linux 5.13)"
                    .to_owned(),
            ),
            abi if abi < landlock::FULL_FS_ABI => Status::Weaker(format!(
                "ABI {abi} does not rule truncation; the read-only mounts refuse it (Linux 6.2 \
                 does)"
            )),
            _ => Status::Enforced,
        }
    }

    fn landlock_from(&self, abi: i32, what: &str) -> Status {
        match self.facts.landlock_abi {
            have if have >= abi => Status::Enforced,
            have => Status::Missing(format!("Landlock ABI {have} does not rule {what}")),
        }
    }

    fn memory(&self) -> Status {
        match (&self.groups.memory, &self.sampling) {
            (Ok(()), _) => Status::Enforced,
            (Err(reason), Ok(())) => Status::Weaker(format!(
                "sampled every {} ms from /proc, and a resource limit for each process, without \
                 memory files and System V segments: {reason}",
                sampling::EVERY.as_millis()
            )),
            (Err(reason), Err(_)) => {
                Status::Weaker(format!("a resource limit for each process only: {reason}"))
            }
        }
    }
}

fn or_missing(support: &Result<(), String>) -> Status {
    match support {
        Ok(()) => Status::Enforced,
        Err(reason) => Status::Missing(reason.clone()),
    }
}
