use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};

use super::{open::open, *};
use crate::{
    actor::Origin,
    clock::{Clock as _, TestClock},
    page::Limit,
    store::record::{Record as _, golden::assert_bytes},
    user::NewUser,
};

fn data(fields: &[(&str, &str)]) -> Data {
    fields.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect()
}

fn database(password: &str) -> Data {
    data(&[
        ("engine", "postgresql"),
        ("host", "db.example.com"),
        ("database", "shop"),
        ("username", "ada"),
        ("password", password),
    ])
}

const PASSWORD: &str = "a long enough password";

struct Here {
    automa: Automa,
    clock: Arc<TestClock>,
}

impl Here {
    fn new() -> Self {
        let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let automa = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        Self { automa, clock }
    }

    async fn user(&self, name: &str, role: Role) -> Actor {
        let root = Actor::embedder("root");
        let new = NewUser {
            username: name.to_owned(),
            email: format!("{name}@example.com"),
            password: PASSWORD.into(),
            role,
        };
        let user = self.automa.users(&root).create(new).await.unwrap();
        Actor::user(user.id, name, role, Origin::Web)
    }

    fn of<'a>(&'a self, actor: &'a Actor) -> Credentials<'a> {
        self.automa.credentials(actor)
    }

    fn opened(&self, id: CredentialId) -> Result<Opened> {
        self.automa.store.look(|view| open(view, &self.automa.vault, id, self.clock.now()))
    }

    /// The names of what happened, oldest first.
    async fn trail(&self, id: CredentialId) -> Vec<&'static str> {
        let root = Actor::embedder("root");
        let uses = self.of(&root).uses(id, PageRequest::default()).await.unwrap();
        uses.items.iter().rev().map(|it| it.what.name()).collect()
    }
}

fn texts(opened: &Opened) -> Vec<(&str, &str)> {
    opened.fields().iter().map(|it| (&*it.name, it.value.expose_secret())).collect()
}

#[tokio::test]
async fn what_is_created_is_opened_in_the_form_that_a_script_takes() {
    let (here, me) = (Here::new(), Actor::embedder("test"));
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let cases = [
        (Kind::ApiKey, data(&[("key", "k-1")]), "k-1".to_owned(), 1),
        (
            Kind::UserPass,
            data(&[("username", "ada"), ("password", "p\"1")]),
            r#"{"password":"p\"1","username":"ada"}"#.to_owned(),
            2,
        ),
        (Kind::SshKey, data(&[("private_key", key)]), format!("{key}\n"), 1),
        (
            Kind::DbConnection,
            database("p@ss:/ü"),
            "postgresql://ada:p%40ss%3A%2F%C3%BC@db.example.com/shop".to_owned(),
            5,
        ),
        (
            Kind::Oauth,
            data(&[("client_id", "a"), ("client_secret", "b")]),
            r#"{"client_id":"a","client_secret":"b"}"#.to_owned(),
            2,
        ),
        (
            Kind::Custom,
            data(&[("object", r#"{"b": [1, 2], "a": "x"}"#)]),
            r#"{"a":"x","b":"[1,2]"}"#.to_owned(),
            2,
        ),
    ];
    for (kind, data, value, fields) in cases {
        let new = NewCredential::new("one", kind, data);
        let id = here.of(&me).create(new).await.unwrap().credential.id;
        let opened = here.opened(id).unwrap();
        assert_eq!((opened.kind, opened.version, &*opened.name), (kind, 1, "one"));
        assert_eq!(opened.value().expose_secret(), value, "{kind}");
        assert_eq!(opened.fields().len(), fields, "{kind}");
        let told = format!("{opened:?} {:?}", here.of(&me).get(id).unwrap());
        for it in opened.fields().iter().filter(|it| it.secret && it.value.expose_secret() != "x") {
            assert!(!told.contains(&format!("{:?}", it.value.expose_secret())), "{told}");
        }
    }
}

#[tokio::test]
async fn a_new_secret_is_a_version_and_the_rest_is_not() {
    let (here, me) = (Here::new(), Actor::embedder("test"));
    let new = NewCredential::new("shop", Kind::DbConnection, database("one"));
    let now = here.of(&me).create(new).await.unwrap();
    let id = now.credential.id;
    let renamed =
        CredentialUpdate { name: "shop 2".into(), ..CredentialUpdate::of(now.credential) };
    let now = here.of(&me).update(id, 1, renamed.clone()).await.unwrap();
    assert_eq!((now.credential.version, now.credential.revision), (1, 2));
    assert!(matches!(
        here.of(&me).update(id, 1, renamed.clone()).await,
        Err(Error::Conflict { current: 2, .. })
    ));
    let mut same = database("one");
    same.remove("password");
    let unchanged = CredentialUpdate { data: Some(same.clone()), ..renamed.clone() };
    assert_eq!(here.of(&me).update(id, 2, unchanged).await.unwrap().credential.version, 1);
    same.insert("host".into(), SecretString::from("db2.example.com"));
    let moved = CredentialUpdate { data: Some(same), ..renamed.clone() };
    let now = here.of(&me).update(id, 3, moved).await.unwrap();
    assert_eq!(now.credential.version, 2);
    assert!(now.shown.contains(&("host".to_owned(), "db2.example.com".to_owned())));
    let opened = here.opened(id).unwrap();
    assert!(texts(&opened).contains(&("password", "one")), "what is not given stays");
    let replaced = CredentialUpdate { data: Some(database("two")), ..renamed };
    here.of(&me).update(id, 4, replaced).await.unwrap();
    assert!(texts(&here.opened(id).unwrap()).contains(&("password", "two")));

    here.of(&me).destroy_version(id, 1).await.unwrap();
    let versions = here.of(&me).versions(id).unwrap();
    let destroyed: Vec<_> = versions.iter().map(|it| (it.number, it.is_destroyed())).collect();
    assert_eq!(destroyed, [(3, false), (2, false), (1, true)]);
    assert!(matches!(here.of(&me).destroy_version(id, 3).await, Err(Error::Invalid(_))));
    assert!(matches!(here.of(&me).destroy_version(id, 4).await, Err(Error::NotFound { .. })));
    let trail = ["created", "changed", "changed", "version_added", "version_added"];
    assert_eq!(here.trail(id).await, [&trail[..], &["version_destroyed"]].concat());
}

#[tokio::test]
async fn a_credential_is_there_for_its_owner_and_for_admins() {
    let here = Here::new();
    let ada = here.user("ada", Role::Operator).await;
    let (bob, eve) = (here.user("bob", Role::Operator).await, here.user("eve", Role::Viewer).await);
    let root = here.user("root", Role::Admin).await;
    let new = NewCredential::new("shop", Kind::DbConnection, database("one"));
    let now = here.of(&ada).create(new.clone()).await.unwrap();
    let (id, update) = (now.credential.id, CredentialUpdate::of(now.credential));
    let list =
        async |actor: &Actor| here.of(actor).list(Filter::default(), PageRequest::default()).await;
    assert_eq!(list(&ada).await.unwrap().items.len(), 1);
    assert_eq!(list(&root).await.unwrap().items.len(), 1);
    assert!(list(&bob).await.unwrap().items.is_empty());
    assert!(matches!(list(&eve).await, Err(Error::Forbidden(_))));
    assert!(matches!(here.of(&eve).create(new).await, Err(Error::Forbidden(_))));
    let password = SecretString::from(PASSWORD);
    let foreign = [
        here.of(&bob).get(id).map(drop),
        here.of(&bob).versions(id).map(drop),
        here.of(&bob).uses(id, PageRequest::default()).await.map(drop),
        here.of(&bob).update(id, 1, update.clone()).await.map(drop),
        here.of(&bob).reveal(id, &password).await.map(drop),
        here.of(&bob).destroy_version(id, 1).await,
        here.of(&bob).delete(id).await,
    ];
    for result in foreign {
        assert!(matches!(result, Err(Error::NotFound { kind: "credential", .. })), "{result:?}");
    }
    let now = here.of(&root).update(id, 1, update).await.unwrap();
    assert_eq!(now.credential.owner, ada.user, "it stays hers");
    here.of(&root).delete(id).await.unwrap();
    assert!(matches!(here.opened(id), Err(Error::NotFound { .. })));
    assert_eq!(here.trail(id).await, ["created", "changed", "deleted"]);
    assert!(here.of(&ada).uses(id, PageRequest::default()).await.is_err());
    let nothing = CredentialId::generate(&*here.clock);
    assert!(here.of(&root).uses(nothing, PageRequest::default()).await.is_err());
}

#[tokio::test]
async fn a_secret_is_shown_to_its_owner_who_knows_the_password_and_may_see_it() {
    let here = Here::new();
    let (ada, root) =
        (here.user("ada", Role::Operator).await, here.user("root", Role::Admin).await);
    let mut new = NewCredential::new("key", Kind::ApiKey, data(&[("key", "k-1")]));
    let hidden = here.of(&ada).create(new.clone()).await.unwrap().credential;
    new.revealable = true;
    let id = here.of(&ada).create(new).await.unwrap().credential.id;
    let (right, wrong) = (SecretString::from(PASSWORD), SecretString::from("wrong"));
    let shown = here.of(&ada).reveal(id, &right).await.unwrap();
    assert_eq!(texts(&shown), [("key", "k-1")]);
    assert!(matches!(here.of(&ada).reveal(id, &wrong).await, Err(Error::WrongPassword)));
    assert!(matches!(here.of(&root).reveal(id, &right).await, Err(Error::NotRevealable(_))));
    assert!(matches!(here.of(&ada).reveal(hidden.id, &right).await, Err(Error::NotRevealable(_))));
    for _ in 0..3 {
        here.of(&ada).reveal(id, &right).await.unwrap();
    }
    assert!(matches!(here.of(&ada).reveal(id, &right).await, Err(Error::TooOften { seconds: 60 })));
    here.clock.advance(SignedDuration::from_mins(1));
    here.of(&ada).reveal(id, &right).await.unwrap();
    let trail = here.trail(id).await;
    assert_eq!(trail.iter().filter(|it| **it == "revealed").count(), 5);
    assert_eq!(trail.iter().filter(|it| **it == "reveal_refused").count(), 2);
    assert_eq!(here.of(&ada).get(id).unwrap().usage.uses, 5);
    let audit = here.automa.audit(&root).list(PageRequest::default()).await.unwrap();
    let count = |wanted: Action| audit.items.iter().filter(|it| it.action == wanted).count();
    assert_eq!(count(Action::CredentialRevealed(id, 1)), 5);
    assert_eq!(count(Action::CredentialRevealRefused(id)), 3);
    assert_eq!(count(Action::CredentialRevealRefused(hidden.id)), 1);

    // What was saved as write-only stays so.
    let update = CredentialUpdate { revealable: true, ..CredentialUpdate::of(hidden.clone()) };
    let kept = CredentialUpdate { data: Some(Data::new()), ..update.clone() };
    for refused in [update.clone(), kept] {
        let result = here.of(&ada).update(hidden.id, 1, refused).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    }
    let renewed = CredentialUpdate { data: Some(data(&[("key", "k-2")])), ..update };
    here.of(&ada).update(hidden.id, 1, renewed).await.unwrap();
    here.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(texts(&here.of(&ada).reveal(hidden.id, &right).await.unwrap()), [("key", "k-2")]);
}

#[tokio::test]
async fn an_expired_credential_is_not_given_to_anything() {
    let (here, me) = (Here::new(), Actor::embedder("test"));
    let mut new = NewCredential::new("key", Kind::ApiKey, data(&[("key", "k-1")]));
    new.expires_at = Some(here.clock.now());
    assert!(matches!(here.of(&me).create(new.clone()).await, Err(Error::Invalid(_))));
    new.expires_at = Some(here.clock.now() + SignedDuration::from_hours(24 * 15));
    let credential = here.of(&me).create(new).await.unwrap().credential;
    assert_eq!(credential.expiry(here.clock.now()), Expiry::Fine);
    here.clock.advance(SignedDuration::from_hours(24));
    assert_eq!(credential.expiry(here.clock.now()), Expiry::Soon);
    here.opened(credential.id).unwrap();
    here.clock.advance(SignedDuration::from_hours(24 * 14));
    assert_eq!(credential.expiry(here.clock.now()), Expiry::Expired);
    let tested = here.of(&me).test(credential.id).await.unwrap();
    assert!(!tested.passed && tested.detail.contains("expired on"), "{tested:?}");
    let error = here.opened(credential.id).unwrap_err();
    assert!(
        error.to_string().starts_with("the credential `key` expired on 16 January 2026"),
        "{error}"
    );
    // The date that is over may stay when something else is changed.
    let update = CredentialUpdate::of(credential.clone());
    here.of(&me).update(credential.id, 1, update.clone()).await.unwrap();
    let longer = CredentialUpdate { expires_at: None, ..update };
    here.of(&me).update(credential.id, 2, longer).await.unwrap();
    here.opened(credential.id).unwrap();
    assert!(here.of(&me).test(credential.id).await.unwrap().passed);
    assert_eq!(here.trail(credential.id).await.iter().filter(|it| **it == "tested").count(), 2);
}

#[tokio::test]
async fn a_list_is_filtered_and_its_pages_are_whole() {
    let (here, me) = (Here::new(), Actor::embedder("test"));
    for number in 0..25 {
        let kind = if number % 5 == 0 { Kind::UserPass } else { Kind::ApiKey };
        let data = if number % 5 == 0 {
            data(&[("username", "a"), ("password", "b")])
        } else {
            data(&[("key", "k")])
        };
        let mut new = NewCredential::new(format!("Number {number}"), kind, data);
        new.tags = vec![format!("t{}", number % 2)];
        here.of(&me).create(new).await.unwrap();
    }
    let all = async |filter: Filter, limit| {
        let mut page = PageRequest { cursor: None, limit: Limit::new(limit).unwrap() };
        let mut names = Vec::new();
        loop {
            let found = here.of(&me).list(filter.clone(), page.clone()).await.unwrap();
            assert!(found.items.len() <= page.limit.items());
            names.extend(found.items.into_iter().map(|it| it.credential.name));
            page.cursor = found.next_cursor;
            if page.cursor.is_none() {
                return names;
            }
        }
    };
    for limit in [1, 2, 7, 200] {
        assert_eq!(all(Filter::default(), limit).await.len(), 25);
        let filter = Filter { kind: Some(Kind::UserPass), ..Filter::default() };
        let names: Vec<_> = [20, 15, 10, 5, 0].map(|number| format!("Number {number}")).into();
        assert_eq!(all(filter, limit).await, names);
        let filter = Filter { tag: Some("t1".into()), name: "ber 1".into(), ..Filter::default() };
        assert_eq!(all(filter, limit).await.len(), 6, "1, 11, 13, 15, 17, 19");
        let filter = Filter { expiry: Some(Expiry::Soon), ..Filter::default() };
        assert!(all(filter, limit).await.is_empty());
    }
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let id: CredentialId = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
    let credential = Credential {
        id,
        revision: 2,
        name: "shop".into(),
        kind: Kind::DbConnection,
        tags: vec!["eu".into()],
        version: 3,
        expires_at: Some(at),
        revealable: true,
        owner: None,
        owner_name: "ada".into(),
        created_at: at,
        updated_at: at,
    };
    assert_bytes(
        &credential,
        "01018f0000000070008000000000000001020473686f7004010265750301808082e288d2a306010003616461808082e288d2a306808082e288d2a306",
    );
    let secret = Secret {
        number: 3,
        shown: vec![("host".into(), "a".into())],
        sealed: None,
        made_by: "ada".into(),
        made_at: at,
    };
    assert_bytes(&secret, "01030104686f737401610003616461808082e288d2a306");
    assert_bytes(&Usage { used_at: Some(at), uses: 300, kept: 4 }, "0101808082e288d2a306ac0204");
    let key = |origin| KeyRecord { id: KeyId([7; 8]), origin, since: at };
    let passphrase =
        KeyOrigin::Passphrase { salt: [1; 16], memory_kib: 65536, passes: 3, lanes: 1 };
    let used = vec![key(KeyOrigin::File), key(KeyOrigin::Given), key(passphrase)];
    assert_bytes(
        &Keys { used, total: 300, retired: vec![KeyId([9; 8])] },
        "0103070707070707070700808082e288d2a306070707070707070701808082e288d2a30607070707070707070201\
         0101010101010101010101010101018080040301808082e288d2a306ac02010909090909090909",
    );
    let given = trail::Given {
        version: 3,
        execution: "018f0000-0000-7000-8000-000000000003".parse().unwrap(),
        script: None,
        variable: "DB".into(),
        delivery: Delivery::File,
    };
    let it = |what| Use {
        id: "018f0000-0000-7000-8000-000000000002".parse().unwrap(),
        at,
        user: None,
        actor: "ada".into(),
        what,
    };
    assert_bytes(
        &it(What::Given(given)),
        "01018f0000000070008000000000000002808082e288d2a30600036164610703018f00000000700080000000000000\
         030002444201",
    );
    assert_eq!(postcard::to_stdvec(&What::Tested { passed: true }).unwrap(), [8, 1]);
    let others = [
        What::Created,
        What::Changed,
        What::VersionAdded(1),
        What::VersionDestroyed(1),
        What::Deleted,
        What::Revealed(1),
        What::RevealRefused,
    ];
    for (number, what) in others.into_iter().enumerate() {
        assert_eq!(usize::from(postcard::to_stdvec(&what).unwrap()[0]), number, "{what:?}");
    }
    assert!(Use::decode(&[1, 255]).is_err());
}
