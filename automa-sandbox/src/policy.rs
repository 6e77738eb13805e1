//! What a sandbox must enforce, and how much its program may use.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    egress::Network,
    error::Error,
    limits::Limits,
    protection::{Feature, Protection, Status},
};

/// A named set of rules for one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Profile {
    /// A script: no network, no terminal, its own processes only.
    Script,
}

impl Profile {
    /// Every profile, in the order of [`index`](Self::index).
    pub(crate) const ALL: [Self; 1] = [Self::Script];

    /// Its place in tables that have one entry for each profile.
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// There is no profile of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a profile; there is `script`")]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "script" => Ok(Self::Script),
            _ => Err(UnknownProfile(text.to_owned())),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script => f.write_str("script"),
        }
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
    /// The policy for scripts. Required is what keeps a hostile script from the host: namespaces,
    /// identity, file system, network, capabilities, system calls, Landlock, an end in time.
    /// Preferred is what needs rights that an ordinary user may lack: the limits by cgroups.
    #[must_use]
    pub fn script() -> Self {
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
            profile: Profile::Script,
            limits: Limits::default(),
            network: Network::None,
            required: required.into(),
            strict: false,
        }
    }

    /// The policy of a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Script => Self::script(),
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
                prop_assert_eq!(profile.to_string(), text);
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
