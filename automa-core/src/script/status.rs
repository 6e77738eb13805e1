//! What a script is good for, and who sees it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a script is good for. Stored by number: new ones go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is being written: people run it by hand to try it, and nothing else does.
    Draft,
    /// It may also run unattended: by jobs, and as an agent.
    Active,
    /// It is to be replaced: it runs by hand, with a warning, and not unattended.
    Deprecated,
}

/// Who sees a script. Stored by number: new ones go to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its owner and admins. For everybody else there is no such script.
    Private,
    /// Everybody who may read scripts.
    Public,
}

/// There is no status of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no status `{0}`; a script is draft, active or deprecated")]
pub struct UnknownStatus(String);

/// There is no visibility of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no visibility `{0}`; a script is private or public")]
pub struct UnknownVisibility(String);

impl Status {
    /// All there are, in the order in which a script goes through them.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Active, Self::Deprecated];

    /// Its name in the API and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
        }
    }
}

impl Visibility {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Private, Self::Public];

    /// Its name in the API and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(name: &str) -> Result<Self, UnknownStatus> {
        let found = Self::ALL.into_iter().find(|status| status.name() == name);
        found.ok_or_else(|| UnknownStatus(name.to_owned()))
    }
}

impl FromStr for Visibility {
    type Err = UnknownVisibility;

    fn from_str(name: &str) -> Result<Self, UnknownVisibility> {
        let found = Self::ALL.into_iter().find(|visibility| visibility.name() == name);
        found.ok_or_else(|| UnknownVisibility(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, the stored format has changed: add at the end only.
    #[test]
    fn each_keeps_its_number_and_has_one_name() {
        for (number, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(postcard::to_stdvec(&status).unwrap()[0]), number);
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        for (number, visibility) in Visibility::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(postcard::to_stdvec(&visibility).unwrap()[0]), number);
            assert_eq!(visibility.to_string().parse(), Ok(visibility));
        }
        let error = "Active".parse::<Status>().unwrap_err().to_string();
        assert_eq!(error, "there is no status `Active`; a script is draft, active or deprecated");
        assert!("all".parse::<Visibility>().is_err());
    }
}
