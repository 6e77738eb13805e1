//! The audit log as a whole: found, counted, signed, removed.

use jiff::SignedDuration;

use super::super::*;
use crate::{
    clock::TestClock,
    retention::Rules,
    script::{Language, NewScript},
};

fn me() -> Actor {
    Actor::embedder("ada")
}

pub(super) fn open() -> (Automa, std::sync::Arc<TestClock>) {
    let clock = std::sync::Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    (Automa::builder().in_memory().clock(std::sync::Arc::clone(&clock)).open().unwrap(), clock)
}

pub(super) fn keeping(automa: &Automa) -> Keeping {
    Keeping {
        store: automa.store.clone(),
        clock: std::sync::Arc::clone(&automa.clock),
        key: std::sync::Arc::clone(&automa.audit_key),
        refusals: std::sync::Arc::clone(&automa.refusals),
    }
}

pub(super) async fn create(automa: &Automa, actor: &Actor, name: &str) -> ScriptId {
    let new = NewScript::new(name, Language::Bash, "true");
    automa.scripts(actor).create(new).await.unwrap().id
}

async fn verdict(automa: &Automa) -> Verdict {
    automa.audit(&me()).verify(vec![], vec![]).await.unwrap()
}

#[tokio::test]
async fn entries_are_found_by_all_that_they_are_about() {
    let (automa, clock) = open();
    let eve = Actor::nobody("eve", Origin::Api).at(Some([192, 0, 2, 7].into()));
    let first = create(&automa, &me(), "first").await;
    clock.advance(SignedDuration::from_hours(1));
    let noon = clock.now();
    let second = create(&automa, &Actor::embedder("bob"), "second").await;
    automa.scripts(&me()).delete(first).await.unwrap();
    let about = Some(Resource::Script(second));
    automa
        .audit(&eve)
        .note_refused(about, "DELETE: a viewer may not change scripts")
        .await
        .unwrap();

    let find = async |filter: Filter| {
        let page = automa.audit(&me()).find(filter, PageRequest::default()).await.unwrap();
        assert_eq!(page.next_cursor, None);
        page.items.iter().map(|it| format!("{} {}", it.actor, it.action.name())).collect::<Vec<_>>()
    };
    let all =
        ["eve request.refused", "ada script.deleted", "bob script.created", "ada script.created"];
    let base = Filter::default;
    assert_eq!(find(base()).await, all);
    assert_eq!(find(Filter { actor: Some("ada".into()), ..base() }).await, [all[1], all[3]]);
    let created = vec!["script.created".to_owned(), "no.such".to_owned()];
    assert_eq!(find(Filter { actions: created.clone(), ..base() }).await, all[2..]);
    let scripts = Filter::actions_of("script").map(str::to_owned).collect();
    assert_eq!(find(Filter { actions: scripts, ..base() }).await, all[1..]);
    let resource = Some(Resource::Script(second));
    assert_eq!(find(Filter { resource, ..base() }).await, [all[0], all[2]]);
    let refused = Some(Outcome::Refused);
    assert_eq!(find(Filter { outcome: refused, ..base() }).await, [all[0]]);
    assert_eq!(find(Filter { outcome: Some(Outcome::Done), ..base() }).await, all[1..]);
    assert_eq!(find(Filter { from: Some(noon), ..base() }).await, all[..3]);
    assert_eq!(find(Filter { until: Some(noon), ..base() }).await, all[3..]);
    let actor = Some("ada".to_owned());
    let both =
        Filter { actor, actions: created, resource: Some(Resource::Script(first)), ..base() };
    assert_eq!(find(both).await, [all[3]]);

    let newest = automa.audit(&me()).list(PageRequest::default()).await.unwrap().items.remove(0);
    assert_eq!((newest.number, newest.times, newest.address.as_deref()), (4, 1, Some("192.0.2.7")));
    assert_eq!(newest.detail.as_deref(), Some("DELETE: a viewer may not change scripts"));
}

#[tokio::test]
async fn checkpoints_are_signed_when_there_is_enough_or_it_is_long_ago_and_in_the_end() {
    let (automa, clock) = open();
    let keeping = keeping(&automa);
    let signed = async || verdict(&automa).await.signed.map(|it| it.number);
    keeping.look(false).await.unwrap();
    assert_eq!(signed().await, None, "there is nothing yet");
    create(&automa, &me(), "a").await;
    keeping.look(false).await.unwrap();
    assert_eq!(signed().await, Some(1), "the first is signed at once");
    create(&automa, &me(), "b").await;
    keeping.look(false).await.unwrap();
    assert_eq!(signed().await, Some(1));
    clock.advance(SignedDuration::from_hours(1));
    keeping.look(false).await.unwrap();
    assert_eq!(signed().await, Some(2));
    let many = (0..1000).map(|_| Entry::new(&*clock, &me(), Action::RetentionChanged)).collect();
    write(&automa.store, many).await.unwrap();
    keeping.look(false).await.unwrap();
    assert_eq!(signed().await, Some(1002));
    create(&automa, &me(), "c").await;
    keeping.look(true).await.unwrap();
    let verdict = verdict(&automa).await;
    assert_eq!((verdict.entries, verdict.checkpoints, verdict.broken), (1003, 4, None));
    assert_eq!(verdict.signed.unwrap().key, automa.audit(&me()).public_key().unwrap());
}

#[tokio::test]
async fn what_is_refused_often_is_counted_and_told_when_its_minute_is_over() {
    let (automa, clock) = open();
    let eve = Actor::nobody("eve", Origin::Api);
    for _ in 0..50 {
        automa.audit(&eve).note_refused(None, "GET /api/v1/users").await.unwrap();
    }
    clock.advance(SignedDuration::from_mins(1));
    keeping(&automa).look(false).await.unwrap();
    let entries = automa.audit(&me()).list(PageRequest::default()).await.unwrap().items;
    let told: Vec<_> = entries.iter().map(|it| (it.outcome, it.times)).collect();
    assert_eq!(told, [(Outcome::Refused, 49), (Outcome::Refused, 1)]);
}

#[tokio::test]
async fn what_is_beyond_its_time_is_removed_and_the_rest_still_proves_itself() {
    let (automa, clock) = open();
    let keeping = keeping(&automa);
    let many = (0..2500).map(|_| Entry::new(&*clock, &me(), Action::RetentionChanged)).collect();
    write(&automa.store, many).await.unwrap();
    keeping.look(false).await.unwrap();
    let kept = verdict(&automa).await.signed.unwrap();
    clock.advance(SignedDuration::from_hours(24 * 31));
    create(&automa, &me(), "young").await;
    keeping.look(true).await.unwrap();
    let later = verdict(&automa).await.signed.unwrap();
    keeping.prune().await.unwrap();
    assert_eq!(verdict(&automa).await.entries, 2501, "nobody has said for how long");
    let rules = Rules { audit_days: Some(30), ..Rules::default() };
    automa.retention(&me()).set(rules).await.unwrap();
    keeping.prune().await.unwrap();
    let found = automa.audit(&me()).verify(vec![], vec![kept, later]).await.unwrap();
    assert_eq!((found.first, found.entries, found.broken), (2501, 3, None));
    let entries = automa.audit(&me()).list(PageRequest::default()).await.unwrap().items;
    assert_eq!(entries[0].action, Action::AuditPruned { entries: 2500, last: 2500 });
    // All of it may go, and the chain goes on.
    clock.advance(SignedDuration::from_hours(24 * 31));
    keeping.prune().await.unwrap();
    create(&automa, &me(), "last").await;
    let found = verdict(&automa).await;
    assert_eq!((found.first, found.last, found.broken), (2504, 2505, None));
}

#[tokio::test]
async fn only_admins_read_the_log_and_verify_it() {
    let (automa, _) = open();
    let operator = Actor { role: crate::actor::Role::Operator, ..me() };
    let audit = automa.audit(&operator);
    assert!(audit.list(PageRequest::default()).await.is_err());
    assert!(audit.verify(vec![], vec![]).await.is_err());
    assert!(audit.public_key().is_err());
}
