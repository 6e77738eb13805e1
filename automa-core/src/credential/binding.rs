//! Bindings: which script or job is given which credential, under which variable.
//!
//! Whoever binds a credential says two things: that what holds it may have it, and that the versions of
//! the script which were there by then are fit to have it. Everybody who may run the script uses the
//! credential from then on, without ever seeing it; that is what binding is for.
//!
//! But a script that is given a secret can tell it to whomever it likes, so that whoever changes the
//! script could have the secret. Therefore a version that comes later is given the credential only if
//! the one who bound it is its author, or has bound it again since: an execution of any other version
//! fails before it is run, and says who has to confirm it. Versions that were confirmed stay so.
//!
//! Parameters and the hosts that are reached are up to whoever runs a script. One that sends a secret to
//! an address which is a parameter gives it to all of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Credential, Credentials, Delivery, find, find_seen};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    execution::parameters::is_reserved,
    id::{BindingId, CredentialId, JobId, ScriptId, UserId},
    job,
    script::{self, Sight, Version},
    store::{
        self,
        change::{Change, View},
    },
};

/// Most credentials that are bound to one script or job.
pub const BINDINGS_MAX: usize = 50;
/// Most characters of a variable's name.
const VARIABLE_MAX: usize = 64;

/// What a credential is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Holder {
    /// Every execution of a script.
    Script(ScriptId),
    /// Executions that a job starts. What is bound to the job under a variable goes before what is
    /// bound to its script under the same.
    Job(JobId),
}

/// A credential that is bound to something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Its id.
    pub id: BindingId,
    /// What is given the credential.
    pub holder: Holder,
    /// The credential, whose newest version is given.
    pub credential: CredentialId,
    /// The variable that has the whole credential, its path or its descriptor. Each field has a
    /// variable of its own: this name, `_`, and the field's name in upper case.
    pub variable: String,
    /// By which way. What is not secret of a credential is always in variables.
    pub delivery: Delivery,
    /// The script at that time, of which the holder's executions are runs.
    pub script: ScriptId,
    /// Its versions up to this one are given it, whoever wrote them.
    pub versions: u32,
    /// Who bound it, unless it was the embedding program.
    pub by: Option<UserId>,
    /// Who, as named then.
    pub by_name: String,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
}

/// What is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBinding {
    /// The credential.
    pub credential: CredentialId,
    /// The variable: upper-case letters, digits and `_`, at most 64, not beginning with a digit, and
    /// none that means something to Automa, a shell, Python or the loader.
    pub variable: String,
    /// By which way.
    pub delivery: Delivery,
}

/// A binding as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingNow {
    /// The binding.
    pub binding: Binding,
    /// The credential's name.
    pub credential_name: String,
    /// What is given it: the name of the script or job.
    pub holder_name: String,
    /// The script's newest version and its author, if that is not given the credential until it is
    /// bound again.
    pub unconfirmed: Option<(u32, String)>,
}

impl Binding {
    /// Whether a version of the script is given it.
    pub(crate) fn trusts(&self, version: &Version) -> bool {
        let confirmed = version.script == self.script && version.number <= self.versions;
        confirmed || version.author == self.by_name
    }
}

impl Credentials<'_> {
    /// Gives a script or job a credential from now on. What was bound under the same variable is
    /// replaced; the same again confirms the versions that came since.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`], also for somebody else's credential;
    /// [`Error::Invalid`]; and the store's.
    pub async fn bind(&self, holder: Holder, new: NewBinding) -> Result<BindingNow> {
        self.actor.require(may_change(holder))?;
        self.actor.require(Permission::ReadCredentials)?;
        let (clock, actor) = (&*self.automa.clock, self.actor.clone());
        let (id, at) = (BindingId::generate(clock), clock.now());
        let entry = Entry::new(clock, self.actor, Action::CredentialBound(new.credential, holder));
        let change = move |change: &mut Change| {
            let (_, version) = held(change, &Sight::of(&actor), holder)?;
            FieldError::none_of(check_variable(&new.variable).into_iter().collect())?;
            let credential = find_seen(change, &actor, new.credential)?;
            check_parameters(&version, &new.variable)?;
            let all = store::bindings::of_holder(change, holder)?;
            let before = all.iter().find(|it| it.variable == new.variable);
            if before.is_none() && all.len() >= BINDINGS_MAX {
                let reason = "has 50 credentials already, which is the most";
                return invalid("credential_id", reason);
            }
            let binding = Binding {
                id: before.map_or(id, |it| it.id),
                holder,
                credential: credential.id,
                variable: new.variable.clone(),
                delivery: new.delivery,
                script: version.script,
                versions: version.number,
                by: actor.user,
                by_name: actor.name.clone(),
                at,
            };
            store::bindings::put(change, &binding)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::CredentialChanged(credential.id));
            now(change, binding)
        };
        self.automa.store.write(change).await
    }

    /// Takes a credential from a script or job. Who may change that may do so, whosever it is.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn unbind(&self, holder: Holder, id: BindingId) -> Result<()> {
        self.actor.require(may_change(holder))?;
        let clock = &*self.automa.clock;
        let sight = Sight::of(self.actor);
        let found = self.automa.store.look(|view| find_binding(view, holder, id))?;
        let credential = found.credential;
        let action = Action::CredentialUnbound(credential, holder);
        let entry = Entry::new(clock, self.actor, action);
        let change = move |change: &mut Change| {
            held(change, &sight, holder)?;
            let binding = find_binding(change, holder, id)?;
            if binding.credential != credential {
                // Another one was bound meanwhile, which nobody meant.
                return Err(not_found(id));
            }
            store::bindings::remove(change, &binding)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::CredentialChanged(binding.credential));
            Ok(())
        };
        self.automa.store.write(change).await
    }

    /// What is bound to a script or job, in the order of the variables.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn bindings(&self, holder: Holder) -> Result<Vec<BindingNow>> {
        self.actor.require(match holder {
            Holder::Script(_) => Permission::ReadScripts,
            Holder::Job(_) => Permission::ReadJobs,
        })?;
        let sight = Sight::of(self.actor);
        self.automa.store.look(|view| {
            held(view, &sight, holder)?;
            let all = store::bindings::of_holder(view, holder)?;
            all.into_iter().map(|binding| now(view, binding)).collect()
        })
    }

    /// Takes a credential from everything that is given it, so that it can be deleted. How many that
    /// were.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn unbind_all(&self, id: CredentialId) -> Result<usize> {
        self.actor.require(Permission::WriteCredentials)?;
        let (clock, actor) = (&*self.automa.clock, self.actor.clone());
        let entry = Entry::new(clock, self.actor, Action::CredentialReleased(id));
        let change = move |change: &mut Change| {
            find_seen(change, &actor, id)?;
            let bindings = store::bindings::of_credential(change, id)?;
            for binding in &bindings {
                store::bindings::remove(change, binding)?;
            }
            store::audit::add(change, &entry)?;
            change.emit(Event::CredentialChanged(id));
            Ok(bindings.len())
        };
        self.automa.store.write(change).await
    }

    /// What a credential is bound to.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn holders(&self, id: CredentialId) -> Result<Vec<BindingNow>> {
        self.actor.require(Permission::ReadCredentials)?;
        self.automa.store.look(|view| {
            find_seen(view, self.actor, id)?;
            let all = store::bindings::of_credential(view, id)?;
            all.into_iter().map(|binding| now(view, binding)).collect()
        })
    }
}

/// Refuses to delete a credential that something is given.
pub(super) fn check_unbound(view: &impl View, credential: &Credential) -> Result<()> {
    let bindings = store::bindings::of_credential(view, credential.id)?;
    if bindings.is_empty() {
        return Ok(());
    }
    let holders = bindings.into_iter().map(|binding| Ok(now(view, binding)?.holder_name));
    let holders = holders.collect::<Result<Vec<_>>>()?.join(", ");
    Err(Error::CredentialBound { name: credential.name.clone(), holders })
}

fn find_binding(view: &impl View, holder: Holder, id: BindingId) -> Result<Binding> {
    let found = store::bindings::get(view, id)?.filter(|it| it.holder == holder);
    found.ok_or_else(|| not_found(id))
}

fn may_change(holder: Holder) -> Permission {
    match holder {
        Holder::Script(_) => Permission::WriteScripts,
        Holder::Job(_) => Permission::WriteJobs,
    }
}

/// The name of a holder that is there for whoever looks, and the newest version of its script.
fn held(view: &impl View, sight: &Sight, holder: Holder) -> Result<(String, Version)> {
    let (script, name) = match holder {
        Holder::Script(script) => (script, None),
        Holder::Job(id) => {
            let job = job::find(view, id)?;
            (job.script, Some(job.name))
        }
    };
    let script = script::find_seen(view, sight, script)?;
    let version = script::kept_version(view, script.id, script.version)?;
    Ok((name.unwrap_or(script.name), version))
}

fn now(view: &impl View, binding: Binding) -> Result<BindingNow> {
    let credential_name = find(view, binding.credential)?.name;
    // A deleted script keeps its bindings until it is removed for good.
    let held = held(view, &Sight::ALL, binding.holder).ok();
    let unconfirmed = held.as_ref().map(|(_, version)| version);
    let unconfirmed = unconfirmed.filter(|version| !binding.trusts(version));
    Ok(BindingNow {
        unconfirmed: unconfirmed.map(|version| (version.number, version.author.clone())),
        holder_name: held.map_or_else(|| "a deleted script".to_owned(), |(name, _)| name),
        credential_name,
        binding,
    })
}

fn check_variable(name: &str) -> Option<FieldError> {
    let invalid = |reason: &'static str| Some(FieldError::new("variable_name", reason));
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let rest = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !first || !name.bytes().all(rest) || name.len() > VARIABLE_MAX {
        return invalid(
            "must have 1 to 64 upper-case letters, digits and _, and not begin with a digit",
        );
    }
    if is_reserved(name) {
        return invalid("is the name of a variable with a meaning of its own: take another name");
    }
    None
}

fn check_parameters(version: &Version, variable: &str) -> Result<()> {
    let schema = version.parameters_schema.as_deref().unwrap_or("{}");
    // What was stored was a schema.
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    if schema["properties"].get(variable).is_some() {
        return invalid("variable_name", "is a parameter of the script: take another name");
    }
    Ok(())
}

fn invalid<T>(field: &'static str, reason: &str) -> Result<T> {
    Err(Error::Invalid(vec![FieldError::new(field, reason)]))
}

fn not_found(id: BindingId) -> Error {
    Error::NotFound { kind: "binding", id: id.to_string() }
}

#[cfg(test)]
mod tests;
