//! What a sandbox can be prepared for before it is known what it will run.

use crate::{interpreter::Interpreter, policy::Profile};

/// Most ports that a class carries.
pub(crate) const MAX_PORTS: usize = 32;

/// The part of a command that its sandbox is built by. What is prepared for one class serves every
/// command of it: limits, arguments, environment and files come with the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) profile: Profile,
    /// TCP ports that may be connected to, in ascending order; none without a network.
    pub(crate) ports: Vec<u16>,
    /// What runs already, and waits for its script.
    pub(crate) interpreter: Option<Interpreter>,
}

/// Words of a class in a message: the profile, the number of ports, and four of them in a word.
pub(crate) const CLASS_WORDS: usize = 2 + MAX_PORTS / 4;

impl Class {
    /// Whether its sandboxes have a network of their own, be it only a loopback interface.
    pub(crate) fn has_network(&self) -> bool {
        !self.ports.is_empty() || self.profile.loopback()
    }

    /// The class of sandboxes that serve as well, but wait for a program.
    pub(crate) fn for_any_program(&self) -> Self {
        Self { interpreter: None, ..self.clone() }
    }

    /// What the slot has to know of it: not the interpreter, which is in the plan.
    pub(crate) fn encode(&self) -> [u64; CLASS_WORDS] {
        debug_assert!(self.ports.len() <= MAX_PORTS, "checked where ports are given");
        let mut words = [0; CLASS_WORDS];
        words[0] = self.profile.index() as u64;
        words[1] = self.ports.len() as u64;
        for (word, ports) in words[2..].iter_mut().zip(self.ports.chunks(4)) {
            *word = ports.iter().rev().fold(0, |word, port| word << 16 | u64::from(*port));
        }
        words
    }

    /// Reads a class; `None` when these words are none.
    pub(crate) fn decode(words: &[u64; CLASS_WORDS]) -> Option<Self> {
        let profile = *Profile::ALL.get(usize::try_from(words[0]).ok()?)?;
        let count = usize::try_from(words[1]).ok().filter(|&count| count <= MAX_PORTS)?;
        let port = |index: usize| (words[2 + index / 4] >> (index % 4 * 16)) as u16;
        Some(Self { profile, ports: (0..count).map(port).collect(), interpreter: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(ports in prop::collection::vec(any::<u16>(), 0..=MAX_PORTS)) {
            for profile in Profile::ALL {
                let class = Class { profile, ports: ports.clone(), interpreter: None };
                prop_assert_eq!(Class::decode(&class.encode()), Some(class));
            }
        }

        #[test]
        fn damage_never_panics(words: [u64; CLASS_WORDS]) {
            let _ = Class::decode(&words);
        }
    }
}
