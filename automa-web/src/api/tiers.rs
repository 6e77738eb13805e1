//! Tiers: how much each user may use, and what is left of it.

use automa_core::{
    Automa,
    id::UserId,
    quota::{self, Quotas},
    tier::{self, Tier, TierSettings},
};
use jiff::Timestamp;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Path, payload::Json};

use super::{
    Tag,
    body::Body,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

/// What users of a tier may use. What is not said is not limited.
#[derive(Object)]
struct Plan {
    /// Executions that are accepted in a day of UTC, those of jobs and agents included.
    executions_per_day: Option<u32>,
    /// Calls of the API in a day of UTC, by tokens and API keys.
    api_calls_per_day: Option<u32>,
    /// Time that an execution may take. Agents are not held to it.
    wall_ms: Option<u64>,
    /// Memory that an execution may have.
    memory_bytes: Option<u64>,
    /// Scripts that a user may have.
    scripts: Option<u32>,
    /// API keys that a user may have.
    api_keys: Option<u32>,
    /// Executions of a user that run at the same time; more wait.
    running: Option<u32>,
}

/// All tiers.
#[derive(Object)]
struct Tiers {
    free: Plan,
    basic: Plan,
    premium: Plan,
    enterprise: Plan,
    /// The tier of users who were given none and are no admins; without, they have no quotas.
    default_tier: Option<OneOf<Tier>>,
}

/// The tier of a user.
#[derive(Object)]
struct UserTier {
    /// None: the default tier counts.
    tier: Option<OneOf<Tier>>,
}

/// One quota.
#[derive(Object)]
struct QuotaUse {
    /// How much is allowed; none for any.
    limit: Option<u64>,
    /// How much has been used.
    used: u64,
    /// How much may still be used; none for any.
    left: Option<u64>,
}

/// What a user may use, and has used.
#[derive(Object)]
struct Quota {
    /// The tier that counts; none if nothing is limited.
    tier: Option<OneOf<Tier>>,
    /// Executions of this day.
    executions_per_day: QuotaUse,
    /// Calls of the API of this day, without those of this operation.
    api_calls_per_day: QuotaUse,
    scripts: QuotaUse,
    api_keys: QuotaUse,
    /// Time that an execution may take.
    wall_ms: Option<u64>,
    /// Memory that an execution may have.
    memory_bytes: Option<u64>,
    /// Executions that run at the same time.
    running: Option<u32>,
    /// When the day ends.
    resets_at: Text<Timestamp>,
}

pub(super) struct TiersApi;

#[OpenApi(tag = "Tag::Tiers")]
impl TiersApi {
    /// See what tiers allow.
    #[oai(path = "/tiers", method = "get", operation_id = "getTiers")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(&self, auth: Auth, Data(automa): Data<&Automa>) -> Result<Json<Tiers>, Problem> {
        Ok(Json(automa.tiers(auth.actor()).get()?.into()))
    }

    /// Say what tiers allow.
    #[oai(path = "/tiers", method = "put", operation_id = "setTiers")]
    async fn set(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(tiers): Body<Tiers>,
    ) -> Result<Json<Tiers>, Problem> {
        Ok(Json(automa.tiers(auth.actor()).set(tiers.into()).await?.into()))
    }

    /// See which tier a user was given.
    #[oai(path = "/users/:id/tier", method = "get", operation_id = "getUserTier")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn of_user(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<UserId>>,
    ) -> Result<Json<UserTier>, Problem> {
        let tier = automa.tiers(auth.actor()).of_user(id.0.0)?;
        Ok(Json(UserTier { tier: tier.map(OneOf) }))
    }

    /// Give a user a tier, or take it away.
    #[oai(path = "/users/:id/tier", method = "put", operation_id = "setUserTier")]
    async fn set_of_user(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<UserId>>,
        Body(given): Body<UserTier>,
    ) -> Result<Json<UserTier>, Problem> {
        automa.tiers(auth.actor()).set_of_user(id.0.0, given.tier.map(|it| it.0)).await?;
        Ok(Json(given))
    }

    /// See what is left of one's own quotas.
    ///
    /// It is no call that counts.
    #[oai(path = "/users/me/quota", method = "get", operation_id = "getQuota")]
    async fn quota(&self, auth: Auth, Data(automa): Data<&Automa>) -> Result<Json<Quota>, Problem> {
        Ok(Json(automa.quotas(auth.actor()).get().await?.into()))
    }
}

impl From<tier::Plan> for Plan {
    fn from(plan: tier::Plan) -> Self {
        let tier::Plan { executions_per_day, api_calls_per_day, wall_ms, memory_bytes, .. } = plan;
        let tier::Plan { scripts, api_keys, running, .. } = plan;
        Self {
            executions_per_day,
            api_calls_per_day,
            wall_ms,
            memory_bytes,
            scripts,
            api_keys,
            running,
        }
    }
}

impl From<Plan> for tier::Plan {
    fn from(plan: Plan) -> Self {
        let Plan { executions_per_day, api_calls_per_day, wall_ms, memory_bytes, .. } = plan;
        let Plan { scripts, api_keys, running, .. } = plan;
        Self {
            executions_per_day,
            api_calls_per_day,
            wall_ms,
            memory_bytes,
            scripts,
            api_keys,
            running,
        }
    }
}

impl From<TierSettings> for Tiers {
    fn from(settings: TierSettings) -> Self {
        let [free, basic, premium, enterprise] = settings.plans.map(Plan::from);
        Self { free, basic, premium, enterprise, default_tier: settings.default.map(OneOf) }
    }
}

impl From<Tiers> for TierSettings {
    fn from(tiers: Tiers) -> Self {
        let Tiers { free, basic, premium, enterprise, default_tier } = tiers;
        let plans = [free, basic, premium, enterprise].map(tier::Plan::from);
        Self { plans, default: default_tier.map(|it| it.0) }
    }
}

impl From<quota::Left> for QuotaUse {
    fn from(left: quota::Left) -> Self {
        Self { limit: left.limit, used: left.used, left: left.left() }
    }
}

impl From<Quotas> for Quota {
    fn from(quotas: Quotas) -> Self {
        let Quotas { tier, plan, executions, api_calls, scripts, api_keys, resets_at } = quotas;
        Self {
            tier: tier.map(OneOf),
            executions_per_day: executions.into(),
            api_calls_per_day: api_calls.into(),
            scripts: scripts.into(),
            api_keys: api_keys.into(),
            wall_ms: plan.wall_ms,
            memory_bytes: plan.memory_bytes,
            running: plan.running,
            resets_at: Text(resets_at),
        }
    }
}
