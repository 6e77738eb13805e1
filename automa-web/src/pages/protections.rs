//! What confines scripts, for people: the protections of the sandbox in a few groups.

use askama::{Template, filters::HtmlSafe};
use automa_sandbox::{Feature, Protection, Status};

use crate::filters;

/// A panel with every protection, and whether it is in force.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/protections.html")]
pub(crate) struct Protections {
    title: &'static str,
    groups: Vec<Group>,
}

/// The template escapes for itself.
impl HtmlSafe for Protections {}

/// Protections with one purpose.
#[derive(Debug, Clone)]
struct Group {
    title: &'static str,
    meaning: &'static str,
    /// Names of those that are in force.
    enforced: Vec<String>,
    /// Those that are weaker or missing.
    gaps: Vec<Gap>,
}

#[derive(Debug, Clone)]
struct Gap {
    name: String,
    missing: bool,
    reason: String,
}

/// The title of the group that an allow-list changes.
const NETWORK: &str = "Network";

/// Groups, what each amounts to, and what belongs to it.
const GROUPS: [(&str, &str, &[Feature]); 8] = [
    (
        "Namespaces",
        "Its own processes, mounts and host name; nothing of the machine's is seen",
        &[Feature::Namespaces, Feature::Proc],
    ),
    (
        "Files",
        "A read-only system without the host's files, and one place to write, of limited size",
        &[Feature::Filesystem, Feature::Landlock, Feature::DiskLimit, Feature::OpenFiles],
    ),
    (
        NETWORK,
        "None: nothing can be reached, and nothing reaches it",
        &[Feature::Network, Feature::LandlockNetwork, Feature::LandlockScope],
    ),
    (
        "Rights",
        "A user that owns nothing else, without capabilities and without a way to get any",
        &[Feature::Identity, Feature::Capabilities, Feature::NoNewPrivileges],
    ),
    ("System calls", "Only those of a list; all others fail", &[Feature::Seccomp]),
    (
        "Memory and processes",
        "Limited for all its processes together",
        &[Feature::MemoryLimit, Feature::SwapLimit, Feature::ProcessLimit],
    ),
    (
        "Time and output",
        "Limited: time, processor time, share of processors, bytes of output",
        &[Feature::WallTime, Feature::CpuTime, Feature::CpuShare, Feature::OutputLimit],
    ),
    ("The end", "No process survives it, whatever it did to get away", &[Feature::TreeKill]),
];

impl Protections {
    pub(crate) fn new(title: &'static str, protections: &[Protection]) -> Self {
        let groups = GROUPS.iter().map(|(title, meaning, features)| {
            group(title, meaning, protections.iter().filter(|it| features.contains(&it.feature)))
        });
        // What a later sandbox has, and no group names yet.
        let known = |it: &&Protection| !GROUPS.iter().any(|(_, _, all)| all.contains(&it.feature));
        let others = group("Other", "", protections.iter().filter(known));
        let groups = groups.chain([others]);
        let groups = groups.filter(|it| !it.enforced.is_empty() || !it.gaps.is_empty()).collect();
        Self { title, groups }
    }

    /// The same of a sandbox with an allow-list.
    pub(crate) fn with_network(mut self) -> Self {
        for group in &mut self.groups {
            if group.title == NETWORK {
                group.meaning = "Only what its allow-list names; nothing reaches it";
            }
        }
        self
    }

    fn complete(&self) -> bool {
        self.groups.iter().all(|group| group.gaps.is_empty())
    }

    fn summary(&self) -> String {
        let gaps = || self.groups.iter().flat_map(|group| &group.gaps);
        let missing = gaps().filter(|gap| gap.missing).count();
        match (missing, gaps().count() - missing) {
            (0, weaker) => format!("{weaker} weaker"),
            (missing, 0) => format!("{missing} missing"),
            (missing, weaker) => format!("{missing} missing, {weaker} weaker"),
        }
    }
}

fn group<'a>(
    title: &'static str,
    meaning: &'static str,
    protections: impl Iterator<Item = &'a Protection>,
) -> Group {
    let mut group = Group { title, meaning, enforced: Vec::new(), gaps: Vec::new() };
    for Protection { feature, status } in protections {
        let name = feature.name().replace('_', " ");
        match status {
            Status::Enforced => group.enforced.push(name),
            Status::Weaker(reason) => {
                group.gaps.push(Gap { name, missing: false, reason: reason.clone() });
            }
            Status::Missing(reason) => {
                group.gaps.push(Gap { name, missing: true, reason: reason.clone() });
            }
        }
    }
    group
}

impl Group {
    fn class(&self) -> &'static str {
        match self.gaps.iter().map(|gap| gap.missing).max() {
            None => "succeeded",
            Some(false) => "timed_out",
            Some(true) => "failed",
        }
    }

    fn icon(&self) -> &'static str {
        match self.class() {
            "succeeded" => "ok",
            "failed" => "bad",
            _ => "warn",
        }
    }

    fn word(&self) -> &'static str {
        match self.class() {
            "succeeded" => "Enforced",
            "failed" => "Partly missing",
            _ => "Partly weaker",
        }
    }
}

impl Gap {
    fn class(&self) -> &'static str {
        if self.missing { "bad" } else { "warn" }
    }

    fn word(&self) -> &'static str {
        if self.missing { "is missing" } else { "is weaker" }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A host on which one protection has a gap and another is missing.
    pub(crate) fn sample() -> Vec<Protection> {
        let status = |feature| match feature {
            Feature::MemoryLimit => Status::Weaker("counted every 20 ms: no <cgroups>".to_owned()),
            Feature::SwapLimit => Status::Missing("this kernel does not count swap".to_owned()),
            _ => Status::Enforced,
        };
        Feature::ALL.map(|feature| Protection { feature, status: status(feature) }).into()
    }

    #[test]
    fn every_protection_is_in_a_group() {
        for feature in Feature::ALL {
            let groups = GROUPS.iter().filter(|(_, _, all)| all.contains(&feature));
            assert_eq!(groups.count(), 1, "{feature}");
        }
    }

    #[test]
    fn gaps_are_named_with_their_reasons() {
        let panel = Protections::new("Sandbox", &sample());
        assert!(!panel.complete());
        assert_eq!(panel.summary(), "1 missing, 1 weaker");
        let html = panel.render().unwrap();
        assert!(html.contains("memory limit is weaker</b>: counted every 20 ms: no &#60;cgroups"));
        assert!(html.contains("swap limit is missing</b>: this kernel"), "{html}");
        let all: Vec<_> =
            Feature::ALL.map(|feature| Protection { feature, status: Status::Enforced }).into();
        let html = Protections::new("Sandbox", &all).render().unwrap();
        assert!(html.contains("all enforced"), "{html}");
    }
}
