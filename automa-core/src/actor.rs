//! Who acts, and what they may do: the one place that decides.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::UserId;

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

/// Something that an operation needs to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 11] = [
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
    ];

    /// The least role that has it.
    #[must_use]
    pub fn least_role(self) -> Role {
        match self {
            Self::ReadScripts | Self::ReadExecutions | Self::ReadJobs | Self::ReadAgents => {
                Role::Viewer
            }
            Self::WriteScripts | Self::Execute | Self::WriteJobs | Self::WriteAgents => {
                Role::Operator
            }
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
        })
    }
}

/// An actor's role does not allow something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{article} {role} may not {permission}", article = .role.article())]
pub struct Forbidden {
    /// The actor's role.
    pub role: Role,
    /// What it lacks.
    pub permission: Permission,
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
}

impl Actor {
    /// The embedding program, which may do everything; `name` is for the audit log.
    #[must_use]
    pub fn embedder(name: impl Into<String>) -> Self {
        Self { user: None, name: name.into(), role: Role::Admin, origin: Origin::Embedder }
    }

    /// A user who came by `origin`.
    #[must_use]
    pub fn user(user: UserId, name: impl Into<String>, role: Role, origin: Origin) -> Self {
        Self { user: Some(user), name: name.into(), role, origin }
    }

    /// Allows what the actor's role has, and nothing else. The first line of every operation.
    ///
    /// # Errors
    ///
    /// [`Forbidden`].
    pub fn require(&self, permission: Permission) -> Result<(), Forbidden> {
        if self.role >= permission.least_role() {
            Ok(())
        } else {
            Err(Forbidden { role: self.role, permission })
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

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "Admin".parse::<Role>().unwrap_err().to_string();
        assert_eq!(error, "there is no role `Admin`; a role is viewer, operator or admin");
    }
}
