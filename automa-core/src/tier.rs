//! Tiers: how much each user may use, in a day and at a time.
//!
//! A new Automa holds nobody to anything: users have no tier, and who has none has no quota. That changes
//! when an admin gives a user a tier, or says which one those have who were given none. Admins are among
//! these only by being given one, so that nobody locks themselves out; and the embedding program is never.
//!
//! A day is one of UTC. What is counted of it is in [`quota`](crate::quota).

use serde::{Deserialize, Serialize};

use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission, Role},
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    execution::LimitsRequest,
    id::UserId,
    store::{
        self,
        change::{Change, View},
    },
    user,
};

/// A kind of account. Its number is stored: add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// To try it.
    Free,
    /// For now and then.
    Basic,
    /// For each day.
    Premium,
    /// Without quotas.
    Enterprise,
}

impl Tier {
    /// All there are, least first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Basic, Self::Premium, Self::Enterprise];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Basic => "basic",
            Self::Premium => "premium",
            Self::Enterprise => "enterprise",
        }
    }

    /// The tier of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }
}

/// What users of a tier may use. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Executions that are accepted in a day, those of jobs and agents included.
    pub executions_per_day: Option<u32>,
    /// Calls of the API in a day, by tokens and API keys; pages are free.
    pub api_calls_per_day: Option<u32>,
    /// Time that an execution may take, in milliseconds. Agents, which are to run on, may.
    pub wall_ms: Option<u64>,
    /// Memory that an execution may have, that of an agent included.
    pub memory_bytes: Option<u64>,
    /// Scripts that a user may have, without deleted ones.
    pub scripts: Option<u32>,
    /// API keys that a user may have.
    pub api_keys: Option<u32>,
    /// Executions of a user that run at the same time; more wait.
    pub running: Option<u32>,
}

impl Plan {
    /// Nothing is limited.
    pub const UNLIMITED: Self = Self {
        executions_per_day: None,
        api_calls_per_day: None,
        wall_ms: None,
        memory_bytes: None,
        scripts: None,
        api_keys: None,
        running: None,
    };

    /// What a tier begins with.
    #[must_use]
    pub fn usual(tier: Tier) -> Self {
        let plan =
            |[executions, calls, seconds, mebibytes, scripts, keys, running]: [u32; 7]| Self {
                executions_per_day: Some(executions),
                api_calls_per_day: Some(calls),
                wall_ms: Some(u64::from(seconds) * 1000),
                memory_bytes: Some(u64::from(mebibytes) << 20),
                scripts: Some(scripts),
                api_keys: Some(keys),
                running: Some(running),
            };
        match tier {
            Tier::Free => plan([10, 20, 30, 128, 5, 2, 1]),
            Tier::Basic => plan([50, 100, 60, 256, 20, 5, 2]),
            Tier::Premium => plan([200, 500, 120, 512, 100, 10, 4]),
            Tier::Enterprise => {
                let (wall_ms, memory_bytes) = (Some(300_000), Some(1 << 30));
                Self { wall_ms, memory_bytes, ..Self::UNLIMITED }
            }
        }
    }

    /// Holds an execution to the plan: what is asked for beyond it is refused, and what only a script or
    /// a default says is cut to it.
    pub(crate) fn cap(&self, asked: &LimitsRequest, all: LimitsRequest) -> Result<LimitsRequest> {
        let mut errors = Vec::new();
        let mut check = |field: &'static str, asked: Option<u64>, most: Option<u64>| {
            if let (Some(asked), Some(most)) = (asked, most)
                && asked > most
            {
                let reason = format!("must be at most {most}, which is what your tier allows");
                errors.push(FieldError::new(field, reason));
            }
        };
        check("limits.wall_ms", asked.wall_ms, self.wall_ms);
        check("limits.memory_bytes", asked.memory_bytes, self.memory_bytes);
        FieldError::none_of(errors)?;
        Ok(self.cut(all))
    }

    /// Cuts what an execution may use to the plan.
    pub(crate) fn cut(&self, limits: LimitsRequest) -> LimitsRequest {
        let by_default = limits.limits();
        let wall = u64::try_from(by_default.wall.as_millis()).unwrap_or(u64::MAX);
        LimitsRequest {
            wall_ms: self.wall_ms.filter(|most| *most < wall).or(limits.wall_ms),
            ..self.cut_memory(limits, by_default.memory.0)
        }
    }

    /// Cuts the memory of what has `by_default` unless it says something.
    pub(crate) fn cut_memory(&self, limits: LimitsRequest, by_default: u64) -> LimitsRequest {
        let memory = limits.memory_bytes.unwrap_or(by_default);
        let memory_bytes = self.memory_bytes.filter(|most| *most < memory).or(limits.memory_bytes);
        LimitsRequest { memory_bytes, ..limits }
    }

    fn check(&self, tier: Tier, errors: &mut Vec<FieldError>) {
        let name = tier.name();
        if self.wall_ms == Some(0) {
            let reason = "must be at least 1 ms, or null for no limit";
            errors.push(FieldError::new(format!("{name}.wall_ms"), reason));
        }
        if self.memory_bytes.is_some_and(|bytes| bytes < 1 << 20) {
            let reason = "must be at least 1048576 bytes (1 MiB), or null for no limit";
            errors.push(FieldError::new(format!("{name}.memory_bytes"), reason));
        }
        if self.running == Some(0) {
            let reason = "must be at least 1, or null for no limit";
            errors.push(FieldError::new(format!("{name}.running"), reason));
        }
    }
}

/// What all tiers are, and which one counts where none was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierSettings {
    /// In the order of [`Tier::ALL`].
    pub plans: [Plan; 4],
    /// The tier of users who were given none and are no admins; without, they have no quotas.
    pub default: Option<Tier>,
}

impl Default for TierSettings {
    fn default() -> Self {
        Self { plans: Tier::ALL.map(Plan::usual), default: None }
    }
}

impl TierSettings {
    /// What users of a tier may use; without one, anything.
    #[must_use]
    pub fn plan(&self, tier: Option<Tier>) -> Plan {
        let place = tier.and_then(|tier| Tier::ALL.iter().position(|it| *it == tier));
        place.and_then(|place| self.plans.get(place)).copied().unwrap_or(Plan::UNLIMITED)
    }
}

/// The tier that counts for a user, and what it allows.
pub(crate) fn of(view: &impl View, user: Option<UserId>) -> Result<(Option<Tier>, Plan)> {
    let Some(id) = user else { return Ok((None, Plan::UNLIMITED)) };
    let given = store::tiers::of_user(view, id)?;
    let settings = store::tiers::settings(view)?;
    let tier = match (given, settings.default) {
        (Some(tier), _) => Some(tier),
        (None, None) => None,
        (None, default) => {
            let is_admin = store::users::get(view, id)?.is_some_and(|it| it.role == Role::Admin);
            default.filter(|_| !is_admin)
        }
    };
    Ok((tier, settings.plan(tier)))
}

/// What a user may use.
pub(crate) fn plan(view: &impl View, user: Option<UserId>) -> Result<Plan> {
    Ok(of(view, user)?.1)
}

/// Gives a user a tier, within the change that says so of the user.
pub(crate) fn give(change: &mut Change, user: UserId, tier: Option<Tier>) -> Result<()> {
    Ok(store::tiers::put_of_user(change, user, tier)?)
}

/// Tiers as one actor may see and set them.
#[derive(Debug, Clone, Copy)]
pub struct Tiers<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Tiers<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// What tiers are.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub fn get(&self) -> Result<TierSettings> {
        self.actor.require(Permission::ReadScripts)?;
        self.automa.store.look(|view| Ok(store::tiers::settings(view)?))
    }

    /// Says what tiers are, from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, [`Error::Invalid`], and the store's.
    pub async fn set(&self, settings: TierSettings) -> Result<TierSettings> {
        self.actor.require(Permission::ManageSettings)?;
        let mut errors = Vec::new();
        for (plan, tier) in settings.plans.iter().zip(Tier::ALL) {
            plan.check(tier, &mut errors);
        }
        FieldError::none_of(errors)?;
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::TiersChanged);
        let changed = settings.clone();
        let change = move |change: &mut Change| {
            store::tiers::put_settings(change, &changed)?;
            Ok(store::audit::add(change, &entry)?)
        };
        self.automa.store.write::<_, Error, _>(change).await?;
        self.automa.plans_changed()?;
        Ok(settings)
    }

    /// The tier that a user was given; `None` if none was.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn of_user(&self, id: UserId) -> Result<Option<Tier>> {
        if self.actor.user != Some(id) {
            self.actor.require(Permission::ManageUsers)?;
        }
        self.automa.store.look(|view| {
            user::get(view, id)?;
            Ok(store::tiers::of_user(view, id)?)
        })
    }

    /// Gives a user a tier, or takes it away.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, [`Error::NotFound`], and the store's.
    pub async fn set_of_user(&self, id: UserId, tier: Option<Tier>) -> Result<()> {
        self.actor.require(Permission::ManageUsers)?;
        let action = Action::UserTierChanged(id, tier);
        let entry = Entry::new(&*self.automa.clock, self.actor, action);
        let change = move |change: &mut Change| {
            user::get(change, id)?;
            give(change, id, tier)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::UserChanged(id));
            Ok(())
        };
        self.automa.store.write::<_, Error, _>(change).await?;
        self.automa.plans_changed()
    }
}

#[cfg(test)]
mod tests;
