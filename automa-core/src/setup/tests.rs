use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{
    event::Event,
    page::PageRequest,
    user::{Checked, SecretString, UserFilter},
};

fn in_memory() -> Automa {
    crate::user::tests::automa()
}

fn new_admin(username: &str) -> NewAdmin {
    NewAdmin {
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        password: "correct horse".into(),
    }
}

async fn token(automa: &Automa) -> String {
    automa.setup().token().await.unwrap().unwrap()
}

#[tokio::test]
async fn whoever_has_the_token_becomes_the_first_admin() {
    let automa = in_memory();
    let mut events = automa.events();
    let setup = automa.setup();
    assert!(setup.is_open().unwrap());
    let token = token(&automa).await;
    assert_eq!((token.len(), setup.token().await.unwrap().as_ref()), (64, Some(&token)));
    let user = setup.create_admin(&token, new_admin("ada"), Origin::Web).await.unwrap();
    assert_eq!((user.username.as_str(), user.role), ("ada", Role::Admin));
    assert_eq!(events.try_next(), Some(Event::UserChanged(user.id)));
    let (found, hash) = automa
        .store
        .look::<_, Error>(|view| {
            Ok((store::users::find(view, "Ada")?, store::users::password(view, user.id)?))
        })
        .unwrap();
    assert_eq!(found, Some(user.id));
    let password = SecretString::from("correct horse");
    let checked = automa.passwords.check(&*automa.clock, &password, hash.as_ref()).await;
    assert_eq!(checked.unwrap(), Checked::Right { renewed: None });
    let ada = Actor::user(user.id, "ada", user.role, Origin::Web);
    let entries = automa.audit(&ada).list(PageRequest::default()).await.unwrap().items;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(entry.action, Action::SetupDone(user.id));
    assert_eq!((&*entry.actor, entry.user, entry.origin), ("ada", Some(user.id), Origin::Web));
}

#[tokio::test]
async fn of_two_at_once_exactly_one_becomes_admin() {
    let automa = in_memory();
    let token = token(&automa).await;
    let setup = automa.setup();
    let create = |name| setup.create_admin(&token, new_admin(name), Origin::Web);
    let (one, other) = tokio::join!(create("ada"), create("bob"));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let won = won.unwrap();
    assert!(matches!(lost, Err(Error::SetupClosed)), "{lost:?}");
    let me = Actor::embedder("test");
    let users =
        automa.users(&me).list(UserFilter::default(), PageRequest::default()).await.unwrap().items;
    assert_eq!(users, [won]);
}

#[tokio::test]
async fn a_wrong_token_creates_nothing() {
    let automa = in_memory();
    let setup = automa.setup();
    // Before there is one, no token is right, the empty one included.
    for made in [false, true] {
        let right = if made { token(&automa).await } else { "0".repeat(64) };
        let wrong = ["", "x", &right[1..], &right.to_uppercase(), &"0".repeat(64), "\u{0}é"];
        for wrong in wrong {
            let refused = setup.create_admin(wrong, new_admin("ada"), Origin::Web).await;
            assert!(matches!(refused, Err(Error::WrongToken)), "{wrong:?}: {refused:?}");
        }
        assert!(setup.is_open().unwrap());
    }
    assert_eq!(automa.passwords.computed(), 0, "nothing is hashed for who has no token");
}

#[tokio::test]
async fn what_cannot_be_accepted_leaves_the_setup_open() {
    let automa = in_memory();
    let token = token(&automa).await;
    let short = NewAdmin { password: "short".into(), ..new_admin("ada") };
    let refused = automa.setup().create_admin(&token, short, Origin::Web).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(automa.setup().token().await.unwrap(), Some(token.clone()));
    automa.setup().create_admin(&token, new_admin("ada"), Origin::Web).await.unwrap();
}

#[tokio::test]
async fn setup_is_closed_once_there_is_a_user_whichever_way_it_came() {
    for by_setup in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let automa = Automa::builder().directory(data.path()).open().unwrap();
        let token = token(&automa).await;
        let me = Actor::embedder("test");
        if by_setup {
            automa.setup().create_admin(&token, new_admin("ada"), Origin::Web).await.unwrap();
        } else {
            let ada = crate::user::tests::new_user("ada", Role::Viewer);
            automa.users(&me).create(ada).await.unwrap();
        }
        assert!(!automa.setup().is_open().unwrap());
        assert_eq!(stored_token(data.path()).unwrap(), None);
        assert!(!data.path().join("setup-token").exists());
        assert_eq!(automa.setup().token().await.unwrap(), None);
        for tried in [&*token, "wrong"] {
            let refused = automa.setup().create_admin(tried, new_admin("eve"), Origin::Web).await;
            assert!(matches!(refused, Err(Error::SetupClosed)), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn the_token_stays_the_same_and_can_be_read_while_the_store_is_open() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(stored_token(data.path()).unwrap(), None);
    let open = || Automa::builder().directory(data.path()).open().unwrap();
    let automa = open();
    let first = token(&automa).await;
    assert_eq!(stored_token(data.path()).unwrap().as_ref(), Some(&first));
    let mode = data.path().join("setup-token").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    automa.close().await;
    drop(automa);
    let automa = open();
    // It is known before anybody asked for it again.
    automa.setup().create_admin(&first, new_admin("ada"), Origin::Web).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_is_mended() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("setup-token");
    let automa = Automa::builder().directory(data.path()).open().unwrap();
    std::fs::write(data.path().join("setup-token.new"), "half").unwrap();
    for damaged in [&b"abc"[..], b"", b"\xff\xfe", &[b'x'; 64]] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(stored_token(data.path()).unwrap(), None);
    }
    let token = token(&automa).await;
    assert_eq!(stored_token(data.path()).unwrap().as_ref(), Some(&token));
    assert!(!data.path().join("setup-token.new").exists());
    automa.setup().create_admin(&token, new_admin("ada"), Origin::Web).await.unwrap();
    // Between the user and the removal of the token.
    std::fs::write(&path, &token).unwrap();
    assert_eq!(automa.setup().token().await.unwrap(), None);
    assert!(!path.exists());
}

#[tokio::test]
async fn two_that_ask_at_once_are_told_the_same_token() {
    let data = tempfile::tempdir().unwrap();
    let automa = Automa::builder().directory(data.path()).open().unwrap();
    let (one, other) = tokio::join!(token(&automa), token(&automa));
    assert_eq!(one, other);
    assert!(!format!("{automa:?}").contains(&one), "a token is not shown");
}
