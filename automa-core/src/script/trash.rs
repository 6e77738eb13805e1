//! Deleted scripts: kept for a while, restored, or removed for good.
//!
//! What is removed for good is the script and the versions that nothing refers to. A version that an
//! execution ran stays readable with it, and goes when the last such execution has gone
//! ([`sweep`]).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Deleted, Script, Scripts, Sight, find_seen, not_found};
use crate::{
    Error, Result,
    actor::{Actor, Origin, Permission},
    audit::{Action, Entry},
    clock::Clock,
    credential::Holder,
    event::Event,
    id::ScriptId,
    quota,
    store::{
        self, Store,
        change::{Change, Snapshot, View},
    },
};

/// Days that deleted scripts are kept: 30. Then they are removed for good.
pub const TRASH_DAYS: u32 = 30;
/// Most deleted scripts that are listed.
const LISTED: usize = 500;

impl Deleted {
    /// When it is removed for good.
    #[must_use]
    pub fn purged_at(&self) -> Timestamp {
        let kept = SignedDuration::from_hours(24 * i64::from(TRASH_DAYS));
        self.at.checked_add(kept).unwrap_or(Timestamp::MAX)
    }
}

impl Scripts<'_> {
    /// Deletes a script: it is no longer found, listed or run. Its executions stay, with what they
    /// ran, and for 30 days it can be restored.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn delete(&self, id: ScriptId) -> Result<()> {
        self.actor.require(Permission::WriteScripts)?;
        let (clock, sight) = (&*self.automa.clock, self.sight());
        let (at, by) = (clock.now(), self.actor.name.clone());
        let entry = Entry::new(clock, self.actor, Action::ScriptDeleted(id));
        let change = move |change: &mut Change| {
            let script = find_seen(change, &sight, id)?;
            store::scripts::delete(change, &Deleted { script, at, by: by.clone() })?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(())
        };
        self.automa.store.write::<_, Error, _>(change).await?;
        self.automa.library.forget(id);
        Ok(())
    }

    /// The scripts that were deleted and can be restored, last deleted first: the last 500.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn deleted(&self) -> Result<Vec<Deleted>> {
        self.actor.require(Permission::WriteScripts)?;
        let sight = self.sight();
        let list = move |view: &Snapshot| {
            let mut all = store::scripts::deleted(view)?;
            all.retain(|it| sight.sees(&it.script));
            all.sort_by_key(|it| std::cmp::Reverse(it.at));
            all.truncate(LISTED);
            Ok(all)
        };
        self.automa.store.read(list).await
    }

    /// Undoes a deletion: the script is as it was, with all its versions.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`] also for one that was removed for good; and the
    /// store's.
    pub async fn restore(&self, id: ScriptId) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        let sight = self.sight();
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::ScriptRestored(id));
        let change = move |change: &mut Change| {
            let Deleted { script, .. } = find(change, &sight, id)?;
            quota::check_scripts(change, script.owner)?;
            store::scripts::restore(change, &script)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(script)
        };
        self.automa.store.write(change).await
    }

    /// Removes a deleted script for good, with all versions that no execution ran.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, [`Error::NotFound`], and the store's.
    pub async fn purge(&self, id: ScriptId) -> Result<()> {
        self.actor.require(Permission::ManageSettings)?;
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::ScriptPurged(id));
        purge(&self.automa.store, id, entry).await
    }
}

fn find(view: &impl View, sight: &Sight, id: ScriptId) -> Result<Deleted> {
    let deleted = store::scripts::get_deleted(view, id)?.filter(|it| sight.sees(&it.script));
    deleted.ok_or_else(|| not_found(id))
}

async fn purge(store: &Store, id: ScriptId, entry: Entry) -> Result<()> {
    let change = move |change: &mut Change| {
        find(change, &Sight::ALL, id)?;
        store::scripts::purge(change, id)?;
        store::bindings::remove_of(change, Holder::Script(id))?;
        store::retention::put_of_script(change, id, &crate::retention::ScriptRules::default())?;
        Ok::<_, Error>(store::audit::add(change, &entry)?)
    };
    store.write(change).await?;
    remove_versions(store, id).await
}

/// Removes what of a purged script no execution refers to. None begins to: it cannot be run.
async fn remove_versions(store: &Store, id: ScriptId) -> Result<()> {
    let unused = move |view: &Snapshot| {
        let ran: BTreeSet<u32> = store::executions::versions_of(view, id)?;
        let numbers = store::scripts::version_numbers(view, id)?;
        Ok::<_, Error>(numbers.into_iter().partition::<Vec<_>, _>(|it| ran.contains(it)))
    };
    let (used, unused) = store.read(unused).await?;
    let change = move |change: &mut Change| {
        for &number in &unused {
            store::scripts::remove_version(change, id, number)?;
        }
        if used.is_empty() {
            store::scripts::forget_purged(change, id)?;
        }
        Ok(())
    };
    store.write(change).await
}

/// Removes for good what was deleted long ago, and what is left of those whose executions have gone.
///
/// # Errors
///
/// The store's.
pub(crate) async fn sweep(store: &Store, clock: &dyn Clock) -> Result<()> {
    let now = clock.now();
    let old = move |view: &Snapshot| {
        let old = store::scripts::deleted(view)?.into_iter().filter(|it| it.purged_at() <= now);
        let old: Vec<_> = old.map(|it| it.script.id).collect();
        Ok::<_, Error>((old, store::scripts::purged(view)?))
    };
    let (old, remains) = store.read(old).await?;
    for id in remains {
        remove_versions(store, id).await?;
    }
    let actor = Actor { origin: Origin::Scheduler, ..Actor::embedder("retention") };
    for id in old {
        purge(store, id, Entry::new(clock, &actor, Action::ScriptPurged(id))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Automa,
        actor::Role,
        clock::TestClock,
        execution::{Dispatch, Execution, State},
        id::ExecutionId,
        page::PageRequest,
        script::{Language, NewScript, kept_version},
    };

    fn open() -> (Automa, Arc<TestClock>) {
        let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        (Automa::builder().in_memory().clock(clock.clone()).open().unwrap(), clock)
    }

    async fn deleted(automa: &Automa, me: &Actor) -> ScriptId {
        let scripts = automa.scripts(me);
        let id = scripts.create(NewScript::new("x", Language::Bash, "1")).await.unwrap().id;
        scripts.update(id, 1, NewScript::new("x", Language::Bash, "2")).await.unwrap();
        scripts.delete(id).await.unwrap();
        id
    }

    /// An execution of a version that has ended.
    async fn ran(automa: &Automa, id: ScriptId, number: u32) -> Execution {
        let clock = &*automa.clock;
        let execution = Execution {
            id: ExecutionId::generate(clock),
            state: State::Lost,
            language: Language::Bash,
            script: Some((id, number)),
            script_name: None,
            requested_by: "ann".to_owned(),
            user: None,
            created_at: clock.now(),
            started_at: None,
            finished_at: Some(clock.now()),
            attempt: 1,
            rerun_of: None,
            ending: None,
            dispatch: Dispatch::default(),
            job: None,
            agent: None,
        };
        let put = execution.clone();
        let change =
            move |change: &mut Change| Ok::<_, Error>(store::executions::put(change, &put)?);
        automa.store.write(change).await.unwrap();
        execution
    }

    fn versions(automa: &Automa, id: ScriptId) -> Vec<u32> {
        let kept = |number: &u32| automa.store.look(|view| kept_version(view, id, *number)).is_ok();
        [1, 2].into_iter().filter(kept).collect()
    }

    #[tokio::test]
    async fn a_deleted_script_is_listed_with_who_and_when_and_restored() {
        let (automa, _clock) = open();
        let me = Actor::embedder("ann");
        let scripts = automa.scripts(&me);
        let id = deleted(&automa, &me).await;
        let listed = scripts.deleted().await.unwrap();
        assert_eq!((listed.len(), &*listed[0].by, listed[0].script.version), (1, "ann", 2));
        assert_eq!(listed[0].purged_at(), listed[0].at + SignedDuration::from_hours(720));
        let script = scripts.restore(id).await.unwrap();
        assert_eq!(scripts.get(id).unwrap(), script);
        assert_eq!(scripts.versions(id, PageRequest::default()).await.unwrap().items.len(), 2);
        assert_eq!(scripts.deleted().await.unwrap(), []);
        assert!(matches!(scripts.restore(id).await, Err(Error::NotFound { .. })));
        let entries = automa.audit(&me).list(PageRequest::default()).await.unwrap().items;
        assert_eq!(entries[0].action, Action::ScriptRestored(id));
    }

    #[tokio::test]
    async fn what_an_execution_ran_outlives_its_script() {
        let (automa, clock) = open();
        let me = Actor::embedder("ann");
        let id = deleted(&automa, &me).await;
        let execution = ran(&automa, id, 2).await;
        let operator = Actor { role: Role::Operator, ..me.clone() };
        let refused = automa.scripts(&operator).purge(id).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))));
        automa.scripts(&me).purge(id).await.unwrap();
        assert_eq!(automa.scripts(&me).deleted().await.unwrap(), []);
        assert_eq!(versions(&automa, id), [2]);
        assert!(automa.scripts(&me).restore(id).await.is_err());
        sweep(&automa.store, &*clock).await.unwrap();
        assert_eq!(versions(&automa, id), [2]);
        let remove = move |change: &mut Change| {
            Ok::<_, Error>(store::executions::remove(change, &execution)?)
        };
        automa.store.write(remove).await.unwrap();
        sweep(&automa.store, &*clock).await.unwrap();
        assert_eq!(versions(&automa, id), [0; 0]);
        let remains =
            automa.store.look(|view| Ok::<_, Error>(store::scripts::purged(view)?)).unwrap();
        assert_eq!(remains, []);
    }

    #[tokio::test]
    async fn after_thirty_days_it_is_removed_for_good() {
        let (automa, clock) = open();
        let me = Actor::embedder("ann");
        let id = deleted(&automa, &me).await;
        let at = automa.scripts(&me).deleted().await.unwrap()[0].purged_at();
        clock.set(at - SignedDuration::from_secs(1));
        sweep(&automa.store, &*clock).await.unwrap();
        assert_eq!(versions(&automa, id), [1, 2]);
        clock.set(at);
        sweep(&automa.store, &*clock).await.unwrap();
        assert_eq!(versions(&automa, id), [0; 0]);
        let entries = automa.audit(&me).list(PageRequest::default()).await.unwrap().items;
        assert_eq!(
            (&*entries[0].actor, entries[0].action),
            ("retention", Action::ScriptPurged(id))
        );
    }

    #[tokio::test]
    async fn deleted_scripts_of_others_stay_private() {
        let (automa, _clock) = open();
        let user = |number: u8| {
            let id = format!("018f0000-0000-7000-8000-00000000000{number}").parse().unwrap();
            Actor::user(id, "operator", Role::Operator, Origin::Web)
        };
        let (owner, other) = (user(1), user(2));
        let visibility = Some(crate::script::Visibility::Private);
        let new = NewScript { visibility, ..NewScript::new("x", Language::Bash, "1") };
        let id = automa.scripts(&owner).create(new).await.unwrap().id;
        automa.scripts(&owner).delete(id).await.unwrap();
        assert_eq!(automa.scripts(&other).deleted().await.unwrap(), []);
        assert!(automa.scripts(&other).restore(id).await.is_err());
        assert!(automa.scripts(&owner).restore(id).await.is_ok());
    }
}
