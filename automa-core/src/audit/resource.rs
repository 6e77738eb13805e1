//! What an entry of the audit log concerns.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ApiKeyId, CredentialId, ExecutionId, JobId, ScriptId, SessionId, UserId};

/// One thing that something was done to, or that it was tried with. It may be gone by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Resource {
    /// A script.
    Script(ScriptId),
    /// An execution.
    Execution(ExecutionId),
    /// A job.
    Job(JobId),
    /// An agent.
    Agent(AgentId),
    /// A user.
    User(UserId),
    /// A session.
    Session(SessionId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// A credential.
    Credential(CredentialId),
}

/// Text that names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no resource: that is a kind, a colon and an id, such as `script:0197c1a0-…`")]
pub struct UnknownResource(String);

impl Resource {
    /// Its kind, such as `script`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::Execution(_) => "execution",
            Self::Job(_) => "job",
            Self::Agent(_) => "agent",
            Self::User(_) => "user",
            Self::Session(_) => "session",
            Self::ApiKey(_) => "api_key",
            Self::Credential(_) => "credential",
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Script(id) => id.to_string(),
            Self::Execution(id) => id.to_string(),
            Self::Job(id) => id.to_string(),
            Self::Agent(id) => id.to_string(),
            Self::User(id) => id.to_string(),
            Self::Session(id) => id.to_string(),
            Self::ApiKey(id) => id.to_string(),
            Self::Credential(id) => id.to_string(),
        }
    }

    /// The one of a kind and an id, if there are such.
    #[must_use]
    pub fn named(kind: &str, id: &str) -> Option<Self> {
        Some(match kind {
            "script" => Self::Script(id.parse().ok()?),
            "execution" => Self::Execution(id.parse().ok()?),
            "job" => Self::Job(id.parse().ok()?),
            "agent" => Self::Agent(id.parse().ok()?),
            "user" => Self::User(id.parse().ok()?),
            "session" => Self::Session(id.parse().ok()?),
            "api_key" => Self::ApiKey(id.parse().ok()?),
            "credential" => Self::Credential(id.parse().ok()?),
            _ => return None,
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id())
    }
}

impl FromStr for Resource {
    type Err = UnknownResource;

    fn from_str(text: &str) -> Result<Self, UnknownResource> {
        let found = text.split_once(':').and_then(|(kind, id)| Self::named(kind, id));
        found.ok_or_else(|| UnknownResource(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_one_name_and_one_number() {
        let id = "018f0000-0000-7000-8000-000000000001";
        let kinds =
            ["script", "execution", "job", "agent", "user", "session", "api_key", "credential"];
        for (number, kind) in kinds.into_iter().enumerate() {
            let resource = Resource::named(kind, id).unwrap();
            assert_eq!(resource.to_string().parse(), Ok(resource));
            assert_eq!(resource.kind(), kind);
            // If this fails, the stored format has changed: add kinds at the end only.
            assert_eq!(usize::from(postcard::to_stdvec(&resource).unwrap()[0]), number);
        }
        for text in ["script", "script:", "script:1", "planet:018f0000-0000-7000-8000-000000000001"]
        {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
    }
}
