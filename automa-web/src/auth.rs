//! Who is calling: a bearer token or an API key of a program, or the cookies of a browser.

pub(crate) mod cookie;
mod token;

use automa_core::{
    Automa, Error,
    actor::{Actor, Origin},
    api_key,
    id::{ApiKeyId, SessionId, UserId},
    session::{Client, SignedIn},
    user::{Profile, User},
};
use poem::{
    FromRequest, Request, RequestBody,
    error::ResponseError as _,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, SecurityScheme, auth, registry::Registry,
};

pub(crate) use self::token::{ACCESS_SECONDS, Keys};
use crate::{client_address::client_address, middleware::Asker, problem::Problem};

/// The one operation that is no call of those a tier allows: who has none left can see that.
const UNCOUNTED: &str = "/users/me/quota";

/// Carries an API key, where `Authorization` is not to.
const X_API_KEY: &str = "x-api-key";

/// Someone who is signed in, and on whose behalf a request is done.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) actor: Actor,
    /// By which they are; its end is theirs.
    pub(crate) by: By,
}

/// What somebody is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Session(SessionId),
    Key(ApiKeyId),
}

impl Caller {
    /// Who sent this as a bearer: an access token, or an API key.
    pub(crate) fn of_bearer(request: &Request, bearer: &str) -> Result<Self, Problem> {
        if bearer.starts_with(api_key::PREFIX) {
            Self::of_key(request, bearer)
        } else {
            Self::of_token(request, bearer, Origin::Api)
        }
    }

    /// For whom an API key acts.
    fn of_key(request: &Request, key: &str) -> Result<Self, Problem> {
        let address = client_address(request);
        let (user, actor) = automa(request)?.keyring().resume(&key.into(), address)?;
        let by = actor.key.as_ref().map(|key| By::Key(key.id)).ok_or_else(unfinished)?;
        let actor = actor.at(address);
        Asker::is(request, &actor);
        Ok(Self { user, actor, by })
    }

    /// Their own account, which no API key opens.
    pub(crate) fn profile<'a>(&'a self, automa: &'a Automa) -> Result<Profile<'a>, Problem> {
        match self.by {
            By::Session(session) => Ok(automa.profile(&self.actor, session)),
            By::Key(_) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed")
                .detail(&"an API key may not change how its owner signs in")),
        }
    }

    /// Who holds an access token.
    fn of_token(request: &Request, token: &str, origin: Origin) -> Result<Self, Problem> {
        let ended = || Problem::unauthorized("the access token is not valid, or no longer");
        let session = keys(request)?.session(token).ok_or_else(ended)?;
        Self::of_session(request, session, origin)?.ok_or_else(ended)
    }

    /// Who is signed in by a session, if it has not ended.
    fn of_session(
        request: &Request,
        session: SessionId,
        origin: Origin,
    ) -> Result<Option<Self>, Problem> {
        match automa(request)?.sessions().resume(session, origin) {
            Ok((user, actor)) => {
                let actor = actor.at(client_address(request));
                Asker::is(request, &actor);
                Ok(Some(Self { user, actor, by: By::Session(session) }))
            }
            Err(Error::SessionEnded) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Counts a call of a program among those that a tier allows.
    pub(crate) fn count_call(&self, request: &Request) -> Result<(), Problem> {
        if self.actor.origin != Origin::Api || request.original_uri().path().ends_with(UNCOUNTED) {
            return Ok(());
        }
        Ok(automa(request)?.quotas(&self.actor).count_api_call()?)
    }

    /// Whose proof a request carries, if it is good. Nothing is counted, refused or renewed by it.
    pub(crate) fn known_to(request: &Request) -> Option<UserId> {
        let automa = automa(request).ok()?;
        let key = request.header(X_API_KEY).map(ToOwned::to_owned);
        let shown = key.or_else(|| access_token(request).ok().flatten())?;
        if shown.starts_with(api_key::PREFIX) {
            return automa.keyring().owner(&shown.into(), client_address(request)).ok().flatten();
        }
        let session = keys(request).ok()?.session(&shown)?;
        Some(automa.sessions().resume(session, Origin::Api).ok()?.0.id)
    }

    /// Who calls the API: by the header `Authorization` or `X-API-Key`, else by the cookie of a page. A
    /// header that is wrong is refused, whatever else there is.
    pub(crate) fn of_api(request: &Request) -> Result<Self, Problem> {
        let headers = request.headers();
        let (bearers, keys) = (headers.get_all(header::AUTHORIZATION), headers.get_all(X_API_KEY));
        if bearers.iter().count() + keys.iter().count() > 1 {
            return Err(Problem::unauthorized("send one of `Authorization` and `X-API-Key`, once"));
        }
        if let Some(key) = keys.iter().next() {
            return Self::of_key(request, key.to_str().unwrap_or_default());
        }
        let by_header = bearers.iter().next().is_some();
        match access_token(request)? {
            Some(token) if by_header => Self::of_bearer(request, &token),
            Some(token) => Self::of_token(request, &token, Origin::Web),
            None => Err(Problem::unauthorized(
                "sign in first, at `POST /api/v1/auth/login`, or send an API key",
            )),
        }
    }
}

/// The access token of a request, if it has one.
pub(crate) fn access_token(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.header(header::AUTHORIZATION) else {
        return Ok(cookie::access(request));
    };
    let token = bearer(value).map(|token| Some(token.to_owned()));
    token.ok_or_else(|| Problem::unauthorized("`Authorization` must be `Bearer` and a token"))
}

/// The token of an `Authorization` header's value (RFC 6750).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn keys(request: &Request) -> Result<&std::sync::Arc<Keys>, Problem> {
    request.data().ok_or_else(unfinished)
}

fn automa(request: &Request) -> Result<&Automa, Problem> {
    request.data().ok_or_else(unfinished)
}

fn unfinished() -> Problem {
    Problem::internal(
        StatusCode::INTERNAL_SERVER_ERROR,
        &std::io::Error::other("a route was made without the data it needs"),
    )
}

/// From where someone signs in, as the list of sessions will show it.
pub(crate) fn client(request: &Request, origin: Origin) -> Client {
    Client {
        origin,
        address: client_address(request).map(|address| address.to_string()),
        agent: request.header(header::USER_AGENT).map(ToOwned::to_owned),
    }
}

/// Whoever calls the API: by one of the schemes that are described below.
#[derive(Debug)]
pub(crate) struct Auth(Caller);

/// An access token, from signing in, or an API key.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT or sk-…")]
struct Bearer(#[expect(dead_code, reason = "only described")] auth::Bearer);

/// An API key.
#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_in = "header", key_name = "X-API-Key")]
struct Key(#[expect(dead_code, reason = "only described")] auth::ApiKey);

/// The access token of a browser that signed in on a page.
#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_in = "cookie", key_name = "automa_access")]
struct Cookie(#[expect(dead_code, reason = "only described")] auth::ApiKey);

impl Auth {
    /// On whose behalf.
    pub(crate) fn actor(&self) -> &Actor {
        &self.0.actor
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0
    }

    /// Their own account.
    pub(crate) fn profile<'a>(&'a self, automa: &'a Automa) -> Result<Profile<'a>, Problem> {
        self.0.profile(automa)
    }
}

/// Not derived: of several schemes, the derived one tells why the last did not do, whatever was wrong
/// with the one that was used.
impl<'a> ApiExtractor<'a> for Auth {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Bearer::register(registry);
        Key::register(registry);
        Cookie::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        [Bearer::security_schemes(), Key::security_schemes(), Cookie::security_schemes()].concat()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let caller = Caller::of_api(request)?;
        caller.count_call(request)?;
        Ok(Self(caller))
    }
}

/// Someone signed in who looks at a page; tokens that have run out are renewed on the way.
impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        if let Some(token) = cookie::access(request) {
            match Self::of_token(request, &token, Origin::Web) {
                Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {}
                known => return Ok(known?),
            }
        }
        let signed_in = renew(request).await?;
        let caller = Self::of_session(request, signed_in.session.id, Origin::Web)?
            .ok_or_else(|| Problem::unauthorized("the session has ended"))?;
        cookie::set(request, &keys(request)?.tokens(&signed_in));
        Ok(caller)
    }
}

/// The next generation of a browser's session.
async fn renew(request: &Request) -> Result<SignedIn, Problem> {
    let ended = || Problem::unauthorized("sign in first");
    let refresh = cookie::refresh(request).ok_or_else(ended)?;
    let (session, generation) = keys(request)?.refreshable(&refresh).ok_or_else(ended)?;
    match automa(request)?.sessions().refresh(session, generation).await {
        Err(Error::SessionEnded) => Err(ended()),
        renewed => Ok(renewed?),
    }
}
