//! What an execution may reach: nothing, or what its allow-list names.

use automa_sandbox::{Destination, Egress, Network};

use crate::error::FieldError;

/// Names what is wrong with a list; an empty one is no network.
pub(crate) fn check(destinations: &[Destination], errors: &mut Vec<FieldError>) {
    if let Err(problem) = network(destinations).check() {
        errors.push(FieldError::new("network", problem));
    }
}

/// What a sandbox is given.
pub(super) fn network(destinations: &[Destination]) -> Network {
    if destinations.is_empty() {
        return Network::None;
    }
    Network::Allow(Egress::to(destinations.iter().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(count: u16, port: impl Fn(u16) -> u16) -> Vec<String> {
        let destination = |n| format!("h{n}.example.com:{}", port(n)).parse().unwrap();
        let mut errors = Vec::new();
        check(&(1..=count).map(destination).collect::<Vec<_>>(), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_has_a_most_of_destinations_and_ports() {
        for (count, port) in [(0, 443), (64, 443)] {
            assert_eq!(problems(count, |_| port), [""; 0]);
        }
        let most = "network: the allow-list names 65 destinations; the most is 64";
        assert_eq!(problems(65, |_| 443), [most]);
        let most = "network: the allow-list names 33 ports; the most is 32";
        assert_eq!(problems(33, |n| n), [most]);
    }

    #[test]
    fn what_names_nothing_is_no_network() {
        assert_eq!(network(&[]), Network::None);
        let one = "*.example.com:443".parse().unwrap();
        assert!(
            matches!(network(&[one]), Network::Allow(egress) if egress.destinations.len() == 1)
        );
    }
}
