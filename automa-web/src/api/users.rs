//! People: who has an account, and what it is.

use automa_core::{
    Automa,
    actor::Role,
    id::UserId,
    page::{Cursor, Page},
    tier::Tier,
    user::{self, UserChange, UserFilter},
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

/// An account.
#[derive(Debug, Object)]
pub(super) struct User {
    id: Text<UserId>,
    username: String,
    email: String,
    role: OneOf<Role>,
    created_at: Text<Timestamp>,
    /// Whether it may not sign in.
    disabled: bool,
    /// When its password was last set or taken away.
    password_changed_at: Text<Timestamp>,
    /// Whether it signs in with a code as well.
    two_factor: bool,
    /// How pages look.
    theme: OneOf<user::Theme>,
}

/// A page of accounts, newest first.
#[derive(Debug, Object)]
struct UserPage {
    items: Vec<User>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

/// An account to be created.
#[derive(Debug, Object)]
struct NewUser {
    /// 1 to 64 letters, digits, dots, dashes and underscores.
    username: String,
    email: String,
    /// At least 12 characters, and none that is easily guessed.
    password: String,
    role: OneOf<Role>,
    /// What it may use; as usual unless told.
    tier: Option<OneOf<Tier>>,
}

/// What is to change of an account; the rest stays.
#[derive(Debug, Object)]
struct ChangedUser {
    email: Option<String>,
    /// Another role ends the account's sessions.
    role: Option<OneOf<Role>>,
    /// A disabled account cannot sign in, its sessions end, and its jobs do not run.
    disabled: Option<bool>,
}

/// A link by which a password is set; it is told this once.
#[derive(Debug, Object)]
struct ResetLink {
    /// For `POST /auth/reset`.
    token: String,
    /// The page with the form for it.
    path: String,
    /// Until when it is good.
    expires_at: Text<Timestamp>,
}

#[derive(ApiResponse)]
enum Created {
    /// The account was created
    #[oai(status = 201)]
    Created(
        Json<User>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

impl From<user::User> for User {
    fn from(user: user::User) -> Self {
        Self {
            id: Text(user.id),
            username: user.username,
            email: user.email,
            role: OneOf(user.role),
            created_at: Text(user.created_at),
            disabled: user.disabled_at.is_some(),
            password_changed_at: Text(user.password_changed_at),
            two_factor: user.two_factor_since.is_some(),
            theme: OneOf(user.theme),
        }
    }
}

pub(super) struct UsersApi;

#[OpenApi(tag = "Tag::Users", prefix_path = "/users")]
impl UsersApi {
    /// List accounts, or find some.
    ///
    /// For admins. All that is named has to be true of them.
    #[oai(path = "/", method = "get", operation_id = "listUsers")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Part of the name or the e-mail address.
        q: Query<Option<String>>,
        /// Only those with this role.
        role: Query<Option<OneOf<Role>>>,
        /// Only those that are disabled, or are not.
        disabled: Query<Option<bool>>,
        /// Only those that sign in with a code as well, or do not.
        two_factor: Query<Option<bool>>,
    ) -> Result<Json<UserPage>, Problem> {
        let filter = UserFilter {
            text: q.0,
            role: role.0.map(|it| it.0),
            disabled: disabled.0,
            two_factor: two_factor.0,
        };
        let page = page(limit.0, cursor.0)?;
        let Page { items, next_cursor } =
            automa.users(auth.actor()).list(filter, page).await?.map(User::from);
        Ok(Json(UserPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Create an account.
    ///
    /// For admins.
    #[oai(path = "/", method = "post", operation_id = "createUser")]
    async fn create(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<NewUser>,
    ) -> Result<Created, Problem> {
        let NewUser { username, email, password, role, tier } = new;
        let new = user::NewUser { username, email, password: password.into(), role: role.0 };
        let user = automa.users(auth.actor()).create(new).await?;
        if let Some(OneOf(tier)) = tier {
            automa.tiers(auth.actor()).set_of_user(user.id, Some(tier)).await?;
        }
        let location = format!("/api/v1/users/{}", user.id);
        Ok(Created::Created(Json(user.into()), location))
    }

    /// Get an account.
    ///
    /// Everybody may see their own, admins all.
    #[oai(path = "/:id", method = "get", operation_id = "getUser")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<UserId>>,
    ) -> Result<Json<User>, Problem> {
        Ok(Json(automa.users(auth.actor()).get(id.0.0)?.into()))
    }

    /// Change an account.
    ///
    /// For admins. The last admin who may sign in stays one (409).
    #[oai(path = "/:id", method = "put", operation_id = "changeUser")]
    async fn change(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<UserId>>,
        Body(changed): Body<ChangedUser>,
    ) -> Result<Json<User>, Problem> {
        let ChangedUser { email, role, disabled } = changed;
        let change = UserChange { email, role: role.map(|it| it.0), disabled };
        Ok(Json(automa.users(auth.actor()).update(id.0.0, change).await?.into()))
    }

    /// Take an account's password away, and get a link to set another one.
    ///
    /// For admins. Its sessions end at once. The link is good for one use within 24 hours, and only
    /// the newest one is.
    #[oai(path = "/:id/reset", method = "post", operation_id = "resetUser")]
    async fn reset(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<UserId>>,
    ) -> Result<Json<ResetLink>, Problem> {
        let link = automa.users(auth.actor()).reset(id.0.0).await?;
        let token = link.token.expose_secret().to_owned();
        let path = format!("/reset?token={token}");
        Ok(Json(ResetLink { token, path, expires_at: Text(link.expires_at) }))
    }
}
