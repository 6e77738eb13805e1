//! What a sandbox must enforce, and how much its program may use.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    egress::Network,
    error::Error,
    limits::{Bytes, Limits},
    protection::{Feature, Protection, Status},
};

/// A named set of rules for one kind of work.
///
/// | | `script` | `agent` | `build` | `terminal` |
/// | --- | --- | --- | --- | --- |
/// | meant for | scripts | programs that run on | compilers, installers | people |
/// | `/proc` shows | its processes | its processes | also the machine | also the machine |
/// | loopback interface | down | up, its own | up, its own | up, its own |
/// | TCP on loopback | refused | any port | any port | any port |
/// | terminal (`/dev/pts`, `/dev/tty`) | none | none | none | its own |
/// | debugging its own processes | refused | refused | refused | allowed |
/// | time from start to end | 5 min | 10 years | 1 h | 24 h |
/// | output | 10 MiB | unlimited | 64 MiB | unlimited |
/// | processors | 0.5 | 1 | 2 | 1 |
/// | memory | 512 MiB | 1 GiB | 4 GiB | 2 GiB |
/// | processes | 64 | 256 | 512 | 256 |
/// | temporary files | 100 MiB | 256 MiB | 2 GiB | 1 GiB |
/// | …their number | 16,384 | 16,384 | 262,144 | 65,536 |
/// | open files | 1,024 | 4,096 | 4,096 | 4,096 |
///
/// The limits are defaults, which [`Policy::limits`] replaces. All else is the same for all: see
/// the [crate's description](crate). What `/proc` tells of the machine is its processors, memory,
/// load and uptime, for `nproc`, `free`, `top` and language runtimes; everything else in it is
/// hidden, and its settings are read-only.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Profile {
    /// A script: no network, no terminal, its own processes only.
    #[default]
    Script,
    /// A program that runs until it is told to end. Whoever keeps its output has to bound it.
    Agent,
    /// Installing packages and compiling.
    Build,
    /// Somebody at a terminal; also called `dev`.
    #[serde(alias = "dev")]
    Terminal,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Script, Self::Agent, Self::Build, Self::Terminal];

    /// The name that [`FromStr`] reads.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Agent => "agent",
            Self::Build => "build",
            Self::Terminal => "terminal",
        }
    }

    /// Its place in tables that have one entry for each profile.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Whether the loopback interface is up.
    pub(crate) fn loopback(self) -> bool {
        self != Self::Script
    }

    /// Whether proc also tells of the machine.
    pub(crate) fn shows_machine(self) -> bool {
        matches!(self, Self::Build | Self::Terminal)
    }

    /// Whether there is a terminal of the sandbox's own.
    pub(crate) fn has_terminal(self) -> bool {
        self == Self::Terminal
    }

    /// What may be used unless somebody says otherwise.
    fn limits(self) -> Limits {
        let script = Limits::default();
        match self {
            Self::Script => script,
            Self::Agent => Limits {
                wall: Duration::from_hours(10 * 365 * 24),
                output: Bytes::UNLIMITED,
                cpu_millis: 1000,
                memory: Bytes::mib(1024),
                processes: 256,
                tmp: Bytes::mib(256),
                open_files: 4096,
                ..script
            },
            Self::Build => Limits {
                wall: Duration::from_hours(1),
                output: Bytes::mib(64),
                cpu_millis: 2000,
                memory: Bytes::mib(4096),
                processes: 512,
                tmp: Bytes::mib(2048),
                tmp_inodes: 262_144,
                open_files: 4096,
                ..script
            },
            Self::Terminal => Limits {
                wall: Duration::from_hours(24),
                output: Bytes::UNLIMITED,
                cpu_millis: 1000,
                memory: Bytes::mib(2048),
                processes: 256,
                tmp: Bytes::mib(1024),
                tmp_inodes: 65_536,
                open_files: 4096,
                ..script
            },
        }
    }
}

/// There is no profile of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a profile; there are {names}", names = Profile::ALL.map(Profile::name).join(", "))]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = if text == "dev" { "terminal" } else { text };
        let found = Self::ALL.into_iter().find(|profile| profile.name() == name);
        found.ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a sandbox must enforce and how much it may use.
///
/// A protection is either *required*: a host that cannot provide it refuses the run; or
/// *preferred*: the run happens and its report says what was missing.
///
/// ```
/// use automa_sandbox::{Bytes, Feature, Limits, Policy};
/// let policy = Policy::script()
///     .limits(Limits { memory: Bytes::mib(64), ..Limits::default() })
///     .require([Feature::MemoryLimit, Feature::ProcessLimit]);
/// assert!(policy.requires(Feature::Seccomp));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    profile: Profile,
    limits: Limits,
    #[serde(default)]
    network: Network,
    required: BTreeSet<Feature>,
    strict: bool,
}

impl Policy {
    /// The policy for scripts.
    #[must_use]
    pub fn script() -> Self {
        Self::of(Profile::Script)
    }

    /// The policy for programs that run on.
    #[must_use]
    pub fn agent() -> Self {
        Self::of(Profile::Agent)
    }

    /// The policy for installing packages and compiling.
    #[must_use]
    pub fn build() -> Self {
        Self::of(Profile::Build)
    }

    /// The policy for somebody at a terminal.
    #[must_use]
    pub fn terminal() -> Self {
        Self::of(Profile::Terminal)
    }

    /// The policy of a profile. Required is what keeps a hostile program from the host: namespaces,
    /// identity, file system, network, capabilities, system calls, Landlock, an end in time.
    /// Preferred is what needs rights that an ordinary user may lack: the limits by cgroups.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        use Feature as F;
        let required = [
            F::Namespaces,
            F::Identity,
            F::Filesystem,
            F::Network,
            F::Capabilities,
            F::NoNewPrivileges,
            F::Seccomp,
            F::Landlock,
            F::WallTime,
            F::DiskLimit,
            F::OpenFiles,
            F::TreeKill,
        ];
        Self {
            profile,
            limits: profile.limits(),
            network: Network::None,
            required: required.into(),
            strict: false,
        }
    }

    /// Sets what may be used.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what can be reached: without this, nothing.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Refuses to run where one of these is missing.
    #[must_use]
    pub fn require(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        self.required.extend(features);
        self
    }

    /// Runs even where one of these is missing, and reports it.
    #[must_use]
    pub fn prefer(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        for feature in features {
            self.required.remove(&feature);
        }
        self
    }

    /// Also refuses to run where a required protection is in force with a gap.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Whether a missing `feature` refuses the run.
    #[must_use]
    pub fn requires(&self, feature: Feature) -> bool {
        self.required.contains(&feature)
    }

    /// The profile this policy was made from.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What may be used.
    #[must_use]
    pub fn limits_ref(&self) -> &Limits {
        &self.limits
    }

    /// What can be reached.
    #[must_use]
    pub fn network_ref(&self) -> &Network {
        &self.network
    }

    /// Refuses what the host cannot provide.
    ///
    /// # Errors
    ///
    /// [`Error::Unprotected`] with the first required protection that is missing, or under
    /// [`strict`](Self::strict) has a gap.
    pub fn check(&self, protections: &[Protection]) -> Result<(), Error> {
        let lacking = |protection: &&Protection| {
            self.requires(protection.feature)
                && match protection.status {
                    Status::Enforced => false,
                    Status::Weaker(_) => self.strict,
                    Status::Missing(_) => true,
                }
        };
        match protections.iter().find(lacking) {
            None => Ok(()),
            Some(Protection { feature, status }) => {
                let (Status::Weaker(reason) | Status::Missing(reason)) = status else {
                    return Ok(());
                };
                Err(Error::Unprotected { feature: *feature, reason: reason.clone() })
            }
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::script()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    proptest! {
        #[test]
        fn any_name_is_a_profile_or_not(text: String) {
            if let Ok(profile) = text.parse::<Profile>() {
                prop_assert!(profile.to_string() == text || text == "dev");
            }
        }

        /// Whatever stands at one place of a document, it is read or refused; and limits that no
        /// program could run under are refused later.
        #[test]
        fn any_limit_is_read_or_not(
            field in select(vec!["wall", "cpu_time", "cpu_millis", "memory", "processes", "output"]),
            value in "-?[0-9]{1,25}(\\.[0-9]{1,3})?|null|\"[0-9a-z ]{0,9}\"|\\{\"secs\":[0-9]{1,20},\"nanos\":[0-9]{1,10}\\}",
        ) {
            let mut document = serde_json::to_value(Policy::script()).unwrap();
            document["limits"][field] = serde_json::from_str(&value).unwrap_or_default();
            if let Ok(policy) = serde_json::from_value::<Policy>(document) {
                let _ = policy.limits_ref().check();
            }
        }

        #[test]
        fn policies_read_back(
            required in prop::collection::vec(select(Feature::ALL.to_vec()), 0..5),
            preferred in prop::collection::vec(select(Feature::ALL.to_vec()), 0..5),
            memory: u64,
            wall: std::time::Duration,
        ) {
            let limits = Limits { memory: crate::Bytes(memory), wall, ..Limits::default() };
            let policy =
                Policy::script().limits(limits).require(required).prefer(preferred.clone());
            let text = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Policy>(&text).unwrap(), &policy);
            prop_assert!(preferred.iter().all(|feature| !policy.requires(*feature)));
        }
    }

    fn landlock(status: Status) -> Vec<Protection> {
        vec![Protection { feature: Feature::Landlock, status }]
    }

    #[test]
    fn profiles_are_found_by_their_names() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.name());
            assert_eq!(Policy::of(profile).profile(), profile);
        }
        assert_eq!("dev".parse(), Ok(Profile::Terminal));
        let problem = "root".parse::<Profile>().unwrap_err().to_string();
        assert_eq!(problem, "`root` is not a profile; there are script, agent, build, terminal");
    }

    /// The table in the description of [`Profile`] says what these limits are.
    #[test]
    fn limits_are_those_of_the_table() {
        let row = |profile: Profile| {
            let limits = profile.limits();
            let numbers =
                [limits.cpu_millis, limits.processes, limits.tmp_inodes, limits.open_files];
            let sizes = [limits.output, limits.memory, limits.tmp].map(|size| size.to_string());
            (limits.wall.as_secs() / 60, numbers, sizes.join(", "))
        };
        let year = 365 * 24 * 60;
        for (profile, wall, numbers, sizes) in [
            (Profile::Script, 5, [500, 64, 16_384, 1024], "10 MiB, 512 MiB, 100 MiB"),
            (Profile::Agent, 10 * year, [1000, 256, 16_384, 4096], "unlimited, 1 GiB, 256 MiB"),
            (Profile::Build, 60, [2000, 512, 262_144, 4096], "64 MiB, 4 GiB, 2 GiB"),
            (Profile::Terminal, 24 * 60, [1000, 256, 65_536, 4096], "unlimited, 2 GiB, 1 GiB"),
        ] {
            assert_eq!(row(profile), (wall, numbers, sizes.to_owned()), "{profile}");
            assert_eq!(profile.limits().check(), Ok(()));
        }
    }

    #[test]
    fn only_required_protections_refuse() {
        let missing = landlock(Status::Missing("the kernel has none".to_owned()));
        let weaker = landlock(Status::Weaker("ABI 2".to_owned()));
        let script = Policy::script();
        assert!(matches!(
            script.check(&missing),
            Err(Error::Unprotected { feature: Feature::Landlock, .. })
        ));
        assert!(script.check(&weaker).is_ok());
        assert!(script.clone().strict().check(&weaker).is_err());
        assert!(script.strict().prefer([Feature::Landlock]).check(&missing).is_ok());
    }
}
