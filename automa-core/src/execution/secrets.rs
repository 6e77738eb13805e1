//! Secrets of an execution: what it is given, and what must not be seen of that.
//!
//! The credentials that are bound to its script and its job are opened when an attempt starts, not
//! before, and wiped when its sandbox has them. That it is given them is recorded before it is: on
//! each credential's trail, and with the execution, by name and version only.

use std::collections::{BTreeMap, BTreeSet};

use automa_sandbox::{Command, Delivery as Way};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Ending, Execution, Executions, Ran, Report, log::Mask, parameters::is_reserved};
use crate::{
    Error, Result,
    actor::Permission,
    clock::Clock,
    credential::{self, Binding, Delivery, Given, Holder, Opened, Use, Vault, What},
    error::{FieldError, StoreError},
    id::{CredentialId, ExecutionId, UseId},
    script::{self, Version},
    store::{
        self,
        change::{Change, View},
    },
};

/// A credential that an execution was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenCredential {
    /// The credential, which may be there no more.
    pub credential: CredentialId,
    /// Its name at that time.
    pub name: String,
    /// In which version.
    pub version: u32,
    /// Under which variable.
    pub variable: String,
    /// By which way.
    pub delivery: Delivery,
}

/// All credentials that the last attempt of an execution was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenCredentials(pub(crate) Vec<GivenCredential>);

/// The secrets of one attempt. Wiped when dropped.
#[derive(Default)]
pub(super) struct Secrets {
    given: Vec<GivenCredential>,
    variables: BTreeMap<String, Variable>,
    mask: Mask,
}

/// What a variable is to hold.
struct Variable {
    /// By which way, where it is secret.
    way: Option<Way>,
    value: Zeroizing<Vec<u8>>,
}

impl Secrets {
    /// Opens all that an execution is to be given, and makes ready to mask it, together with the
    /// parameters that its script's schema marks as secret.
    ///
    /// # Errors
    ///
    /// Why it cannot be run: [`Error::CredentialExpired`], [`Error::CredentialUnconfirmed`],
    /// [`Error::Vault`], [`Error::Mask`], [`Error::NotFound`]; and the store's.
    pub(super) fn open(
        view: &impl View,
        vault: &Vault,
        now: Timestamp,
        execution: &Execution,
        ran: &Ran,
    ) -> Result<Self> {
        let Some((script, number)) = execution.script else { return Ok(Self::default()) };
        let version = script::kept_version(view, script, number)?;
        let mut masked = secret_parameters(&version, ran);
        let bindings = bindings_of(view, execution)?;
        let mut new = Self::default();
        let mut taken = bindings.keys().cloned().collect::<BTreeSet<_>>();
        taken.extend(ran.parameters.iter().flat_map(|parameters| parameters.keys().cloned()));
        for binding in bindings.values() {
            if !binding.trusts(&version) {
                let name = credential::find(view, binding.credential)?.name;
                let (by, author) = (binding.by_name.clone(), version.author);
                return Err(Error::CredentialUnconfirmed { name, by, author, number });
            }
            let opened = credential::open(view, vault, binding.credential, now)?;
            new.take(binding, &opened, &mut taken, &mut masked);
        }
        new.mask = Mask::new(masked.iter().map(|secret| secret.as_bytes()))?;
        Ok(new)
    }

    /// Adds a credential's variables, but none that is taken already or means something else.
    fn take(
        &mut self,
        binding: &Binding,
        opened: &Opened,
        taken: &mut BTreeSet<String>,
        masked: &mut Vec<Zeroizing<String>>,
    ) {
        let Binding { variable, delivery, credential, .. } = binding;
        let way = match delivery {
            Delivery::Env => Way::Variable,
            Delivery::File => Way::File,
            Delivery::Fd => Way::Descriptor,
        };
        let mut set = |name: String, value: &str, secret: bool| {
            let value = Zeroizing::new(value.as_bytes().to_vec());
            self.variables.insert(name, Variable { way: secret.then_some(way), value });
        };
        let whole = opened.value();
        set(variable.clone(), whole.expose_secret(), true);
        masked.push(Zeroizing::new(whole.expose_secret().to_owned()));
        for field in opened.fields() {
            let value = field.value.expose_secret();
            if field.secret {
                masked.push(Zeroizing::new(value.to_owned()));
            }
            let name = format!("{variable}_{}", in_capitals(&field.name));
            if !is_reserved(&name) && taken.insert(name.clone()) {
                set(name, value, field.secret);
            }
        }
        self.given.push(GivenCredential {
            credential: *credential,
            name: opened.name.clone(),
            version: opened.version,
            variable: variable.clone(),
            delivery: *delivery,
        });
    }

    /// Gives them to a program.
    pub(super) fn hand_over(&self, command: Command) -> Command {
        self.variables.iter().fold(command, |command, (name, Variable { way, value })| match way {
            Some(way) => command.secret(name.clone(), *way, value.clone()),
            None => command.env(name.clone(), String::from_utf8_lossy(value)),
        })
    }

    /// What is to be recorded before the program gets them; nothing where there are no credentials.
    pub(super) fn record(&self, clock: &dyn Clock, execution: &Execution) -> Option<Record> {
        let uses = self.given.iter().map(|given| {
            let GivenCredential { credential, version, variable, delivery, .. } = given.clone();
            let script = execution.script.map(|(script, _)| script);
            let execution_id = execution.id;
            let given = Given { version, execution: execution_id, script, variable, delivery };
            let (id, at) = (UseId::generate(clock), clock.now());
            let (user, actor) = (execution.user, execution.requested_by.clone());
            (credential, Use { id, at, user, actor, what: What::Given(given) })
        });
        let uses: Vec<_> = uses.collect();
        let given = GivenCredentials(self.given.clone());
        (!uses.is_empty()).then_some(Record { uses, given })
    }

    /// What is masked in everything that the program leaves.
    pub(super) fn into_mask(self) -> Mask {
        self.mask
    }
}

/// That an execution is given credentials.
pub(super) struct Record {
    uses: Vec<(CredentialId, Use)>,
    given: GivenCredentials,
}

impl Record {
    pub(super) fn write(&self, change: &mut Change, id: ExecutionId) -> Result<(), StoreError> {
        for (credential, it) in &self.uses {
            store::credentials::used(change, *credential, it)?;
        }
        store::bindings::put_given(change, id, &self.given)
    }
}

/// What is bound to an execution's script, and goes before it, to its job, by variable.
fn bindings_of(view: &impl View, execution: &Execution) -> Result<BTreeMap<String, Binding>> {
    let script = execution.script.map(|(script, _)| Holder::Script(script));
    let job = execution.job.as_ref().map(|slot| Holder::Job(slot.job));
    let mut bindings = BTreeMap::new();
    for holder in script.into_iter().chain(job) {
        let all = store::bindings::of_holder(view, holder)?;
        bindings.extend(all.into_iter().map(|binding| (binding.variable.clone(), binding)));
    }
    Ok(bindings)
}

/// Refuses parameters of a name under which the script is given a credential.
pub(super) fn check_parameters(
    view: &impl View,
    script: crate::id::ScriptId,
    parameters: Option<&super::Parameters>,
) -> Result<()> {
    let Some(parameters) = parameters else { return Ok(()) };
    let bound = store::bindings::of_holder(view, Holder::Script(script))?;
    let both = bound.into_iter().filter(|binding| parameters.contains_key(&binding.variable));
    FieldError::none_of(
        both.map(|binding| {
            let reason =
                "is the variable of a credential that the script is given: take another name";
            FieldError::new(format!("parameters/{}", binding.variable), reason)
        })
        .collect(),
    )
}

fn secret_parameters(version: &Version, ran: &Ran) -> Vec<Zeroizing<String>> {
    let (Some(parameters), Some(schema)) = (&ran.parameters, &version.parameters_schema) else {
        return Vec::new();
    };
    // What was stored was a schema.
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    script::secrets(&schema, parameters).into_iter().map(Zeroizing::new).collect()
}

/// The name of a field as the end of a variable's.
fn in_capitals(name: &str) -> String {
    let capital = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' };
    name.chars().map(capital).collect()
}

impl Executions<'_> {
    /// The credentials that the last attempt of an execution was given: names, never values.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn credentials(&self, id: ExecutionId) -> Result<Vec<GivenCredential>> {
        self.actor.require(Permission::ReadExecutions)?;
        self.get(id)?;
        self.automa.store.look(|view| {
            Ok(store::bindings::given(view, id)?.map(|given| given.0).unwrap_or_default())
        })
    }
}

impl Mask {
    /// Masks what is told of how an execution ended.
    pub(super) fn apply_to_end(&self, ending: &mut Ending, report: Option<&mut Report>) {
        if self.is_empty() {
            return;
        }
        ending.cause = self.apply_to_text(&ending.cause);
        let Some(report) = report else { return };
        if let Ok(mut value) = serde_json::from_str(&report.json) {
            self.apply_to_value(&mut value);
            report.json = value.to_string();
        }
    }

    /// Masks every text within a value.
    fn apply_to_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.apply_to_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply_to_value(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.apply_to_value(member));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn apply_to_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.apply(text.as_bytes())).into_owned()
    }
}

#[cfg(test)]
mod tests;
