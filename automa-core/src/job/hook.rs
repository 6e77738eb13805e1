//! Webhooks: jobs that start when somebody calls.
//!
//! A webhook has an address that only who was told it knows; of it a hash is stored. Who wants more lets
//! calls be signed: with a secret that is **not stored** either. It is computed, from a key in the file
//! `webhooks.key` of the data directory, which its owner alone can read, and the number of times that the
//! job's webhook was renewed. So a copy of the store gives neither addresses nor secrets away; who loses
//! the file renews the webhooks whose calls are signed.
//!
//! A signed call has one of these headers:
//!
//! - `X-Automa-Signature: t=SECONDS,v1=HEX`, where `HEX` is HMAC-SHA-256 with the secret over the seconds
//!   since 1970, a dot, and the body. It is taken within five minutes, and once.
//! - `X-Hub-Signature-256: sha256=HEX`, over the body alone, as GitHub sends it. There is no time in it:
//!   the same body is taken once a day.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{By, Claim, Job, claim, scheduler};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin},
    audit::{self, Action, Entry},
    error::FieldError,
    execution::{Execution, Hash, PARAMETERS_MAX, Parameters},
    hex,
    id::JobId,
    store,
};

/// How far the time of a signature may be from now, in seconds.
pub const SIGNATURE_WINDOW: i64 = 5 * 60;

/// The file with the key of secrets.
pub(crate) const KEY_FILE: &str = "webhooks.key";
/// Bytes of a code, and of an address.
const BYTES: usize = 32;

/// Who may call a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The hash of the token in its address.
    pub(crate) token: [u8; 32],
    /// Whether calls have to be signed.
    signed: bool,
    /// How often it was made anew.
    generation: u32,
}

/// What is told of a webhook once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHook {
    /// The token of its address, 64 hexadecimal digits.
    pub token: String,
    /// The secret with which calls are signed, if they have to be: 64 hexadecimal digits, which are the
    /// key as they are.
    pub secret: Option<String>,
}

/// A call of a webhook.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// A JSON object of parameters, at most 64 KiB; nothing is the same as none in it.
    pub body: Vec<u8>,
    /// Its header `X-Automa-Signature`.
    pub signature: Option<String>,
    /// Its header `X-Hub-Signature-256`.
    pub hub_signature: Option<String>,
    /// From which network address it comes, where that is known.
    pub address: Option<IpAddr>,
}

/// Webhooks, which stand for whoever knows them.
#[derive(Debug, Clone, Copy)]
pub struct Hooks<'a> {
    automa: &'a Automa,
}

impl Hook {
    /// Whether calls have to be signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// A new one, in place of the one before.
    pub(super) fn make(
        automa: &Automa,
        job: JobId,
        before: Option<Self>,
        signed: bool,
    ) -> Result<(Self, NewHook)> {
        let mut random = [0; BYTES];
        automa.clock.fill(&mut random);
        let token = hex::encode(&random);
        let generation = before.map_or(1, |before| before.generation.saturating_add(1));
        let hook = Self { token: hash(token.as_bytes()), signed, generation };
        let secret = signed.then(|| hook.secret(automa, job)).transpose()?;
        Ok((hook, NewHook { token, secret }))
    }

    #[cfg(test)]
    pub(super) fn stored() -> Self {
        Self { token: [7; 32], signed: true, generation: 300 }
    }

    fn secret(&self, automa: &Automa, job: JobId) -> Result<String> {
        let key = automa.hook_key.get_or_make(&*automa.clock)?;
        let mut mac = mac(key.expose_secret());
        mac.update(format!("webhook {job} {}", self.generation).as_bytes());
        Ok(hex::encode(&mac.finalize().into_bytes()))
    }

    /// Checks who calls. Tells by what the call is known if it comes again.
    fn check(&self, automa: &Automa, job: JobId, call: &Call) -> Result<Option<Hash>> {
        if !self.signed {
            return Ok(None);
        }
        let refused = Error::WrongSignature;
        let secret = self.secret(automa, job)?;
        let mut mac = mac(secret.as_bytes());
        let signed = match (&call.signature, &call.hub_signature) {
            (Some(ours), _) => {
                let (time, codes) = read_signature(ours)
                    .ok_or(refused("it is not of the form t=SECONDS,v1=HEX"))?;
                if automa.clock.now().as_second().abs_diff(time) > SIGNATURE_WINDOW.unsigned_abs() {
                    return Err(refused("its time is more than five minutes from now"));
                }
                mac.update(format!("{time}.").as_bytes());
                codes
            }
            (None, Some(hub)) => {
                let code = hub.strip_prefix("sha256=").and_then(hex::decode);
                vec![code.ok_or(refused("it is not of the form sha256=HEX"))?]
            }
            (None, None) => return Err(refused("there is none, and this webhook asks for one")),
        };
        mac.update(&call.body);
        // Each is compared in constant time.
        if signed.iter().any(|code| mac.clone().verify_slice(code).is_ok()) {
            // As it is computed, however it was written.
            let code = mac.finalize().into_bytes();
            Ok(Some(hash(&[job.to_string().as_bytes(), &code].concat())))
        } else {
            Err(refused("it does not fit the body and the secret"))
        }
    }
}

impl<'a> Hooks<'a> {
    pub(crate) fn new(automa: &'a Automa) -> Self {
        Self { automa }
    }

    /// Runs the job whose webhook has this token, in the name of the job's owner. What is in the body goes
    /// over the job's own parameters; the script's schema decides what it takes.
    ///
    /// # Errors
    ///
    /// [`Error::NoHook`]; [`Error::WrongSignature`]; [`Error::Replayed`]; [`Error::Paused`];
    /// [`Error::Overlaps`]; [`Error::Invalid`] for what is in the body; and as
    /// [`Executions::submit`](crate::execution::Executions::submit).
    pub async fn call(&self, token: &str, call: Call) -> Result<Execution> {
        let hashed = hash(token.as_bytes());
        let job = self.automa.store.look(|view| store::jobs::of_hook(view, hashed))?;
        let job = job.ok_or(Error::NoHook)?;
        let hook = job.hook.ok_or(Error::NoHook)?;
        let nonce = match hook.check(self.automa, job.id, &call) {
            Err(error @ Error::WrongSignature(why)) => {
                let nobody = Actor::nobody("somebody", Origin::Api).at(call.address);
                let entry =
                    Entry::new(&*self.automa.clock, &nobody, Action::JobCallRefused(job.id));
                audit::note_refusal(self.automa, entry.detail(why)).await?;
                return Err(error);
            }
            checked => checked?,
        };
        if job.paused {
            return Err(Error::Paused);
        }
        let parameters = merged(&job, &call.body)?;
        let owner = scheduler::owner(self.automa, &job)?;
        let actor = owner.map_err(|_| Error::NoHook)?;
        let actor = Actor { origin: Origin::Api, ..actor }.at(call.address);
        let claim = Claim::asked(&job, By::Call, self.automa.clock.now()).once(nonce);
        let new = claim::execution(&job, parameters);
        self.automa.executions(&actor).submit_for(new, claim).await
    }
}

/// The job's parameters, and over them those of a body.
fn merged(job: &Job, body: &[u8]) -> Result<Parameters> {
    let wrong = |reason| Error::Invalid(vec![FieldError::new("body", reason)]);
    if body.len() > PARAMETERS_MAX {
        return Err(wrong("must have at most 64 KiB"));
    }
    let mut parameters = job.parameters.clone();
    if !body.trim_ascii().is_empty() {
        let given: Parameters =
            serde_json::from_slice(body).map_err(|_| wrong("must be a JSON object, or empty"))?;
        parameters.extend(given);
    }
    Ok(parameters)
}

/// The time of a signature, and its codes: there may be several, while a sender changes its secret.
fn read_signature(text: &str) -> Option<(i64, Vec<[u8; BYTES]>)> {
    let (mut time, mut codes) = (None, Vec::new());
    for part in text.split(',') {
        match part.trim().split_once('=')? {
            ("t", seconds) => time = Some(seconds.parse().ok()?),
            ("v1", code) => codes.push(hex::decode(code)?),
            _ => {}
        }
    }
    Some((time?, codes))
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}
