use std::sync::Arc;

use super::{
    sign_in::{Proven, SWEEP},
    *,
};
use crate::{
    actor::Role,
    clock::{Clock, TestClock},
    page::PageRequest,
    store::record::{Record, golden::assert_bytes},
    user::{SecretString, tests::new_user},
};

/// An Automa with the user Ada, and its clock.
async fn with_ada() -> (Automa, Arc<TestClock>, User) {
    let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let automa = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
    let me = Actor::embedder("test");
    let ada = automa.users(&me).create(new_user("Ada", Role::Operator)).await.unwrap();
    (automa, clock, ada)
}

fn client() -> Client {
    Client { origin: Origin::Web, address: Some("::1".to_owned()), agent: Some("test".to_owned()) }
}

fn right() -> SecretString {
    "correct horse".into()
}

/// What was done since Ada was created, oldest first.
async fn audited(automa: &Automa) -> Vec<Entry> {
    let me = Actor::embedder("test");
    let mut entries = automa.audit(&me).list(PageRequest::default()).await.unwrap().items;
    entries.reverse();
    assert!(matches!(entries.remove(0).action, Action::UserCreated(_)));
    entries
}

fn count(automa: &Automa) -> (u64, u64) {
    automa.store.look(|view| Ok::<_, Error>(store::sessions::count(view)?)).unwrap()
}

fn assert_ended<T: std::fmt::Debug>(result: &Result<T>) {
    assert!(matches!(result, Err(Error::SessionEnded)), "{result:?}");
}

#[tokio::test]
async fn one_signs_in_by_name_or_address_in_whatever_case() {
    let (automa, clock, ada) = with_ada().await;
    let sessions = automa.sessions();
    for name in ["Ada", "aDA", " ada ", "ADA@example.com", "ada@Example.COM\n"] {
        let SignedIn { user, session } = sessions.sign_in(name, &right(), client()).await.unwrap();
        assert_eq!((&user, session.user, session.generation), (&ada, ada.id, 0));
        assert_eq!(session.expires_at, clock.now() + LIFETIME);
        assert_eq!(session.client, client());
        let (user, actor) = sessions.resume(session.id, Origin::Api).unwrap();
        assert_eq!(user, ada);
        assert_eq!(actor, Actor::user(ada.id, "Ada", Role::Operator, Origin::Api));
        let entry = audited(&automa).await.pop().unwrap();
        assert_eq!(entry.action, Action::SignedIn(session.id));
        assert_eq!((&*entry.actor, entry.user, entry.origin), ("Ada", Some(ada.id), Origin::Web));
        assert_eq!(entry.address.as_deref(), Some("::1"));
    }
}

#[tokio::test]
async fn a_refused_sign_in_tells_nothing_costs_the_same_and_is_remembered() {
    let (automa, clock, _) = with_ada().await;
    let sessions = automa.sessions();
    let long = "x".repeat(10_000);
    let cases = [
        ("Ada", "wrong horse"),
        ("Ada", ""),
        ("Ada", &long),
        ("eve", "correct horse"),
        ("", "correct horse"),
        (&long, "correct horse"),
    ];
    for (name, password) in cases {
        let (before, changes) = (automa.passwords.computed(), automa.store.stats().changes);
        let refused = sessions.sign_in(name, &password.into(), client()).await.unwrap_err();
        assert!(matches!(refused, Error::WrongPassword), "{refused}");
        assert_eq!(refused.to_string(), "the name or the password is wrong");
        assert_eq!(automa.passwords.computed(), before + 1, "{name:?} {password:?}");
        assert_eq!(automa.store.stats().changes, changes + 1);
        let entry = audited(&automa).await.pop().unwrap();
        assert_eq!((entry.action, entry.user), (Action::SignInRefused, None));
        assert_eq!(entry.actor, name.chars().take(64).collect::<String>());
        assert_eq!(entry.address.as_deref(), Some("::1"));
        // Within a minute, the same again would only be counted.
        clock.advance(SignedDuration::from_mins(1));
    }
    assert_eq!(count(&automa), (0, 0));
}

#[tokio::test]
async fn a_password_that_changes_while_it_is_checked_opens_nothing() {
    let (automa, clock, ada) = with_ada().await;
    let stored = || {
        let hash = automa.store.look(|view| Ok::<_, Error>(store::users::password(view, ada.id)?));
        hash.unwrap().unwrap()
    };
    let (old, new) = (stored(), automa.passwords.hash(&*clock, &right()).await.unwrap());
    // The first proves the old one and stores the new one, the second proves what is gone.
    let sessions = automa.sessions();
    let proven = || Some(Proven { stored: old.clone(), renewed: Some(new.clone()) });
    let (one, other) = tokio::join!(
        sessions.open(&ada, client(), proven()),
        sessions.open(&ada, client(), proven())
    );
    assert!(one.unwrap().is_some());
    assert_eq!(other.unwrap(), None);
    assert_eq!((count(&automa), stored()), ((1, 1), new));
    assert_eq!(audited(&automa).await.len(), 1);
    assert!(sessions.sign_in("ada", &right(), client()).await.is_ok());
}

#[tokio::test]
async fn text_from_outside_is_kept_as_one_short_line() {
    let (automa, _, _) = with_ada().await;
    let sessions = automa.sessions();
    let hostile =
        Client { address: Some("a".repeat(65)), agent: Some("b\u{7}".repeat(150)), ..client() };
    let signed_in = sessions.sign_in("ada", &right(), hostile.clone()).await.unwrap();
    let kept = signed_in.session.client;
    assert_eq!(kept.address.unwrap(), "a".repeat(64));
    assert_eq!(kept.agent.unwrap(), "b\u{fffd}".repeat(100));
    let name = "eve\n\u{202e}\u{1b}[2J";
    sessions.sign_in(name, &right(), hostile).await.unwrap_err();
    let entry = audited(&automa).await.pop().unwrap();
    assert_eq!(entry.actor, "eve\u{fffd}\u{fffd}\u{fffd}[2J");
}

#[tokio::test]
async fn a_session_begins_without_a_password_for_who_was_just_created() {
    let (automa, _, ada) = with_ada().await;
    let SignedIn { user, session } = automa.sessions().begin(ada.id, client()).await.unwrap();
    assert_eq!((user, session.generation), (ada, 0));
    assert_eq!(audited(&automa).await[0].action, Action::SignedIn(session.id));
    let unknown = automa.sessions().begin(UserId::MIN, client()).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound { kind: "user", .. }), "{unknown}");
}

#[tokio::test]
async fn each_refresh_makes_the_next_generation_and_seven_more_days() {
    let (automa, clock, ada) = with_ada().await;
    let sessions = automa.sessions();
    let session = sessions.begin(ada.id, client()).await.unwrap().session;
    let began = clock.now();
    for generation in 0..5 {
        clock.advance(LIFETIME - SignedDuration::from_secs(1));
        let next = sessions.refresh(session.id, generation).await.unwrap();
        assert_eq!((next.user.id, next.session.id), (ada.id, session.id));
        assert_eq!(next.session.generation, generation + 1);
        assert_eq!(next.session.refreshed_at, clock.now());
        assert_eq!(next.session.expires_at, clock.now() + LIFETIME);
        assert_eq!(next.session.created_at, began);
        assert!(sessions.resume(session.id, Origin::Web).is_ok());
        assert_eq!(count(&automa), (1, 1), "the index follows");
    }
    assert_eq!(audited(&automa).await.len(), 1, "a refresh is nothing to tell of");
}

#[tokio::test]
async fn the_generation_before_is_accepted_for_thirty_seconds() {
    let (automa, clock, ada) = with_ada().await;
    let sessions = automa.sessions();
    let id = sessions.begin(ada.id, client()).await.unwrap().session.id;
    // Two tabs at once.
    let (one, other) = tokio::join!(sessions.refresh(id, 0), sessions.refresh(id, 0));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.session.generation, 1);
    assert_eq!(one, other, "the second changes nothing");
    clock.advance(GRACE);
    assert_eq!(sessions.refresh(id, 0).await.unwrap(), one);
    // The clock steps back a little.
    clock.advance(-GRACE - SignedDuration::from_secs(10));
    assert_eq!(sessions.refresh(id, 0).await.unwrap(), one);
    clock.advance(GRACE + SignedDuration::from_secs(11));
    assert_ended(&sessions.refresh(id, 0).await);
    assert_ended(&sessions.resume(id, Origin::Web));
}

#[tokio::test]
async fn an_older_generation_ends_the_session_for_everybody() {
    let (automa, _, ada) = with_ada().await;
    let sessions = automa.sessions();
    let other = sessions.begin(ada.id, client()).await.unwrap().session.id;
    let id = sessions.begin(ada.id, client()).await.unwrap().session.id;
    sessions.refresh(id, 0).await.unwrap();
    sessions.refresh(id, 1).await.unwrap();
    let mut events = automa.events();
    // At once, which is no excuse for the one before the last.
    assert_ended(&sessions.refresh(id, 0).await);
    assert_ended(&sessions.refresh(id, 2).await);
    assert_ended(&sessions.resume(id, Origin::Web));
    assert_eq!(events.try_next(), Some(Event::SessionEnded(id)));
    let entry = audited(&automa).await.pop().unwrap();
    assert_eq!((entry.action, entry.user), (Action::SessionReused(id), Some(ada.id)));
    assert!(sessions.resume(other, Origin::Web).is_ok(), "others go on");
    assert_eq!(count(&automa), (1, 1));
}

#[tokio::test]
async fn a_generation_that_was_never_given_is_refused() {
    let (automa, _, ada) = with_ada().await;
    let sessions = automa.sessions();
    let id = sessions.begin(ada.id, client()).await.unwrap().session.id;
    for generation in [1, 2, u32::MAX] {
        assert_ended(&sessions.refresh(id, generation).await);
    }
    assert_ended(&sessions.refresh(SessionId::MAX, 0).await);
    assert!(sessions.refresh(id, 0).await.is_ok());
}

#[tokio::test]
async fn a_session_expires_seven_days_after_its_last_refresh() {
    let (automa, clock, ada) = with_ada().await;
    let sessions = automa.sessions();
    let id = sessions.begin(ada.id, client()).await.unwrap().session.id;
    clock.advance(LIFETIME - SignedDuration::from_micros(1));
    assert!(sessions.resume(id, Origin::Web).is_ok());
    clock.advance(SignedDuration::from_micros(1));
    assert_ended(&sessions.resume(id, Origin::Web));
    assert_ended(&sessions.refresh(id, 0).await);
    sessions.end(id).await.unwrap();
    assert_eq!(count(&automa), (1, 1), "it is removed by the next sign-in");
    sessions.sign_in("ada", &right(), client()).await.unwrap();
    assert_eq!(count(&automa), (1, 1));
}

#[tokio::test]
async fn a_clock_that_steps_back_ends_no_session_and_one_that_steps_forward_may() {
    let (automa, clock, ada) = with_ada().await;
    let sessions = automa.sessions();
    let [left, used] = [(); 2].map(|()| sessions.begin(ada.id, client()));
    let (left, used) = (left.await.unwrap().session.id, used.await.unwrap().session.id);
    let year = SignedDuration::from_hours(365 * 24);
    clock.advance(-year);
    assert!(sessions.resume(left, Origin::Web).is_ok());
    // A refresh counts by the clock as it is then.
    let refreshed = sessions.refresh(used, 0).await.unwrap().session;
    assert_eq!(refreshed.expires_at, clock.now() + LIFETIME);
    clock.advance(year);
    assert!(sessions.resume(left, Origin::Web).is_ok(), "it has most of its seven days");
    assert_ended(&sessions.resume(used, Origin::Web));
    clock.advance(LIFETIME);
    assert_ended(&sessions.resume(left, Origin::Web));
}

#[tokio::test]
async fn one_sign_in_removes_a_bounded_number_of_expired_sessions() {
    let (automa, clock, ada) = with_ada().await;
    let sessions = automa.sessions();
    for _ in 0..SWEEP + 20 {
        sessions.begin(ada.id, client()).await.unwrap();
        clock.advance(SignedDuration::from_secs(1));
    }
    let kept = sessions.begin(ada.id, client()).await.unwrap().session.id;
    clock.advance(LIFETIME - SignedDuration::from_secs(1));
    sessions.begin(ada.id, client()).await.unwrap();
    assert_eq!(count(&automa), (22, 22));
    sessions.begin(ada.id, client()).await.unwrap();
    assert_eq!(count(&automa), (3, 3));
    assert!(sessions.resume(kept, Origin::Web).is_ok());
}

#[tokio::test]
async fn who_signed_out_is_out_at_once() {
    let (automa, _, ada) = with_ada().await;
    let sessions = automa.sessions();
    let id = sessions.sign_in("ada", &right(), client()).await.unwrap().session.id;
    let mut events = automa.events();
    // Both at once, and again: it ends once.
    let (one, other) = tokio::join!(sessions.end(id), sessions.end(id));
    one.unwrap();
    other.unwrap();
    sessions.end(id).await.unwrap();
    assert_ended(&sessions.resume(id, Origin::Web));
    assert_ended(&sessions.refresh(id, 0).await);
    assert_eq!((events.try_next(), events.try_next()), (Some(Event::SessionEnded(id)), None));
    let entries = audited(&automa).await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!((entries[1].action, entries[1].user), (Action::SignedOut(id), Some(ada.id)));
    assert_eq!(count(&automa), (0, 0));
}

#[tokio::test]
async fn a_session_survives_reopening() {
    let data = tempfile::tempdir().unwrap();
    let me = Actor::embedder("test");
    let automa = Automa::builder().directory(data.path()).open().unwrap();
    automa.users(&me).create(new_user("ada", Role::Viewer)).await.unwrap();
    let session = automa.sessions().sign_in("ada", &right(), client()).await.unwrap().session;
    automa.close().await;
    drop(automa);
    let automa = Automa::builder().directory(data.path()).open().unwrap();
    assert!(automa.sessions().resume(session.id, Origin::Web).is_ok());
    assert_eq!(automa.sessions().refresh(session.id, 0).await.unwrap().session.generation, 1);
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let session = Session {
        id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
        user: "018f0000-0000-7000-8000-000000000002".parse().unwrap(),
        generation: 3,
        created_at: at,
        refreshed_at: at,
        expires_at: end_of_life(at),
        client: Client { agent: None, ..client() },
    };
    assert_bytes(&session, SESSION_V1);
    for damaged in [&[][..], &[0], &[1], &[2, 3], &[1, 255]] {
        assert!(Session::decode(damaged).is_err());
    }
}

const SESSION_V1: &str = "01018f0000000070008000000000000001018f000000007000800000000000000203808082e288d2a306808082e288d2a30680809ff0a2f5a3060001033a3a3100";
