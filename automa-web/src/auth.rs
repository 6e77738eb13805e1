//! Who is calling: a bearer token of a program, or the cookies of a browser.

pub(crate) mod cookie;
mod token;

use automa_core::{
    Automa, Error,
    actor::{Actor, Origin},
    id::SessionId,
    session::{Client, SignedIn},
    user::User,
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
use crate::{client_address::client_address, problem::Problem};

/// Someone who is signed in, and on whose behalf a request is done.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) actor: Actor,
    /// By which they are; its end is theirs.
    pub(crate) session: SessionId,
}

impl Caller {
    /// Who holds an access token.
    pub(crate) fn of_token(
        request: &Request,
        token: &str,
        origin: Origin,
    ) -> Result<Self, Problem> {
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
            Ok((user, actor)) => Ok(Some(Self { user, actor, session })),
            Err(Error::SessionEnded) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who calls the API: by the `Authorization` header, else by the cookie of a page.
    pub(crate) fn of_api(request: &Request) -> Result<Self, Problem> {
        let origin = match request.header(header::AUTHORIZATION) {
            Some(_) => Origin::Api,
            None => Origin::Web,
        };
        match access_token(request)? {
            Some(token) => Self::of_token(request, &token, origin),
            None => Err(Problem::unauthorized("sign in first, at `POST /api/v1/auth/login`")),
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

/// Whoever calls the API: by one of the two schemes that are described below.
#[derive(Debug)]
pub(crate) struct Auth(Caller);

/// An access token, from signing in.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT")]
struct Bearer(#[expect(dead_code, reason = "only described")] auth::Bearer);

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
}

/// Not derived: of two schemes, the derived one tells why the last did not do, whatever was wrong
/// with the one that was used.
impl<'a> ApiExtractor<'a> for Auth {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Bearer::register(registry);
        Cookie::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        [Bearer::security_schemes(), Cookie::security_schemes()].concat()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(Caller::of_api(request)?))
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
