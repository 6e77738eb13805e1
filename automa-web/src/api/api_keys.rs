//! API keys: what programs show in place of a password.

use std::collections::BTreeSet;

use automa_core::{
    Automa,
    actor::Permission,
    address::Network,
    api_key::{self, KeyNow, NewKey, Scope},
    id::{ApiKeyId, ScriptId, UserId},
    page::{Cursor, Page},
};
use jiff::Timestamp;
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use secrecy::ExposeSecret as _;

use super::{
    Tag,
    body::Body,
    scripts::page,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

/// A key to be made, or what one is to be.
#[derive(Object)]
struct NewApiKey {
    /// What it is for: one line of at most 100 characters.
    name: String,
    /// What it may do, as far as its owner may: `read_scripts`, `read_executions` and `execute` unless
    /// told.
    scopes: Option<Vec<OneOf<Permission>>>,
    /// Only these scripts, which it may read and run: at most 200. All unless told.
    script_ids: Option<Vec<Text<ScriptId>>>,
    /// From where it is accepted: at most 50 of `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`. From
    /// everywhere unless told.
    networks: Option<Vec<Text<Network>>>,
    /// Until when it is accepted; for ever unless told.
    expires_at: Option<Text<Timestamp>>,
    /// Whether it is accepted: `true` unless told.
    enabled: Option<bool>,
}

/// An API key.
#[derive(Object)]
struct ApiKey {
    id: Text<ApiKeyId>,
    name: String,
    /// For whom it acts.
    owner_id: Text<UserId>,
    /// The name of its owner.
    owner: String,
    /// Its last four characters.
    ending: String,
    /// What it may do, as far as its owner may.
    scopes: Vec<OneOf<Permission>>,
    /// Only these scripts; none for all.
    script_ids: Option<Vec<Text<ScriptId>>>,
    /// From where it is accepted; empty for everywhere.
    networks: Vec<Text<Network>>,
    created_at: Text<Timestamp>,
    expires_at: Option<Text<Timestamp>>,
    enabled: bool,
    /// How many calls it was accepted for. What happened within the last minute may be missing after a
    /// crash of the server.
    use_count: u64,
    /// How many calls it was refused for: off, expired, or from elsewhere.
    refused_count: u64,
    last_used_at: Option<Text<Timestamp>>,
    /// From which address.
    last_address: Option<String>,
    /// The key itself: only in the answer to `POST`.
    #[oai(skip_serializing_if_is_none)]
    key: Option<String>,
}

/// Keys, newest first.
#[derive(Object)]
struct ApiKeyPage {
    items: Vec<ApiKey>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

#[derive(ApiResponse)]
enum Created {
    /// The key was made. It is told this once
    #[oai(status = 201)]
    Created(
        Json<ApiKey>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// The key is not accepted any more
    #[oai(status = 204)]
    Done,
}

pub(super) struct ApiKeysApi;

#[OpenApi(tag = "Tag::ApiKeys", prefix_path = "/api-keys")]
impl ApiKeysApi {
    /// List API keys, newest first.
    #[oai(path = "/", method = "get", operation_id = "listApiKeys")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Those of everybody, for admins; only one's own unless told.
        all: Query<Option<bool>>,
    ) -> Result<Json<ApiKeyPage>, Problem> {
        let page = page(limit.0, cursor.0)?;
        let keys = automa.api_keys(auth.actor()).list(all.0.unwrap_or(false), page).await?;
        let Page { items, next_cursor } = keys.map(ApiKey::from);
        Ok(Json(ApiKeyPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Make an API key.
    ///
    /// It acts for who makes it, within its scopes, and is sent as `Authorization: Bearer sk-…` or as
    /// `X-API-Key: sk-…`. The key itself is told in this answer alone.
    #[oai(path = "/", method = "post", operation_id = "createApiKey")]
    async fn create(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<NewApiKey>,
    ) -> Result<Created, Problem> {
        let keys = automa.api_keys(auth.actor());
        let (key, secret) = keys.create(new.into()).await?;
        let made = ApiKey::from(keys.get(key.id)?);
        let told = ApiKey { key: Some(secret.expose_secret().to_owned()), ..made };
        Ok(Created::Created(Json(told), format!("/api/v1/api-keys/{}", key.id)))
    }

    /// Get an API key.
    #[oai(path = "/:id", method = "get", operation_id = "getApiKey")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ApiKeyId>>,
    ) -> Result<Json<ApiKey>, Problem> {
        Ok(Json(automa.api_keys(auth.actor()).get(id.0.0)?.into()))
    }

    /// Change an API key, or switch it on or off.
    ///
    /// It is what is told, from now on: what is left out is as for a new key.
    #[oai(path = "/:id", method = "put", operation_id = "updateApiKey")]
    async fn update(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ApiKeyId>>,
        Body(new): Body<NewApiKey>,
    ) -> Result<Json<ApiKey>, Problem> {
        let keys = automa.api_keys(auth.actor());
        keys.update(id.0.0, new.into()).await?;
        Ok(Json(keys.get(id.0.0)?.into()))
    }

    /// Delete an API key.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteApiKey")]
    async fn delete(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ApiKeyId>>,
    ) -> Result<Deleted, Problem> {
        automa.api_keys(auth.actor()).delete(id.0.0).await?;
        Ok(Deleted::Done)
    }
}

impl From<NewApiKey> for NewKey {
    fn from(new: NewApiKey) -> Self {
        let NewApiKey { name, scopes, script_ids, networks, expires_at, enabled } = new;
        let usual = Scope::default().permissions;
        let permissions =
            scopes.map_or(usual, |scopes| scopes.into_iter().map(|it| it.0).collect());
        let scripts = script_ids.map(|ids| ids.into_iter().map(|it| it.0).collect::<BTreeSet<_>>());
        Self {
            name,
            scope: Scope { permissions, scripts },
            networks: networks.into_iter().flatten().map(|it| it.0).collect(),
            expires_at: expires_at.map(|it| it.0),
            enabled: enabled.unwrap_or(true),
        }
    }
}

impl From<KeyNow> for ApiKey {
    fn from(KeyNow { key, owner_name, usage }: KeyNow) -> Self {
        let api_key::ApiKey { id, name, owner, ending, scope, networks, .. } = key;
        let Scope { permissions, scripts } = scope;
        Self {
            id: Text(id),
            name,
            owner_id: Text(owner),
            owner: owner_name,
            ending,
            scopes: permissions.into_iter().map(OneOf).collect(),
            script_ids: scripts.map(|ids| ids.into_iter().map(Text).collect()),
            networks: networks.into_iter().map(Text).collect(),
            created_at: Text(key.created_at),
            expires_at: key.expires_at.map(Text),
            enabled: key.enabled,
            use_count: usage.calls,
            refused_count: usage.refused,
            last_used_at: usage.last_used_at.map(Text),
            last_address: usage.last_address,
            key: None,
        }
    }
}
