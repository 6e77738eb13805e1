//! Concurrency: how many executions of a script run at the same time, and what becomes of one that
//! would be too many.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Parameters;
use crate::{error::FieldError, id::ScriptId};

/// Most that can be allowed at the same time.
const LIMIT_MAX: u32 = 1000;

/// How many executions of a script may run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// How many: 1 to 1,000.
    pub limit: u32,
    /// The parameter by whose value they are counted: so many for each. Without one, all executions
    /// of the script are counted together.
    pub key: Option<String>,
    /// What becomes of one that would be too many.
    pub on_conflict: OnConflict,
}

/// What becomes of an execution that would be one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It runs beside the others: there is no limit.
    Allow,
    /// It waits for the end of another.
    Queue,
    /// It is recorded as cancelled, and never starts. Those that wait count, too.
    Skip,
    /// The oldest of the others is cancelled; it waits for the end of that.
    Replace,
}

/// There is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rule for conflicts; there are allow, queue, skip and replace")]
pub struct UnknownOnConflict(String);

/// The place that an execution takes among those that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Of whatever is counted together, the beginning of a hash.
    pub(crate) key: [u8; 16],
    /// How many places there are, as the script's version said.
    pub limit: u32,
}

impl OnConflict {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Queue, Self::Skip, Self::Replace];

    /// The rule's name in the API and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Queue => "queue",
            Self::Skip => "skip",
            Self::Replace => "replace",
        }
    }
}

impl fmt::Display for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OnConflict {
    type Err = UnknownOnConflict;

    fn from_str(name: &str) -> Result<Self, UnknownOnConflict> {
        let found = Self::ALL.into_iter().find(|rule| rule.name() == name);
        found.ok_or_else(|| UnknownOnConflict(name.to_owned()))
    }
}

impl Concurrency {
    /// Names what is out of its bounds.
    pub(crate) fn check(&self, errors: &mut Vec<FieldError>) {
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            let reason = format!("must be 1 to {LIMIT_MAX}, not {}", self.limit);
            errors.push(FieldError::new("concurrency.limit", reason));
        }
        let named = |key: &String| (1..=64).contains(&key.len()) && !key.contains(char::is_control);
        if !self.key.as_ref().is_none_or(named) {
            let reason = "must be the name of a parameter";
            errors.push(FieldError::new("concurrency.key", reason));
        }
    }

    /// The place that an execution takes with these parameters, or with a key in their stead; `None`
    /// if there is no limit.
    pub(super) fn place(
        &self,
        script: ScriptId,
        parameters: Option<&Parameters>,
        given: Option<&str>,
    ) -> Option<Place> {
        let value = |name: &String| parameters.and_then(|it| it.get(name)).unwrap_or(&Value::Null);
        let counted = match (given, &self.key) {
            (Some(given), _) => format!("{script} given {given}"),
            (None, Some(name)) => format!("{script} parameter {name} {}", value(name)),
            (None, None) => script.to_string(),
        };
        let hash: [u8; 32] = Sha256::digest(counted).into();
        let (key, _) = hash.split_first_chunk()?;
        let limited = self.on_conflict != OnConflict::Allow;
        limited.then_some(Place { key: *key, limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn executions_are_counted_by_script_and_by_the_value_of_the_key() {
        let clock = SystemClock::new();
        let [one, other] = [(); 2].map(|()| ScriptId::generate(&clock));
        let rule = |key: Option<&str>, on_conflict| Concurrency {
            limit: 2,
            key: key.map(str::to_owned),
            on_conflict,
        };
        let parameters = |value: Value| value.as_object().cloned().unwrap();
        let (north, south) = (json!({"region": "north", "n": 1}), json!({"region": "south"}));
        let place = |key, script, value: &Value, given| {
            rule(key, OnConflict::Queue).place(script, Some(&parameters(value.clone())), given)
        };
        assert_eq!(place(None, one, &north, None), place(None, one, &south, None));
        assert_ne!(place(None, one, &north, None), place(None, other, &north, None));
        let by = Some("region");
        assert_ne!(place(by, one, &north, None), place(by, one, &south, None));
        let more = json!({"region": "north", "n": 2});
        assert_eq!(place(by, one, &north, None), place(by, one, &more, None));
        assert_eq!(place(by, one, &north, Some("x")), place(None, one, &south, Some("x")));
        assert_ne!(place(by, one, &north, Some("x")), place(by, other, &north, Some("x")));
        let missing = rule(by, OnConflict::Skip).place(one, None, None);
        assert_eq!(missing, place(by, one, &json!({"region": null}), None));
        assert_eq!(missing.unwrap().limit, 2);
        assert_eq!(rule(None, OnConflict::Allow).place(one, None, None), None);
    }

    #[test]
    fn a_rule_has_bounds_and_a_name() {
        for (limit, key, fields) in [
            (1, None, vec![]),
            (1000, Some("region"), vec![]),
            (0, Some(""), vec!["concurrency.limit", "concurrency.key"]),
            (1001, Some("a\n"), vec!["concurrency.limit", "concurrency.key"]),
        ] {
            let rule =
                Concurrency { limit, key: key.map(str::to_owned), on_conflict: OnConflict::Queue };
            let mut errors = Vec::new();
            rule.check(&mut errors);
            assert_eq!(errors.iter().map(|it| &*it.field).collect::<Vec<_>>(), fields);
        }
        for rule in OnConflict::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert!("wait".parse::<OnConflict>().is_err());
    }
}
