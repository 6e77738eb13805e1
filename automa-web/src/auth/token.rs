//! Tokens: signed names of a session (JWT, RFC 7519). What a session may do is in the store, so
//! that what changes there counts at once.

use automa_core::{
    id::{SessionId, UserId},
    session::SignedIn,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// Life of an access token in seconds.
pub(crate) const ACCESS_SECONDS: i64 = 30 * 60;

/// What tokens are signed and checked with.
pub(crate) struct Keys {
    sign: EncodingKey,
    check: DecodingKey,
}

/// The two tokens of someone who signed in.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    /// Opens everything, for half an hour.
    pub(crate) access: String,
    /// Gets the next two, once.
    pub(crate) refresh: String,
    /// Seconds that the refresh token lives.
    pub(crate) refresh_seconds: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Use {
    Access,
    Refresh,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    sid: SessionId,
    #[serde(rename = "use")]
    usage: Use,
    /// The session's generation.
    #[serde(rename = "gen")]
    generation: u32,
    iat: i64,
    exp: i64,
}

impl Keys {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self { sign: EncodingKey::from_secret(secret), check: DecodingKey::from_secret(secret) }
    }

    /// The tokens of a session as it is now.
    pub(crate) fn tokens(&self, SignedIn { session, .. }: &SignedIn) -> Tokens {
        let issued = session.refreshed_at.as_second();
        let expires = session.expires_at.as_second();
        let token = |usage, exp| {
            let (sub, sid, generation) = (session.user, session.id, session.generation);
            let claims = Claims { sub, sid, usage, generation, iat: issued, exp };
            // HMAC over a few plain fields: there is nothing that could fail.
            jsonwebtoken::encode(&Header::default(), &claims, &self.sign).unwrap_or_default()
        };
        Tokens {
            access: token(Use::Access, expires.min(issued + ACCESS_SECONDS)),
            refresh: token(Use::Refresh, expires),
            refresh_seconds: expires - issued,
        }
    }

    /// The session of an access token that is still good.
    pub(crate) fn session(&self, access: &str) -> Option<SessionId> {
        self.read(access, Use::Access).map(|claims| claims.sid)
    }

    /// The session and generation of a refresh token that is still good.
    pub(crate) fn refreshable(&self, refresh: &str) -> Option<(SessionId, u32)> {
        self.read(refresh, Use::Refresh).map(|claims| (claims.sid, claims.generation))
    }

    fn read(&self, token: &str, usage: Use) -> Option<Claims> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.check, &rules).ok()?.claims;
        (claims.usage == usage).then_some(claims)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}
