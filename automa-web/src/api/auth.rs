//! Signing in and out, and the first account.

use std::sync::Arc;

use automa_core::{
    Automa, Error,
    actor::Origin,
    id::SessionId,
    session::{self, SignedIn},
    setup::NewAdmin,
    user::Theme,
};
use jiff::Timestamp;
use poem::{Request, web::Data};
use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, payload::Json};

use super::{
    Tag,
    body::Body,
    users::User,
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

/// Another password.
#[derive(Object)]
struct NewPassword {
    current_password: String,
    /// At least 12 characters, and none that is easily guessed.
    new_password: String,
}

/// A password by a link.
#[derive(Object)]
struct ResetPassword {
    /// The token of the link.
    token: String,
    /// At least 12 characters, and none that is easily guessed.
    password: String,
}

/// What one likes.
#[derive(Object)]
struct Preferences {
    /// How pages look.
    theme: OneOf<Theme>,
}

/// What lies between signing in and signing out.
#[derive(Object)]
struct Session {
    id: Text<SessionId>,
    /// Whether it is the one that asks.
    current: bool,
    created_at: Text<Timestamp>,
    /// When it was last refreshed.
    refreshed_at: Text<Timestamp>,
    /// When it ends, unless it is refreshed before.
    expires_at: Text<Timestamp>,
    /// From which address its user signed in.
    address: Option<String>,
    /// What the client said it is.
    agent: Option<String>,
}

/// All of one's sessions, newest first, 200 at most.
#[derive(Object)]
struct SessionList {
    items: Vec<Session>,
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

#[derive(ApiResponse)]
enum Done {
    /// It was done
    #[oai(status = 204)]
    Done,
}

impl Session {
    fn new(session: session::Session, current: SessionId) -> Self {
        Self {
            id: Text(session.id),
            current: session.id == current,
            created_at: Text(session.created_at),
            refreshed_at: Text(session.refreshed_at),
            expires_at: Text(session.expires_at),
            address: session.client.address,
            agent: session.client.agent,
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

    /// Say what one likes.
    #[oai(path = "/me", method = "put", operation_id = "changeMe")]
    async fn change_me(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(likes): Body<Preferences>,
    ) -> Result<Json<User>, Problem> {
        auth.profile(automa)?.set_theme(likes.theme.0).await?;
        let id = auth.caller().user.id;
        Ok(Json(automa.users(auth.actor()).get(id)?.into()))
    }

    /// Set another password.
    ///
    /// All other sessions end.
    #[oai(path = "/password", method = "post", operation_id = "changePassword")]
    async fn change_password(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<NewPassword>,
    ) -> Result<Done, Problem> {
        let NewPassword { current_password, new_password } = new;
        let (current, new) = (current_password.into(), new_password.into());
        auth.profile(automa)?.change_password(&current, &new).await?;
        Ok(Done::Done)
    }

    /// Set a password by a link.
    ///
    /// The link is of an admin, and used up by that. Sign in afterwards.
    #[oai(path = "/reset", method = "post", operation_id = "setPasswordByLink")]
    async fn reset(
        &self,
        Data(automa): Data<&Automa>,
        Body(reset): Body<ResetPassword>,
    ) -> Result<Done, Problem> {
        let ResetPassword { token, password } = reset;
        let (token, password) = (token.into(), password.into());
        automa.resets().set_password(&token, &password, Origin::Api).await?;
        Ok(Done::Done)
    }

    /// List where one is signed in.
    #[oai(path = "/sessions", method = "get", operation_id = "listSessions")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn sessions(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<SessionList>, Problem> {
        let profile = auth.profile(automa)?;
        let (sessions, current) = (profile.sessions()?, profile.session());
        let items = sessions.into_iter().map(|it| Session::new(it, current)).collect();
        Ok(Json(SessionList { items }))
    }

    /// Sign out everywhere else.
    #[oai(path = "/sessions", method = "delete", operation_id = "endOtherSessions")]
    async fn end_other_sessions(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Done, Problem> {
        auth.profile(automa)?.end_other_sessions().await?;
        Ok(Done::Done)
    }

    /// Sign out somewhere.
    #[oai(path = "/sessions/:id", method = "delete", operation_id = "endSession")]
    async fn end_session(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<SessionId>>,
    ) -> Result<Done, Problem> {
        auth.profile(automa)?.end_session(id.0.0).await?;
        Ok(Done::Done)
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
