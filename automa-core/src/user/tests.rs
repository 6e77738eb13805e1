use proptest::prelude::*;

use super::*;
use crate::{
    actor::Origin,
    clock::TestClock,
    page::Limit,
    store::record::{Record, golden::assert_bytes},
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
    let page = users.list(PageRequest { limit: Limit::new(1).unwrap(), cursor: None }).await;
    let page = page.unwrap();
    assert_eq!(page.items[0].username, "bob");
    let next = PageRequest { cursor: page.next_cursor, ..PageRequest::default() };
    let next = users.list(next).await.unwrap();
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
        users.list(PageRequest::default()).await.map(drop),
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
    let at_the_limits = NewUser {
        username: "x".repeat(64),
        email: format!("{}@example.com", "x".repeat(242)),
        password: "ä".repeat(512).into(),
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

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let user = User {
        id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
        username: "ada".to_owned(),
        email: "a@b".to_owned(),
        role: Role::Admin,
        created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    assert_bytes(&user, USER_V1);
    for damaged in [&[][..], &[0], &[1], &[2, 3], &[1, 255]] {
        assert!(User::decode(damaged).is_err());
    }
}

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
