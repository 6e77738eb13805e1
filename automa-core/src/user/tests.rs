use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::{
    actor::Origin,
    clock::TestClock,
    id::SessionId,
    page::Limit,
    session::{Client, SignedIn},
    store::record::{
        Record,
        golden::{assert_bytes, assert_reads},
    },
};

/// An Automa without users, in 2026.
pub(crate) fn automa() -> Automa {
    let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
    Automa::builder().in_memory().clock(clock).open().unwrap()
}

pub(crate) fn new_user(username: &str, role: Role) -> NewUser {
    NewUser {
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        password: "correct horse".into(),
        role,
    }
}

fn admin() -> Actor {
    Actor::embedder("test")
}

fn named(fields: &[&str]) -> Vec<String> {
    fields.iter().map(ToString::to_string).collect()
}

fn wrong(error: &Error) -> Vec<String> {
    let Error::Invalid(errors) = error else { panic!("{error}") };
    errors.iter().map(|error| error.field.to_string()).collect()
}

#[tokio::test]
async fn a_user_is_created_with_an_audit_entry_and_an_event() {
    let (automa, admin) = (automa(), admin());
    let mut events = automa.events();
    let users = automa.users(&admin);
    let user = users.create(new_user("Ada", Role::Operator)).await.unwrap();
    assert_eq!((user.username.as_str(), user.email.as_str()), ("Ada", "Ada@example.com"));
    assert_eq!(users.get(user.id).unwrap(), user);
    assert_eq!(events.try_next(), Some(Event::UserChanged(user.id)));
    let entries = automa.audit(&admin).list(PageRequest::default()).await.unwrap().items;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.action, &*entry.actor), (Action::UserCreated(user.id), "test"));
}

#[tokio::test]
async fn names_and_addresses_are_those_of_one_user_in_whatever_case() {
    let (automa, admin) = (automa(), admin());
    let users = automa.users(&admin);
    users.create(new_user("ada", Role::Viewer)).await.unwrap();
    let cases = [
        ("ADA", "other@example.com", &["username"][..]),
        ("bob", "ADA@Example.com", &["email"]),
        ("Ada", "ada@EXAMPLE.com", &["username", "email"]),
    ];
    for (username, email, expected) in cases {
        let new = NewUser { email: email.to_owned(), ..new_user(username, Role::Viewer) };
        let error = users.create(new).await.unwrap_err();
        assert_eq!(wrong(&error), expected, "{error}");
    }
    // Nothing of those that were refused was kept.
    users.create(new_user("bob", Role::Viewer)).await.unwrap();
    let page = users
        .list(UserFilter::default(), PageRequest { limit: Limit::new(1).unwrap(), cursor: None })
        .await;
    let page = page.unwrap();
    assert_eq!(page.items[0].username, "bob");
    let next = PageRequest { cursor: page.next_cursor, ..PageRequest::default() };
    let next = users.list(UserFilter::default(), next).await.unwrap();
    assert_eq!((next.items.len(), &*next.items[0].username), (1, "ada"));
}

#[tokio::test]
async fn two_at_once_do_not_get_the_same_name() {
    let (automa, admin) = (automa(), admin());
    let users = automa.users(&admin);
    let new = || users.create(new_user("ada", Role::Viewer));
    let (one, other) = tokio::join!(new(), new());
    assert_eq!([&one, &other].into_iter().filter(|result| result.is_ok()).count(), 1);
    let refused = one.err().or(other.err()).unwrap();
    assert_eq!(wrong(&refused), ["username", "email"]);
    let entries = automa.audit(&admin).list(PageRequest::default()).await.unwrap().items;
    assert_eq!(entries.len(), 1, "what was refused leaves no entry");
}

#[tokio::test]
async fn only_admins_manage_users_but_everybody_sees_oneself() {
    let (automa, embedder) = (automa(), admin());
    let users = automa.users(&embedder);
    let ada = users.create(new_user("ada", Role::Operator)).await.unwrap();
    let bob = users.create(new_user("bob", Role::Admin)).await.unwrap();
    let as_ada = Actor::user(ada.id, "ada", ada.role, Origin::Web);
    let users = automa.users(&as_ada);
    assert_eq!(users.get(ada.id).unwrap(), ada);
    for refused in [
        users.get(bob.id).map(drop),
        users.list(UserFilter::default(), PageRequest::default()).await.map(drop),
        users.create(new_user("eve", Role::Admin)).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.to_string(), "an operator may not manage users");
    }
    let as_bob = Actor::user(bob.id, "bob", bob.role, Origin::Web);
    assert_eq!(automa.users(&as_bob).get(ada.id).unwrap(), ada);
    let unknown = automa.users(&as_bob).get(UserId::MIN).unwrap_err();
    assert!(matches!(unknown, Error::NotFound { kind: "user", .. }), "{unknown}");
}

#[test]
fn every_wrong_field_is_named() {
    let wrong_of = |new: &NewUser| new.check().map_err(|error| wrong(&error));
    let ada = || new_user("ada", Role::Viewer);
    let long_name = "x".repeat(65);
    for username in ["", ".ada", "-ada", "a da", "a@b", "ädä", "a\n", &long_name] {
        let new = NewUser { username: username.to_owned(), ..ada() };
        assert_eq!(wrong_of(&new), Err(named(&["username"])), "{username:?}");
    }
    let long_address = format!("{}@example.com", "x".repeat(243));
    for email in [
        "",
        "ada",
        "@",
        "ada@",
        "@example.com",
        "a@b@c",
        "a b@c",
        "a@b\t",
        "a@\u{85}b",
        &long_address,
    ] {
        let new = NewUser { email: email.to_owned(), ..ada() };
        assert_eq!(wrong_of(&new), Err(named(&["email"])), "{email:?}");
    }
    let long_password = "x".repeat(1025);
    for password in ["", "eleven char", "äöüäöüäöüäö", "Ada@Example.com", &long_password]
    {
        let new = NewUser { password: password.into(), ..ada() };
        assert_eq!(wrong_of(&new), Err(named(&["password"])), "{password:?}");
    }
    let same =
        NewUser { password: "Administrator".into(), ..new_user("administrator", Role::Admin) };
    assert_eq!(wrong_of(&same), Err(named(&["password"])));
    let none = NewUser {
        username: String::new(),
        email: String::new(),
        password: "".into(),
        role: Role::Viewer,
    };
    assert_eq!(wrong_of(&none), Err(named(&["username", "email", "password"])));
    let long_password: String = (0..999).map(|number| number.to_string()).collect();
    let at_the_limits = NewUser {
        username: "x".repeat(64),
        email: format!("{}@example.com", "x".repeat(242)),
        password: long_password[..1024].into(),
        role: Role::Viewer,
    };
    assert!(at_the_limits.check().is_ok());
    let shortest = NewUser { username: "7".to_owned(), email: "a@b".to_owned(), ..ada() };
    assert!(shortest.check().is_ok());
}

#[test]
fn a_password_is_not_shown() {
    let shown = format!("{:?}", new_user("ada", Role::Viewer));
    assert!(shown.contains("ada") && !shown.contains("horse"), "{shown}");
}

/// An Automa with the admin Ada and the operator Bob, and its clock.
async fn with_people() -> (Automa, Arc<TestClock>, User, User) {
    let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let automa = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
    let me = admin();
    let ada = automa.users(&me).create(new_user("ada", Role::Admin)).await.unwrap();
    let bob = automa.users(&me).create(new_user("bob", Role::Operator)).await.unwrap();
    (automa, clock, ada, bob)
}

fn client() -> Client {
    Client { origin: Origin::Web, address: None, agent: None }
}

async fn sign_in(automa: &Automa, name: &str, password: &str) -> Result<SignedIn> {
    automa.sessions().sign_in(name, &password.into(), client()).await
}

/// The sign-in of a user, whose password is the usual one.
async fn signed_in(automa: &Automa, name: &str) -> (Actor, SessionId) {
    let SignedIn { user, session } = sign_in(automa, name, "correct horse").await.unwrap();
    (Actor::user(user.id, user.username, user.role, Origin::Web), session.id)
}

fn goes_on(automa: &Automa, session: SessionId) -> bool {
    automa.sessions().resume(session, Origin::Web).is_ok()
}

/// What was done, newest first.
async fn actions(automa: &Automa) -> Vec<Action> {
    let entries = automa.audit(&admin()).list(PageRequest::default()).await.unwrap().items;
    entries.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn another_role_and_a_disabled_account_end_what_was_begun() {
    let (automa, _, _, bob) = with_people().await;
    let me = admin();
    let users = automa.users(&me);
    let (_, session) = signed_in(&automa, "bob").await;
    let email = UserChange { email: Some("BOB@example.org".to_owned()), ..Default::default() };
    assert_eq!(users.update(bob.id, email).await.unwrap().email, "BOB@example.org");
    assert!(goes_on(&automa, session), "another address ends nothing");
    assert!(sign_in(&automa, "bob@example.com", "correct horse").await.is_err());
    sign_in(&automa, "bob@EXAMPLE.org", "correct horse").await.unwrap();
    let viewer = UserChange { role: Some(Role::Viewer), ..Default::default() };
    users.update(bob.id, viewer.clone()).await.unwrap();
    assert!(!goes_on(&automa, session));
    let (_, session) = signed_in(&automa, "bob").await;
    users.update(bob.id, viewer).await.unwrap();
    assert!(goes_on(&automa, session), "the role is what it was");
    let mut events = automa.events();
    let disabled = |disabled| UserChange { disabled: Some(disabled), ..Default::default() };
    assert!(users.update(bob.id, disabled(true)).await.unwrap().disabled_at.is_some());
    assert!(!goes_on(&automa, session));
    let first = events.try_next();
    assert!(matches!(first, Some(Event::SessionEnded(_))), "{first:?}");
    let refused = sign_in(&automa, "bob", "correct horse").await.unwrap_err();
    assert!(matches!(refused, Error::WrongPassword), "as if there were no such user: {refused}");
    users.update(bob.id, disabled(false)).await.unwrap();
    sign_in(&automa, "bob", "correct horse").await.unwrap();
    assert_eq!(
        actions(&automa).await[1..4],
        [Action::UserEnabled(bob.id), Action::SignInRefused, Action::UserDisabled(bob.id)]
    );
}

#[tokio::test]
async fn the_last_admin_who_may_sign_in_stays_one() {
    let (automa, _, ada, bob) = with_people().await;
    let me = admin();
    let users = automa.users(&me);
    let as_role = |role| UserChange { role: Some(role), ..Default::default() };
    let disable = || UserChange { disabled: Some(true), ..Default::default() };
    for change in [as_role(Role::Operator), disable()] {
        let error = users.update(ada.id, change).await.unwrap_err();
        assert!(matches!(error, Error::LastAdmin), "{error}");
    }
    users.update(bob.id, as_role(Role::Admin)).await.unwrap();
    users.update(bob.id, disable()).await.unwrap();
    assert!(users.update(ada.id, disable()).await.is_err(), "a disabled one helps nobody");
    let enable = UserChange { disabled: Some(false), ..Default::default() };
    users.update(bob.id, enable).await.unwrap();
    // Both at once: one of them stays.
    let (one, other) =
        tokio::join!(users.update(ada.id, disable()), users.update(bob.id, disable()));
    assert!(one.is_ok() != other.is_ok());
}

#[tokio::test]
async fn an_address_that_another_has_or_that_is_none_is_refused() {
    let (automa, _, _, bob) = with_people().await;
    let me = admin();
    for email in ["ada@EXAMPLE.com", "bob", ""] {
        let change = UserChange { email: Some(email.to_owned()), ..Default::default() };
        let error = automa.users(&me).update(bob.id, change).await.unwrap_err();
        assert_eq!(wrong(&error), ["email"]);
    }
    let other_case = UserChange { email: Some("BOB@example.com".into()), ..Default::default() };
    automa.users(&me).update(bob.id, other_case).await.unwrap();
    let unknown = automa.users(&me).update(UserId::MIN, UserChange::default()).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn users_are_found_by_what_is_true_of_them() {
    let (automa, _, _, bob) = with_people().await;
    let me = admin();
    let users = automa.users(&me);
    for number in 0..5 {
        users.create(new_user(&format!("viewer{number}"), Role::Viewer)).await.unwrap();
    }
    let disable = UserChange { disabled: Some(true), ..Default::default() };
    users.update(bob.id, disable).await.unwrap();
    let all = UserFilter::default;
    let text = |text: &str| UserFilter { text: Some(text.to_owned()), ..all() };
    for (filter, expected) in [
        (all(), 7),
        (text("VIEWER"), 5),
        (text("bob@"), 1),
        (text("nobody"), 0),
        (UserFilter { role: Some(Role::Viewer), ..all() }, 5),
        (UserFilter { disabled: Some(true), ..all() }, 1),
        (UserFilter { disabled: Some(false), ..all() }, 6),
        (UserFilter { two_factor: Some(true), ..all() }, 0),
        (UserFilter { role: Some(Role::Admin), ..text("a") }, 1),
    ] {
        // In pages of two.
        let (mut found, mut cursor) = (0, None);
        loop {
            let page = PageRequest { limit: Limit::new(2).unwrap(), cursor };
            let page = users.list(filter.clone(), page).await.unwrap();
            found += page.items.len();
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_reset_takes_the_password_away_and_its_link_sets_one_once() {
    let (automa, clock, _, bob) = with_people().await;
    let me = admin();
    let (_, session) = signed_in(&automa, "bob").await;
    let old = automa.users(&me).reset(bob.id).await.unwrap().token;
    assert!(!goes_on(&automa, session));
    assert!(sign_in(&automa, "bob", "correct horse").await.is_err());
    let link = automa.users(&me).reset(bob.id).await.unwrap();
    assert_eq!(link.token.expose_secret().len(), 64);
    assert_eq!(link.expires_at, clock.now() + SignedDuration::from_hours(24));
    let resets = automa.resets();
    let set = async |token: &SecretString, password: &str| {
        resets.set_password(token, &password.into(), Origin::Web).await
    };
    let is_wrong = |result: Result<User>| assert!(matches!(result, Err(Error::WrongLink)));
    is_wrong(set(&old, "tide lamp orbit").await);
    assert_eq!(wrong(&set(&link.token, "bob@example.com1").await.unwrap_err()), ["password"]);
    assert_eq!(resets.of(&link.token).unwrap().id, bob.id);
    // Twice at once: one of both.
    let (one, other) =
        tokio::join!(set(&link.token, "tide lamp orbit"), set(&link.token, "tide lamp orbit"));
    assert!(one.is_ok() != other.is_ok());
    is_wrong(set(&link.token, "tide lamp orbit").await);
    sign_in(&automa, "bob", "tide lamp orbit").await.unwrap();
    let late = automa.users(&me).reset(bob.id).await.unwrap().token;
    clock.advance(SignedDuration::from_hours(24));
    is_wrong(set(&late, "tide lamp orbit").await);
}

#[tokio::test]
async fn only_the_link_itself_is_one() {
    let (automa, _, ada, bob) = with_people().await;
    let me = admin();
    let link = automa.users(&me).reset(bob.id).await.unwrap().token;
    let link = link.expose_secret();
    let resets = automa.resets();
    let refused = |token: &str| assert!(matches!(resets.of(&token.into()), Err(Error::WrongLink)));
    for place in 0..link.len() {
        let mut changed: Vec<u8> = link.bytes().collect();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        refused(std::str::from_utf8(&changed).unwrap());
        refused(&link[..place]);
    }
    refused(&format!("{link}{link}"));
    refused("é");
    // Of a user who has none.
    let other = automa.users(&me).reset(ada.id).await.unwrap().token;
    refused(&format!("{}{}", &other.expose_secret()[..22], &link[22..]));
    let disable = UserChange { disabled: Some(true), ..Default::default() };
    automa.users(&me).update(bob.id, disable).await.unwrap();
    refused(link);
}

#[tokio::test]
async fn only_admins_change_and_reset_users() {
    let (automa, _, ada, bob) = with_people().await;
    let (as_bob, _) = signed_in(&automa, "bob").await;
    let users = automa.users(&as_bob);
    let admin = UserChange { role: Some(Role::Admin), ..Default::default() };
    for refused in [
        users.update(bob.id, admin).await.map(drop),
        users.reset(ada.id).await.map(drop),
        users.named("ada").map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Forbidden(_))));
    }
}

#[tokio::test]
async fn who_knows_the_password_sets_another_and_is_signed_in_nowhere_else() {
    let (automa, _, _, bob) = with_people().await;
    let (as_bob, here) = signed_in(&automa, "bob").await;
    let (_, there) = signed_in(&automa, "bob").await;
    let (_, of_ada) = signed_in(&automa, "ada").await;
    let profile = automa.profile(&as_bob, here);
    let change =
        async |old: &str, new: &str| profile.change_password(&old.into(), &new.into()).await;
    let error = change("wrong horse", "tide lamp orbit").await.unwrap_err();
    assert_eq!(wrong(&error), ["current_password"]);
    let error = change("correct horse", "password1234").await.unwrap_err();
    assert_eq!(wrong(&error), ["new_password"]);
    assert!(goes_on(&automa, there));
    change("correct horse", "tide lamp orbit").await.unwrap();
    assert!(goes_on(&automa, here) && !goes_on(&automa, there) && goes_on(&automa, of_ada));
    assert!(sign_in(&automa, "bob", "correct horse").await.is_err());
    sign_in(&automa, "bob", "tide lamp orbit").await.unwrap();
    let actions = actions(&automa).await;
    assert!(actions.contains(&Action::PasswordChanged(bob.id)), "{actions:?}");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_user_alone() {
    let (automa, clock, _, bob) = with_people().await;
    let (_, first) = signed_in(&automa, "bob").await;
    clock.advance(SignedDuration::from_hours(7 * 24 - 1));
    let (_, of_ada) = signed_in(&automa, "ada").await;
    let (_, second) = signed_in(&automa, "bob").await;
    let (as_bob, here) = signed_in(&automa, "bob").await;
    let profile = automa.profile(&as_bob, here);
    let listed = || profile.sessions().unwrap().iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(listed(), [here, second, first]);
    clock.advance(SignedDuration::from_hours(1));
    assert_eq!(listed(), [here, second], "one has expired");
    let not_mine = profile.end_session(of_ada).await.unwrap_err();
    assert!(matches!(not_mine, Error::NotFound { kind: "session", .. }), "{not_mine}");
    profile.end_session(second).await.unwrap();
    assert_eq!(listed(), [here]);
    let (_, third) = signed_in(&automa, "bob").await;
    profile.end_other_sessions().await.unwrap();
    assert!(goes_on(&automa, here) && !goes_on(&automa, third) && goes_on(&automa, of_ada));
    assert_eq!(actions(&automa).await[0], Action::OtherSessionsRevoked(bob.id));
    profile.end_session(here).await.unwrap();
    assert!(matches!(profile.sessions(), Err(Error::SessionEnded)));
    // Somebody else's session opens no profile.
    let foreign = automa.profile(&as_bob, of_ada);
    assert!(matches!(foreign.sessions(), Err(Error::SessionEnded)));
}

#[tokio::test]
async fn the_look_of_pages_is_kept() {
    let (automa, _, _, _) = with_people().await;
    let (as_bob, here) = signed_in(&automa, "bob").await;
    automa.profile(&as_bob, here).set_theme(Theme::Dark).await.unwrap();
    let SignedIn { user, .. } = sign_in(&automa, "bob", "correct horse").await.unwrap();
    assert_eq!(user.theme, Theme::Dark);
    for theme in Theme::ALL {
        assert_eq!(Theme::named(theme.name()), Some(theme));
    }
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let user = User {
        id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
        username: "ada".to_owned(),
        email: "a@b".to_owned(),
        role: Role::Admin,
        created_at: at,
        disabled_at: None,
        password_changed_at: at,
        two_factor_since: None,
        theme: Theme::System,
    };
    assert_reads(USER_V1, &user);
    let later = at + SignedDuration::from_secs(1);
    let user = User {
        disabled_at: Some(later),
        password_changed_at: later,
        two_factor_since: Some(later),
        theme: Theme::Dark,
        ..user
    };
    assert_bytes(&user, USER_V2);
    for damaged in [&[][..], &[0], &[1], &[2, 3], &[3, 3], &[1, 255]] {
        assert!(User::decode(damaged).is_err());
    }
    let reset = Reset::of([7; 32], at);
    assert_bytes(&reset, RESET_V1);
    assert!(Reset::decode(&[1, 7]).is_err());
}

const USER_V2: &str = "02018f0000000070008000000000000001036164610361406202808082e288d2a306018089fce288d2a3068089fce288d2a306018089fce288d2a30602";
const RESET_V1: &str =
    "010707070707070707070707070707070707070707070707070707070707070707808082e288d2a306";
const USER_V1: &str = "01018f0000000070008000000000000001036164610361406202808082e288d2a306";

proptest! {
    #[test]
    fn checks_never_panic_and_what_they_accept_is_within_limits(
        username: String,
        email in "[a@. \u{0}-\u{ff}]{0,8}",
        password: String,
    ) {
        let new = NewUser { username, email, password: password.into(), role: Role::Viewer };
        if new.check().is_ok() {
            prop_assert!((1..=64).contains(&new.username.len()) && new.username.is_ascii());
            prop_assert_eq!(new.email.matches('@').count(), 1);
            prop_assert!(new.password.expose_secret().chars().count() >= PASSWORD_MIN);
        }
    }

    #[test]
    fn usernames_of_the_alphabet_are_accepted(name in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}") {
        prop_assert_eq!(check_username(&name), Ok(()));
        prop_assert!(!name.contains('@'), "a username is no address");
    }
}
