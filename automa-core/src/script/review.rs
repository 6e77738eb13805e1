//! Reviews: where that is asked for, a version runs as active only after somebody else than its
//! author has approved it.
//!
//! An approval is of a content, whichever version has it: what is brought back need not be approved
//! again, and what is changed has to be. As long as the newest version waits, the newest that was
//! approved runs. Drafts run as they are, by hand.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Content, Script, Scripts, Sight, Status, Version, find_seen, find_version, no_version,
    with_version,
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::{ScriptId, UserId},
    store::{
        self,
        change::{Change, Snapshot, View},
    },
};

/// Whether versions have to be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReviewRules {
    /// Whether a version runs as active only once it was approved; not so unless told.
    pub required: bool,
}

/// Somebody's word that a content may run as active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What was approved.
    pub content: Content,
    /// By whom, as named at that time.
    pub by: String,
    /// By whom, unless it was the embedding program.
    pub user: Option<UserId>,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
}

/// A script's newest version, where that has to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The script.
    pub script: Script,
    /// What is to be approved.
    pub content: Content,
    /// Who wrote it.
    pub author: String,
    /// The newest version that was approved, which runs meanwhile; `None` if nothing was.
    pub approved: Option<u32>,
}

impl Scripts<'_> {
    /// Whether versions have to be approved.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub fn review_rules(&self) -> Result<ReviewRules> {
        self.actor.require(Permission::ReadScripts)?;
        self.automa.store.look(|view| Ok(store::reviews::rules(view)?))
    }

    /// Says whether versions have to be approved, from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, and the store's.
    pub async fn set_review_rules(&self, rules: ReviewRules) -> Result<ReviewRules> {
        self.actor.require(Permission::ManageSettings)?;
        let action = Action::ReviewRulesChanged { required: rules.required };
        let entry = Entry::new(&*self.automa.clock, self.actor, action);
        let change = move |change: &mut Change| {
            store::reviews::put_rules(change, rules)?;
            store::audit::add(change, &entry)?;
            Ok(rules)
        };
        self.automa.store.write(change).await
    }

    /// Approves what a version does, which is `content`: nobody approves what they have not read.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Invalid`] if that is another version's
    /// content, or the version is the actor's own; and the store's.
    pub async fn approve(&self, id: ScriptId, number: u32, content: Content) -> Result<Approval> {
        self.actor.require(Permission::WriteScripts)?;
        let (clock, sight, name) = (&*self.automa.clock, self.sight(), self.actor.name.clone());
        let entry = Entry::new(clock, self.actor, Action::ScriptVersionApproved(id, number));
        let approval = Approval { content, by: name, user: self.actor.user, at: clock.now() };
        let change = move |change: &mut Change| {
            let (_, version) = find_version(change, &sight, id, Some(number))?;
            let invalid = |field, reason| Err(Error::Invalid(vec![FieldError::new(field, reason)]));
            if version.content != content {
                return invalid("content_sha256", "is not what this version does: read it again");
            }
            if version.author == approval.by {
                return invalid("version", "is your own: somebody else has to approve it");
            }
            store::reviews::put(change, id, number, &approval)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(approval.clone())
        };
        self.automa.store.write(change).await
    }

    /// The review that a script waits for; `None` if its newest version may run as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn review(&self, id: ScriptId) -> Result<Option<Review>> {
        self.actor.require(Permission::ReadScripts)?;
        let sight = self.sight();
        let look = move |view: &Snapshot| review(view, find_seen(view, &sight, id)?);
        self.automa.store.read(look).await
    }

    /// The reviews that active scripts wait for, newest script first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn reviews(&self) -> Result<Vec<Review>> {
        self.actor.require(Permission::ReadScripts)?;
        let sight = self.sight();
        let list = move |view: &Snapshot| {
            let mut scripts = Vec::new();
            store::scripts::each(view, None, |script| {
                if sight.sees(&script) && script.status == Status::Active {
                    scripts.push(script);
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            scripts.into_iter().filter_map(|script| review(view, script).transpose()).collect()
        };
        self.automa.store.read(list).await
    }
}

fn review(view: &Snapshot, script: Script) -> Result<Option<Review>> {
    if !store::reviews::rules(view)?.required {
        return Ok(None);
    }
    let newest = store::scripts::version(view, script.id, script.version)?;
    let newest = newest.ok_or_else(|| no_version(script.id, script.version))?;
    let approved = newest_approved(view, &script)?.map(|version| version.number);
    let (content, author) = (newest.content, newest.author);
    let waits = approved != Some(script.version);
    Ok(waits.then_some(Review { script, content, author, approved }))
}

/// The newest version of a script whose content was approved.
fn newest_approved(view: &impl View, script: &Script) -> Result<Option<Version>> {
    let approvals = store::reviews::of_script(view, script.id)?;
    if approvals.is_empty() {
        return Ok(None);
    }
    for number in (1..=script.version).rev() {
        let version = store::scripts::version(view, script.id, number)?;
        let approved = |it: &Version| approvals.iter().any(|one| one.content == it.content);
        if let Some(version) = version.filter(approved) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// A script with the version of it that runs, by hand: the one that is told, or the newest. Where
/// versions have to be approved, an active script runs none that was not.
pub(crate) fn find_to_run(
    view: &impl View,
    sight: &Sight,
    id: ScriptId,
    number: Option<u32>,
) -> Result<(Script, Version)> {
    let script = find_seen(view, sight, id)?;
    if script.status == Status::Active {
        return to_run_active(view, script, number);
    }
    with_version(view, script, number)
}

/// The same of a script that is active.
pub(super) fn to_run_active(
    view: &impl View,
    script: Script,
    number: Option<u32>,
) -> Result<(Script, Version)> {
    if !store::reviews::rules(view)?.required {
        return with_version(view, script, number);
    }
    let Some(number) = number else {
        return match newest_approved(view, &script)? {
            Some(version) => Ok((script, version)),
            None => Err(Error::NotApproved { version: script.version, name: script.name }),
        };
    };
    let (script, version) = with_version(view, script, Some(number))?;
    let approvals = store::reviews::of_script(view, script.id)?;
    if approvals.iter().any(|one| one.content == version.content) {
        Ok((script, version))
    } else {
        Err(Error::NotApproved { version: number, name: script.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Automa,
        actor::{Actor, Origin, Role},
        clock::TestClock,
        page::PageRequest,
        script::{Language, NewScript, find_for_schedule},
        store::record::golden::assert_bytes,
    };

    fn new(source: &str) -> NewScript {
        NewScript::new("x", Language::Bash, source)
    }

    fn user(number: u8, role: Role) -> Actor {
        let id = format!("018f0000-0000-7000-8000-00000000000{number}").parse().unwrap();
        Actor::user(id, format!("user {number}"), role, Origin::Web)
    }

    async fn automa() -> (Automa, ScriptId) {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let automa = Automa::builder().in_memory().clock(clock).open().unwrap();
        let id = automa.scripts(&user(1, Role::Operator)).create(new("1")).await.unwrap().id;
        let rules = ReviewRules { required: true };
        automa.scripts(&user(9, Role::Admin)).set_review_rules(rules).await.unwrap();
        (automa, id)
    }

    /// The number of the version that would run by itself, and by hand.
    fn runs(automa: &Automa, id: ScriptId, number: Option<u32>) -> Option<u32> {
        let unattended = automa.store.look(|view| find_for_schedule(view, id, number));
        let by_hand = automa.store.look(|view| find_to_run(view, &Sight::ALL, id, number));
        let run = |result: Result<(Script, Version)>| match result {
            Ok((_, version)) => Some(version.number),
            Err(Error::NotApproved { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let (unattended, by_hand) = (run(unattended), run(by_hand));
        assert_eq!(unattended, by_hand);
        by_hand
    }

    #[tokio::test]
    async fn the_newest_approved_version_runs_and_nobody_approves_their_own() {
        let (automa, id) = automa().await;
        let (author, other) = (user(1, Role::Operator), user(2, Role::Operator));
        let (mine, others) = (automa.scripts(&author), automa.scripts(&other));
        let content = async |number| mine.version(id, number).await.unwrap().content;
        assert_eq!((runs(&automa, id, None), runs(&automa, id, Some(1))), (None, None));
        let waiting = others.reviews().await.unwrap();
        assert_eq!((waiting.len(), waiting[0].approved, &*waiting[0].author), (1, None, "user 1"));

        let first = content(1).await;
        for (refused, field) in [
            (mine.approve(id, 1, first).await, "version"),
            (others.approve(id, 1, Content::default()).await, "content_sha256"),
        ] {
            let Err(Error::Invalid(fields)) = refused else { panic!("{refused:?}") };
            assert_eq!(fields[0].field, field);
        }
        assert!(automa.scripts(&user(3, Role::Viewer)).approve(id, 1, first).await.is_err());
        let approval = others.approve(id, 1, first).await.unwrap();
        assert_eq!((&*approval.by, approval.content), ("user 2", first));
        assert_eq!((runs(&automa, id, None), others.reviews().await.unwrap()), (Some(1), vec![]));

        // A change waits, and the former version runs meanwhile.
        mine.update(id, 1, new("2")).await.unwrap();
        assert_eq!((runs(&automa, id, None), runs(&automa, id, Some(2))), (Some(1), None));
        assert_eq!(others.review(id).await.unwrap().unwrap().approved, Some(1));
        // What is brought back was approved before.
        mine.roll_back(id, 2, 1).await.unwrap();
        assert_eq!((runs(&automa, id, None), runs(&automa, id, Some(3))), (Some(3), Some(3)));
        assert_eq!(others.review(id).await.unwrap(), None);

        let entries = automa.audit(&user(9, Role::Admin)).list(PageRequest::default()).await;
        let actions: Vec<_> = entries.unwrap().items.into_iter().map(|it| it.action).collect();
        assert!(actions.contains(&Action::ScriptVersionApproved(id, 1)));
        assert!(actions.contains(&Action::ReviewRulesChanged { required: true }));
    }

    #[tokio::test]
    async fn drafts_run_by_hand_and_without_the_rule_everything_does() {
        let (automa, id) = automa().await;
        let author = user(1, Role::Operator);
        let scripts = automa.scripts(&author);
        scripts.set_status(id, Status::Draft, false).await.unwrap();
        let by_hand = automa.store.look(|view| find_to_run(view, &Sight::ALL, id, None));
        assert_eq!(by_hand.unwrap().1.number, 1);
        assert_eq!(scripts.reviews().await.unwrap(), []);
        scripts.set_status(id, Status::Active, false).await.unwrap();
        assert_eq!(runs(&automa, id, None), None);
        let off = ReviewRules::default();
        assert!(scripts.set_review_rules(off).await.is_err());
        automa.scripts(&user(9, Role::Admin)).set_review_rules(off).await.unwrap();
        assert_eq!((runs(&automa, id, None), scripts.review(id).await.unwrap()), (Some(1), None));
    }

    /// If this fails, the stored format has changed: make a new version of the record instead of
    /// changing the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let content = Content::default();
        let approval = Approval { content, by: "eve".to_owned(), user: None, at };
        let bytes = format!("01{}0365766500808082e288d2a306", "00".repeat(32));
        assert_bytes(&approval, &bytes);
        assert_bytes(&ReviewRules { required: true }, "0101");
    }
}
