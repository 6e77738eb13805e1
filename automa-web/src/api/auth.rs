//! Signing in and out, and the first account.

use std::sync::Arc;

use automa_core::{
    Automa, Error,
    actor::{Origin, Role},
    id::UserId,
    session::SignedIn,
    setup::NewAdmin,
    user,
};
use jiff::Timestamp;
use poem::{Request, web::Data};
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use super::{
    Tag,
    body::Body,
    wire::{OneOf, Text},
};
use crate::{
    auth::{ACCESS_SECONDS, Auth, Keys, access_token, client, cookie},
    problem::Problem,
};

/// The first account.
#[derive(Object)]
struct NewSetup {
    /// The token of the setup link, which the server prints at its start.
    token: String,
    /// 1 to 64 letters, digits, dots, dashes and underscores.
    username: String,
    email: String,
    /// At least 12 characters.
    password: String,
}

/// Who signs in.
#[derive(Object)]
struct Login {
    /// The name or the e-mail address.
    username: String,
    password: String,
}

/// A refresh token.
#[derive(Object)]
struct Refresh {
    refresh_token: String,
}

/// What opens the API.
#[derive(Object)]
struct Tokens {
    /// To be sent as `Authorization: Bearer …`.
    access_token: String,
    /// For the next tokens, at `POST /auth/refresh`; good for one use.
    refresh_token: String,
    /// Always `bearer`.
    token_type: String,
    /// Seconds that the access token lives.
    expires_in: u64,
}

/// An account.
#[derive(Object)]
struct User {
    id: Text<UserId>,
    username: String,
    email: String,
    role: OneOf<Role>,
    created_at: Text<Timestamp>,
}

#[derive(ApiResponse)]
enum SetUp {
    /// The account was created and is signed in
    #[oai(status = 201)]
    Created(Json<Tokens>),
}

#[derive(ApiResponse)]
enum SignedOut {
    /// Signed out
    #[oai(status = 204)]
    Done,
}

impl From<user::User> for User {
    fn from(user: user::User) -> Self {
        Self {
            id: Text(user.id),
            username: user.username,
            email: user.email,
            role: OneOf(user.role),
            created_at: Text(user.created_at),
        }
    }
}

pub(super) struct AuthApi;

#[OpenApi(tag = "Tag::Auth", prefix_path = "/auth")]
impl AuthApi {
    /// Create the first account.
    ///
    /// It becomes the administrator. This is possible until it exists, with the token of the link
    /// that the server prints at its start.
    #[oai(path = "/setup", method = "post", operation_id = "setUp")]
    async fn set_up(
        &self,
        request: &Request,
        Data(automa): Data<&Automa>,
        Data(keys): Data<&Arc<Keys>>,
        Body(new): Body<NewSetup>,
    ) -> Result<SetUp, Problem> {
        let NewSetup { token, username, email, password } = new;
        let admin = NewAdmin { username, email, password: password.into() };
        let user = automa.setup().create_admin(&token, admin, Origin::Api).await?;
        let signed_in = automa.sessions().begin(user.id, client(request, Origin::Api)).await?;
        Ok(SetUp::Created(Json(tokens(keys, &signed_in))))
    }

    /// Sign in.
    #[oai(path = "/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        request: &Request,
        Data(automa): Data<&Automa>,
        Data(keys): Data<&Arc<Keys>>,
        Body(login): Body<Login>,
    ) -> Result<Json<Tokens>, Problem> {
        let client = client(request, Origin::Api);
        let signed_in =
            automa.sessions().sign_in(&login.username, &login.password.into(), client).await?;
        Ok(Json(tokens(keys, &signed_in)))
    }

    /// Get new tokens.
    ///
    /// A refresh token is good for one use. One that is used again later ends the session: it must
    /// have been stolen.
    #[oai(path = "/refresh", method = "post", operation_id = "refreshTokens")]
    async fn refresh(
        &self,
        Data(automa): Data<&Automa>,
        Data(keys): Data<&Arc<Keys>>,
        Body(body): Body<Refresh>,
    ) -> Result<Json<Tokens>, Problem> {
        let (session, generation) =
            keys.refreshable(&body.refresh_token).ok_or(Error::SessionEnded)?;
        let signed_in = automa.sessions().refresh(session, generation).await?;
        Ok(Json(tokens(keys, &signed_in)))
    }

    /// Sign out.
    ///
    /// Ends the session of the refresh token, or without a body that of the access token. One that
    /// has ended already is as good.
    #[oai(path = "/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        request: &Request,
        Data(automa): Data<&Automa>,
        Data(keys): Data<&Arc<Keys>>,
        Body(body): Body<Option<Refresh>>,
    ) -> Result<SignedOut, Problem> {
        let session = match body {
            Some(Refresh { refresh_token }) => keys.refreshable(&refresh_token).map(|it| it.0),
            None => access_token(request)?.and_then(|token| keys.session(&token)),
        };
        if let Some(session) = session {
            automa.sessions().end(session).await?;
        }
        cookie::clear(request);
        Ok(SignedOut::Done)
    }

    /// Who is signed in.
    #[oai(path = "/me", method = "get", operation_id = "whoAmI")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn me(&self, auth: Auth) -> Result<Json<User>, Problem> {
        Ok(Json(auth.caller().user.clone().into()))
    }
}

fn tokens(keys: &Keys, signed_in: &SignedIn) -> Tokens {
    let tokens = keys.tokens(signed_in);
    Tokens {
        access_token: tokens.access,
        refresh_token: tokens.refresh,
        token_type: "bearer".to_owned(),
        expires_in: ACCESS_SECONDS.unsigned_abs(),
    }
}
