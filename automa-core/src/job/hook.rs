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

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{By, Claim, Job, claim, scheduler};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin},
    clock::Clock,
    error::FieldError,
    execution::{Execution, Hash, PARAMETERS_MAX, Parameters},
    id::JobId,
    store,
};

/// How far the time of a signature may be from now, in seconds.
pub const SIGNATURE_WINDOW: i64 = 5 * 60;

/// The file with the key of secrets.
const FILE: &str = "webhooks.key";
/// Bytes of a key, and of an address.
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
        let token = to_hex(&random);
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
        Ok(to_hex(&mac.finalize().into_bytes()))
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
                let code = hub.strip_prefix("sha256=").and_then(from_hex);
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
        let nonce = hook.check(self.automa, job.id, &call)?;
        if job.paused {
            return Err(Error::Paused);
        }
        let parameters = merged(&job, &call.body)?;
        let owner = scheduler::owner(self.automa, &job)?;
        let actor = owner.map_err(|_| Error::NoHook)?;
        let actor = Actor { origin: Origin::Api, ..actor };
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
fn read_signature(text: &str) -> Option<(i64, Vec<Vec<u8>>)> {
    let (mut time, mut codes) = (None, Vec::new());
    for part in text.split(',') {
        match part.trim().split_once('=')? {
            ("t", seconds) => time = Some(seconds.parse().ok()?),
            ("v1", code) => codes.push(from_hex(code)?),
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

pub(super) fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The bytes of a code of SHA-256 as text.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 2 * BYTES)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The key of the secrets of an open Automa.
#[derive(Debug)]
pub(crate) struct HookKey {
    /// `None` for one that is kept in memory.
    directory: Option<PathBuf>,
    known: Mutex<Option<SecretSlice<u8>>>,
}

impl HookKey {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        // The program may go to another directory.
        let directory = directory.map(|path| std::path::absolute(&path).unwrap_or(path));
        Self { directory, known: Mutex::new(None) }
    }

    /// The key, which is made if there is none.
    pub(super) fn get_or_make(&self, clock: &dyn Clock) -> Result<SecretSlice<u8>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*known {
            return Ok(key.clone());
        }
        let mut random = vec![0; BYTES];
        clock.fill(&mut random);
        let key = match &self.directory {
            None => random,
            Some(directory) => {
                let path = directory.join(FILE);
                read_or_write(&path, random).map_err(|source| Error::Directory {
                    doing: "reading or writing the key of webhooks",
                    path,
                    source,
                })?
            }
        };
        Ok(known.insert(key.into()).clone())
    }
}

/// The key in a file, which is written whole or not at all if it is missing.
fn read_or_write(path: &Path, new: Vec<u8>) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(key) if key.len() != BYTES => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not have 32 bytes"));
        }
        read => return read,
    }
    let draft = path.with_extension("draft");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&new)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(new)
}
