//! What confines and limits a sandbox, and whether it is in force.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that confines a sandbox, or limits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Feature {
    /// Own process, mount, IPC, host-name and cgroup namespaces.
    Namespaces,
    /// A user id that is nobody else's, and no groups.
    Identity,
    /// A read-only root without the host's files; one writable place.
    Filesystem,
    /// A proc that shows the sandbox's own processes and nothing of the machine, unless its
    /// [profile](crate::Profile) says otherwise.
    Proc,
    /// No network, or only what an allow-list names and a loopback interface of the sandbox's own.
    Network,
    /// No capability, and none to be had.
    Capabilities,
    /// No program gains rights by being executed (`no_new_privs`).
    NoNewPrivileges,
    /// A list of allowed system calls.
    Seccomp,
    /// File rules that hold even where the mounts would not.
    Landlock,
    /// TCP ruled by Landlock as well.
    LandlockNetwork,
    /// Abstract sockets and signals kept inside by Landlock as well.
    LandlockScope,
    /// Memory of all processes together.
    MemoryLimit,
    /// Swap counted into the memory limit.
    SwapLimit,
    /// Number of processes and threads.
    ProcessLimit,
    /// Share of the processors.
    CpuShare,
    /// Processor time of all processes together.
    CpuTime,
    /// Time from start to end.
    WallTime,
    /// Size and number of files.
    DiskLimit,
    /// Bytes of output.
    OutputLimit,
    /// Open files of a process.
    OpenFiles,
    /// The end of all processes, whatever they did to get away.
    TreeKill,
}

impl Feature {
    /// All features, in the order reports list them.
    pub const ALL: [Self; 21] = [
        Self::Namespaces,
        Self::Identity,
        Self::Filesystem,
        Self::Proc,
        Self::Network,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Seccomp,
        Self::Landlock,
        Self::LandlockNetwork,
        Self::LandlockScope,
        Self::MemoryLimit,
        Self::SwapLimit,
        Self::ProcessLimit,
        Self::CpuShare,
        Self::CpuTime,
        Self::WallTime,
        Self::DiskLimit,
        Self::OutputLimit,
        Self::OpenFiles,
        Self::TreeKill,
    ];

    /// The feature's name as policies, flags and reports write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Identity => "identity",
            Self::Filesystem => "filesystem",
            Self::Proc => "proc",
            Self::Network => "network",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::LandlockNetwork => "landlock_network",
            Self::LandlockScope => "landlock_scope",
            Self::MemoryLimit => "memory_limit",
            Self::SwapLimit => "swap_limit",
            Self::ProcessLimit => "process_limit",
            Self::CpuShare => "cpu_share",
            Self::CpuTime => "cpu_time",
            Self::WallTime => "wall_time",
            Self::DiskLimit => "disk_limit",
            Self::OutputLimit => "output_limit",
            Self::OpenFiles => "open_files",
            Self::TreeKill => "tree_kill",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no protection of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a protection; they are {known}", known = Feature::ALL.map(Feature::name).join(", "))]
pub struct UnknownFeature(String);

impl std::str::FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|feature| feature.name() == wanted)
            .ok_or_else(|| UnknownFeature(text.to_owned()))
    }
}

/// Whether a protection is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "reason", rename_all = "snake_case")]
pub enum Status {
    /// As documented.
    Enforced,
    /// In force with a gap; the text says which.
    Weaker(String),
    /// Not in force; the text says why and what to do.
    Missing(String),
}

/// One protection and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Which.
    pub feature: Feature,
    /// Whether.
    #[serde(flatten)]
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_found_by_their_names() {
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse(), Ok(feature));
            let json = serde_json::to_value(feature).unwrap();
            assert_eq!(json, feature.name(), "one name everywhere");
        }
        assert_eq!("memory-limit".parse(), Ok(Feature::MemoryLimit));
        assert!("memory".parse::<Feature>().is_err());
    }
}
