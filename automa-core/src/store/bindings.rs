//! Tables `credential_bindings`: `binding id -> binding`; `execution_credentials`: `execution id ->
//! what it was given`; and the indexes `bindings_by_script`, `bindings_by_job` and
//! `bindings_by_credential`.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    credential::{Binding, Holder},
    error::StoreError,
    execution::GivenCredentials,
    id::{BindingId, CredentialId, ExecutionId, JobId, ScriptId},
};

const BINDINGS: Table<BindingId, Binding> = Table::new();
const GIVEN: Table<ExecutionId, GivenCredentials> = Table::new();
const BY_SCRIPT: Index<(ScriptId, BindingId)> = Index::new("bindings_by_script");
const BY_JOB: Index<(JobId, BindingId)> = Index::new("bindings_by_job");
const BY_CREDENTIAL: Index<(CredentialId, BindingId)> = Index::new("bindings_by_credential");

impl Record for Binding {
    const TABLE: &'static str = "credential_bindings";
    const VERSION: u8 = 1;
}

impl Record for GivenCredentials {
    const TABLE: &'static str = "execution_credentials";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    BINDINGS.create(tables)?;
    GIVEN.create(tables)?;
    BY_SCRIPT.create(tables)?;
    BY_JOB.create(tables)?;
    BY_CREDENTIAL.create(tables)
}

pub(crate) fn get(view: &impl View, id: BindingId) -> Result<Option<Binding>, StoreError> {
    BINDINGS.get(view, id)
}

/// Writes a binding, whose holder never changes.
pub(crate) fn put(change: &mut Change, binding: &Binding) -> Result<(), StoreError> {
    if let Some(before) = BINDINGS.get(change, binding.id)? {
        BY_CREDENTIAL.remove(change, (before.credential, before.id))?;
    }
    match binding.holder {
        Holder::Script(script) => BY_SCRIPT.insert(change, (script, binding.id))?,
        Holder::Job(job) => BY_JOB.insert(change, (job, binding.id))?,
    }
    BY_CREDENTIAL.insert(change, (binding.credential, binding.id))?;
    BINDINGS.put(change, binding.id, binding)
}

pub(crate) fn remove(change: &mut Change, binding: &Binding) -> Result<(), StoreError> {
    match binding.holder {
        Holder::Script(script) => BY_SCRIPT.remove(change, (script, binding.id))?,
        Holder::Job(job) => BY_JOB.remove(change, (job, binding.id))?,
    }
    BY_CREDENTIAL.remove(change, (binding.credential, binding.id))?;
    BINDINGS.remove(change, binding.id)?;
    Ok(())
}

/// Removes all bindings of what is removed itself.
pub(crate) fn remove_of(change: &mut Change, holder: Holder) -> Result<(), StoreError> {
    of_holder(change, holder)?.iter().try_for_each(|binding| remove(change, binding))
}

/// What is bound to a script or job, in the order of the variables.
pub(crate) fn of_holder(view: &impl View, holder: Holder) -> Result<Vec<Binding>, StoreError> {
    const ALL: (BindingId, BindingId) = (BindingId::MIN, BindingId::MAX);
    let ids: Vec<_> = match holder {
        Holder::Script(id) => {
            let keys = BY_SCRIPT.lowest(view, (id, ALL.0)..=(id, ALL.1), usize::MAX)?;
            keys.into_iter().map(|(_, id)| id).collect()
        }
        Holder::Job(id) => {
            let keys = BY_JOB.lowest(view, (id, ALL.0)..=(id, ALL.1), usize::MAX)?;
            keys.into_iter().map(|(_, id)| id).collect()
        }
    };
    let mut all = read(view, &ids)?;
    all.sort_by(|a, b| a.variable.cmp(&b.variable));
    Ok(all)
}

/// What a credential is bound to, first to last.
pub(crate) fn of_credential(
    view: &impl View,
    id: CredentialId,
) -> Result<Vec<Binding>, StoreError> {
    let all = (id, BindingId::MIN)..=(id, BindingId::MAX);
    let keys = BY_CREDENTIAL.lowest(view, all, usize::MAX)?;
    read(view, &keys.into_iter().map(|(_, id)| id).collect::<Vec<_>>())
}

fn read(view: &impl View, ids: &[BindingId]) -> Result<Vec<Binding>, StoreError> {
    ids.iter().filter_map(|id| BINDINGS.get(view, *id).transpose()).collect()
}

/// What an execution's last attempt was given.
pub(crate) fn given(
    view: &impl View,
    id: ExecutionId,
) -> Result<Option<GivenCredentials>, StoreError> {
    GIVEN.get(view, id)
}

pub(crate) fn put_given(
    change: &mut Change,
    id: ExecutionId,
    given: &GivenCredentials,
) -> Result<(), StoreError> {
    GIVEN.put(change, id, given)
}

/// Forgets what an execution was given, as it is removed.
pub(super) fn forget_given(change: &mut Change, id: ExecutionId) -> Result<(), StoreError> {
    GIVEN.remove(change, id).map(drop)
}
