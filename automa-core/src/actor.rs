//! Who acts, and what they may do: the one place that decides.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{api_key::KeyInUse, id::UserId};

/// What a user may do, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Writes scripts and runs them.
    Operator,
    /// Manages users and everything else.
    Admin,
}

/// There is no role of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role `{0}`; a role is viewer, operator or admin")]
pub struct UnknownRole(String);

impl Role {
    /// All roles, from least to most.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role's name in the API and in flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    fn article(self) -> &'static str {
        if self == Self::Viewer { "a" } else { "an" }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.name() == name);
        found.ok_or_else(|| UnknownRole(name.to_owned()))
    }
}

/// The way by which somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A page.
    Web,
    /// The API.
    Api,
    /// An AI agent over MCP.
    Mcp,
    /// A job whose time has come.
    Scheduler,
    /// The program that embeds this library, or its command line.
    Embedder,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Web, Self::Api, Self::Mcp, Self::Scheduler, Self::Embedder];

    /// Its name, as in exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Api => "api",
            Self::Mcp => "mcp",
            Self::Scheduler => "scheduler",
            Self::Embedder => "embedder",
        }
    }
}

/// Something that an operation needs to be allowed. Its number is stored: add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Permission {
    /// Reading scripts and their versions.
    ReadScripts,
    /// Creating and changing scripts.
    WriteScripts,
    /// Reading executions, their logs and results.
    ReadExecutions,
    /// Running scripts and code, and cancelling executions.
    Execute,
    /// Reading jobs and what became of them.
    ReadJobs,
    /// Creating and changing jobs, and running them.
    WriteJobs,
    /// Reading what was done by whom.
    ReadAudit,
    /// Reading users and adding them.
    ManageUsers,
    /// Saying how long things are kept.
    ManageSettings,
    /// Reading agents, and what has become of them.
    ReadAgents,
    /// Creating and changing agents, starting and stopping them, and talking to them.
    WriteAgents,
    /// Changing what is one's own: API keys among it. For people alone, and never a scope of a key.
    ManageAccount,
    /// Reading what is known of one's credentials, but for what is secret.
    ReadCredentials,
    /// Creating, changing and revealing one's credentials.
    WriteCredentials,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 14] = [
        Self::ReadScripts,
        Self::WriteScripts,
        Self::ReadExecutions,
        Self::Execute,
        Self::ReadJobs,
        Self::WriteJobs,
        Self::ReadAudit,
        Self::ManageUsers,
        Self::ManageSettings,
        Self::ReadAgents,
        Self::WriteAgents,
        Self::ManageAccount,
        Self::ReadCredentials,
        Self::WriteCredentials,
    ];

    /// Its name in the API, as a scope of keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadScripts => "read_scripts",
            Self::WriteScripts => "write_scripts",
            Self::ReadExecutions => "read_executions",
            Self::Execute => "execute",
            Self::ReadJobs => "read_jobs",
            Self::WriteJobs => "write_jobs",
            Self::ReadAudit => "read_audit",
            Self::ManageUsers => "manage_users",
            Self::ManageSettings => "manage_settings",
            Self::ReadAgents => "read_agents",
            Self::WriteAgents => "write_agents",
            Self::ManageAccount => "manage_account",
            Self::ReadCredentials => "read_credentials",
            Self::WriteCredentials => "write_credentials",
        }
    }

    /// The least role that has it.
    #[must_use]
    pub fn least_role(self) -> Role {
        match self {
            Self::ReadScripts
            | Self::ReadExecutions
            | Self::ReadJobs
            | Self::ReadAgents
            | Self::ManageAccount => Role::Viewer,
            Self::WriteScripts
            | Self::Execute
            | Self::WriteJobs
            | Self::WriteAgents
            | Self::ReadCredentials
            | Self::WriteCredentials => Role::Operator,
            Self::ReadAudit | Self::ManageUsers | Self::ManageSettings => Role::Admin,
        }
    }
}

impl fmt::Display for Permission {
    /// What one may not do without, to stand after "may not".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadScripts => "read scripts",
            Self::WriteScripts => "change scripts",
            Self::ReadExecutions => "read executions",
            Self::Execute => "run anything",
            Self::ReadJobs => "read jobs",
            Self::WriteJobs => "change or run jobs",
            Self::ReadAudit => "read the audit log",
            Self::ManageUsers => "manage users",
            Self::ManageSettings => "change settings",
            Self::ReadAgents => "read agents",
            Self::WriteAgents => "change agents",
            Self::ManageAccount => "change what is their own",
            Self::ReadCredentials => "read credentials",
            Self::WriteCredentials => "change credentials",
        })
    }
}

/// An actor may not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Forbidden {
    /// The actor's role.
    pub role: Role,
    /// What it would have needed.
    pub permission: Permission,
    /// Why it is not allowed.
    pub lack: Lack,
}

/// What an actor lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// A role that may.
    Role,
    /// The scope of the API key of this name.
    Scope(String),
    /// The API key of this name is for chosen scripts.
    Scripts(String),
    /// The API key of this name is no person, who alone may.
    Person(String),
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, permission, lack } = self;
        match lack {
            Lack::Role => write!(f, "{} {role} may not {permission}", role.article()),
            Lack::Scope(key) => write!(
                f,
                "the API key `{key}` may not {permission}: `{}` is not one of its scopes",
                permission.name()
            ),
            Lack::Scripts(key) => write!(
                f,
                "the API key `{key}` is for chosen scripts, which it may read and run, and for \
                 nothing else"
            ),
            Lack::Person(key) => {
                write!(f, "this is for people who sign in, and not for the API key `{key}`")
            }
        }
    }
}

/// On whose behalf an operation is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user, unless it is the embedding program itself.
    pub user: Option<UserId>,
    /// How the audit log names the actor.
    pub name: String,
    /// What the actor may do.
    pub role: Role,
    /// By which way.
    pub origin: Origin,
    /// The API key that was shown, which leaves a part of what the role may.
    pub key: Option<Arc<KeyInUse>>,
    /// From which network address, where it is known.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// The embedding program, which may do everything; `name` is for the audit log.
    #[must_use]
    pub fn embedder(name: impl Into<String>) -> Self {
        let (role, origin) = (Role::Admin, Origin::Embedder);
        Self { user: None, name: name.into(), role, origin, key: None, address: None }
    }

    /// Somebody who has not proven to be a user, under the name that they gave.
    #[must_use]
    pub fn nobody(name: impl Into<String>, origin: Origin) -> Self {
        let role = Role::Viewer;
        Self { user: None, name: name.into(), role, origin, key: None, address: None }
    }

    /// A user who came by `origin`.
    #[must_use]
    pub fn user(user: UserId, name: impl Into<String>, role: Role, origin: Origin) -> Self {
        Self { user: Some(user), name: name.into(), role, origin, key: None, address: None }
    }

    /// The same, who comes from a network address.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// How the audit log names it: with the API key that was shown.
    pub(crate) fn label(&self) -> String {
        match &self.key {
            None => self.name.clone(),
            Some(key) => format!("{} (key {})", self.name, key.name),
        }
    }

    /// Allows what the actor's role has, and of an API key its scope, and nothing else. The first line
    /// of every operation.
    ///
    /// # Errors
    ///
    /// [`Forbidden`].
    pub fn require(&self, permission: Permission) -> Result<(), Forbidden> {
        let lack = if self.role < permission.least_role() {
            Some(Lack::Role)
        } else {
            self.key.as_ref().and_then(|key| key.lack(permission))
        };
        match lack {
            None => Ok(()),
            Some(lack) => Err(Forbidden { role: self.role, permission, lack }),
        }
    }

    /// As [`require`](Self::require), for what is of no script: a key for chosen ones may not.
    ///
    /// # Errors
    ///
    /// [`Forbidden`].
    pub fn require_every_script(&self, permission: Permission) -> Result<(), Forbidden> {
        self.require(permission)?;
        match &self.key {
            Some(key) if key.scope.scripts.is_some() => {
                let lack = Lack::Scripts(key.name.clone());
                Err(Forbidden { role: self.role, permission, lack })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_what_lesser_roles_have_and_no_more() {
        for permission in Permission::ALL {
            for role in Role::ALL {
                let actor = Actor { role, ..Actor::embedder("test") };
                let allowed = actor.require(permission).is_ok();
                assert_eq!(allowed, role >= permission.least_role(), "{role} {permission}");
            }
        }
        let viewer = Actor { role: Role::Viewer, ..Actor::embedder("test") };
        let refused = viewer.require(Permission::WriteScripts).unwrap_err();
        assert_eq!(refused.to_string(), "a viewer may not change scripts");
    }

    /// Scopes are stored: if this fails, a permission was not added at the end.
    #[test]
    fn a_permission_keeps_its_number_and_has_one_name() {
        let mut names = std::collections::BTreeSet::new();
        for (number, permission) in Permission::ALL.into_iter().enumerate() {
            assert_eq!(postcard::to_stdvec(&permission).unwrap(), [u8::try_from(number).unwrap()]);
            let json = serde_json::to_value(permission).unwrap();
            assert_eq!(json, permission.name());
            assert!(names.insert(permission.name()));
        }
    }

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "Admin".parse::<Role>().unwrap_err().to_string();
        assert_eq!(error, "there is no role `Admin`; a role is viewer, operator or admin");
    }
}
