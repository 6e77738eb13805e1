use std::net::IpAddr;

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    actor::Origin,
    clock::{Clock as _, TestClock},
    execution::NewExecution,
    script::{Language, NewScript, Visibility},
    user::{NewUser, User},
};

struct World {
    automa: Automa,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::new("2026-01-01T12:00:00Z".parse().unwrap()));
        let automa = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        Self { automa, clock }
    }

    async fn user(&self, name: &str, role: Role) -> Actor {
        let new = NewUser {
            username: name.to_owned(),
            email: format!("{name}@example.com"),
            password: "a long enough password".into(),
            role,
        };
        let made = self.automa.users(&Actor::embedder("test")).create(new).await;
        let User { id, username, role, .. } = made.unwrap();
        Actor::user(id, username, role, Origin::Web)
    }

    fn resume(&self, key: &SecretString, from: Option<&str>) -> Result<Actor> {
        let address = from.map(|text| text.parse::<IpAddr>().unwrap());
        Ok(self.automa.keyring().resume(key, address)?.1)
    }

    async fn script(&self, actor: &Actor, name: &str) -> ScriptId {
        let new = NewScript::new(name, Language::Bash, "true");
        self.automa.scripts(actor).create(new).await.unwrap().id
    }
}

fn scope(permissions: &[Permission]) -> Scope {
    Scope { permissions: permissions.iter().copied().collect(), scripts: None }
}

fn fields(error: Error) -> Vec<String> {
    match error {
        Error::Invalid(fields) => fields.into_iter().map(|it| it.field.into_owned()).collect(),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_key_acts_for_its_owner_within_its_scope() {
    let world = World::new();
    let ada = world.user("ada", Role::Operator).await;
    let keys = world.automa.api_keys(&ada);
    let (key, secret) = keys.create(NewKey::new(" ci ")).await.unwrap();
    assert_eq!((key.name.as_str(), key.owner), ("ci", ada.user.unwrap()));
    assert!(secret.expose_secret().ends_with(&key.ending));
    let actor = world.resume(&secret, None).unwrap();
    assert_eq!((actor.user, actor.role, actor.origin), (ada.user, ada.role, Origin::Api));
    for permission in Permission::ALL {
        let allowed = actor.require(permission).is_ok();
        let within = ada.require(permission).is_ok() && OF_SCRIPTS.contains(&permission);
        assert_eq!(allowed, within, "{permission}");
    }
    let refused = actor.require(Permission::WriteScripts).unwrap_err().to_string();
    assert!(refused.contains("`write_scripts` is not one of its scopes"), "{refused}");
    let refused = actor.require(Permission::ManageUsers).unwrap_err().to_string();
    assert_eq!(refused, "an operator may not manage users");
}

#[tokio::test]
async fn a_key_makes_and_changes_no_keys() {
    let world = World::new();
    let admin = world.user("admin", Role::Admin).await;
    let all = Permission::ALL.into_iter().filter(|it| *it != Permission::ManageAccount);
    let new = NewKey { scope: scope(&all.collect::<Vec<_>>()), ..NewKey::new("all") };
    let (key, secret) = world.automa.api_keys(&admin).create(new).await.unwrap();
    let actor = world.resume(&secret, None).unwrap();
    let keys = world.automa.api_keys(&actor);
    let refused = keys.create(NewKey::new("more")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "this is for people who sign in, and not for the API key `all`"
    );
    assert!(matches!(keys.update(key.id, NewKey::new("x")).await, Err(Error::Forbidden(_))));
    assert!(matches!(keys.delete(key.id).await, Err(Error::Forbidden(_))));
    assert!(matches!(keys.get(key.id), Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn what_a_key_cannot_be_is_refused() {
    let world = World::new();
    let viewer = world.user("vera", Role::Viewer).await;
    let keys = world.automa.api_keys(&viewer);
    let read = scope(&[Permission::ReadScripts]);
    let new = |name: &str| NewKey { scope: read.clone(), ..NewKey::new(name) };
    let wrong = [
        (new(" "), "name"),
        (new("a\nb"), "name"),
        (new(&"x".repeat(101)), "name"),
        (NewKey { scope: scope(&[]), ..new("k") }, "scopes"),
        (NewKey { scope: scope(&[Permission::Execute]), ..new("k") }, "scopes"),
        (NewKey { scope: scope(&[Permission::ManageAccount]), ..new("k") }, "scopes"),
        (NewKey { expires_at: Some(world.clock.now()), ..new("k") }, "expires_at"),
        (NewKey { networks: vec!["::/0".parse().unwrap(); 51], ..new("k") }, "networks"),
        (
            NewKey { scope: Scope { scripts: Some([].into()), ..read.clone() }, ..new("k") },
            "script_ids",
        ),
    ];
    for (new, field) in wrong {
        assert_eq!(fields(keys.create(new).await.unwrap_err()), [field]);
    }
    keys.create(new("right")).await.unwrap();
    let embedder = Actor::embedder("nightly");
    let refused = world.automa.api_keys(&embedder).create(new("k")).await.unwrap_err();
    assert_eq!(fields(refused), ["owner"]);
}

#[tokio::test]
async fn a_key_for_chosen_scripts_reaches_no_other() {
    let world = World::new();
    let admin = world.user("admin", Role::Admin).await;
    let (one, other) = (world.script(&admin, "one").await, world.script(&admin, "other").await);
    let keys = world.automa.api_keys(&admin);
    let chosen = Scope { scripts: Some([one].into()), ..Scope::default() };
    let write = scope(&[Permission::WriteScripts]);
    let wrong =
        NewKey { scope: Scope { scripts: chosen.scripts.clone(), ..write }, ..NewKey::new("k") };
    assert_eq!(fields(keys.create(wrong).await.unwrap_err()), ["scopes"]);
    let (_, secret) = keys.create(NewKey { scope: chosen, ..NewKey::new("one") }).await.unwrap();
    let actor = world.resume(&secret, None).unwrap();
    let scripts = world.automa.scripts(&actor);
    assert!(scripts.get(one).is_ok());
    assert!(matches!(scripts.get(other), Err(Error::NotFound { .. })));
    assert!(scripts.version(other, 1).await.is_err());
    let listed = scripts.list(PageRequest::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), [one]);
    let executions = world.automa.executions(&actor);
    // Nothing runs here; what is refused before is told first.
    let submitted = |new| executions.submit(new);
    assert!(matches!(submitted(NewExecution::script(one)).await, Err(Error::NotRunning)));
    assert!(matches!(submitted(NewExecution::script(other)).await, Err(Error::NotFound { .. })));
    let code = submitted(NewExecution::code(Language::Bash, "true")).await.unwrap_err();
    assert!(code.to_string().starts_with("the API key `one` is for chosen scripts"), "{code}");
}

#[tokio::test]
async fn nobody_chooses_a_script_they_do_not_see() {
    let world = World::new();
    let (ada, bob) =
        (world.user("ada", Role::Operator).await, world.user("bob", Role::Operator).await);
    let mut new = NewScript::new("secret", Language::Bash, "true");
    new.visibility = Some(Visibility::Private);
    let hidden = world.automa.scripts(&ada).create(new).await.unwrap().id;
    let scope = Scope { scripts: Some([hidden].into()), ..Scope::default() };
    let new = NewKey { scope, ..NewKey::new("k") };
    let refused = world.automa.api_keys(&bob).create(new.clone()).await.unwrap_err();
    assert_eq!(fields(refused), ["script_ids"]);
    world.automa.api_keys(&ada).create(new).await.unwrap();
}

#[tokio::test]
async fn a_key_is_refused_that_is_off_or_old_or_from_elsewhere() {
    let world = World::new();
    let ada = world.user("ada", Role::Operator).await;
    let keys = world.automa.api_keys(&ada);
    let end = world.clock.now() + SignedDuration::from_hours(1);
    let new = NewKey {
        networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        expires_at: Some(end),
        ..NewKey::new("k")
    };
    let (key, secret) = keys.create(new.clone()).await.unwrap();
    let refusal = |from| match world.resume(&secret, from) {
        Ok(_) => None,
        Err(Error::WrongKey(refusal)) => Some(refusal),
        Err(error) => panic!("{error:?}"),
    };
    for from in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"] {
        assert_eq!(refusal(Some(from)), None, "{from}");
    }
    for from in [Some("198.51.100.1"), Some("2001:db9::1"), None] {
        assert_eq!(refusal(from), Some(Refusal::Address), "{from:?}");
    }
    keys.update(key.id, NewKey { enabled: false, ..new.clone() }).await.unwrap();
    assert_eq!(refusal(Some("192.0.2.7")), Some(Refusal::Off));
    keys.update(key.id, new.clone()).await.unwrap();
    assert_eq!(refusal(Some("192.0.2.7")), None);
    world.clock.set(end);
    assert_eq!(refusal(Some("192.0.2.7")), Some(Refusal::Expired));
    assert!(!world.automa.keyring().is_good(key.id).unwrap());
    // What has expired can be renamed, and renewed.
    keys.update(key.id, NewKey { name: "old".to_owned(), ..new.clone() }).await.unwrap();
    keys.update(key.id, NewKey { expires_at: None, ..new }).await.unwrap();
    assert_eq!(refusal(Some("192.0.2.7")), None);
    keys.delete(key.id).await.unwrap();
    assert_eq!(refusal(Some("192.0.2.7")), Some(Refusal::Unknown));
    let cut = secret.expose_secret()[..51].to_owned();
    assert!(matches!(world.resume(&cut.into(), None), Err(Error::WrongKey(Refusal::Malformed))));
}

#[tokio::test]
async fn keys_are_their_owners_and_admins() {
    let world = World::new();
    let (ada, bob) =
        (world.user("ada", Role::Operator).await, world.user("bob", Role::Operator).await);
    let admin = world.user("admin", Role::Admin).await;
    let (key, secret) = world.automa.api_keys(&ada).create(NewKey::new("hers")).await.unwrap();
    let theirs = world.automa.api_keys(&bob);
    assert!(matches!(theirs.get(key.id), Err(Error::NotFound { .. })));
    assert!(matches!(theirs.delete(key.id).await, Err(Error::NotFound { .. })));
    assert!(matches!(theirs.list(true, PageRequest::default()).await, Err(Error::Forbidden(_))));
    assert!(theirs.list(false, PageRequest::default()).await.unwrap().items.is_empty());
    let all = world.automa.api_keys(&admin);
    assert!(all.list(false, PageRequest::default()).await.unwrap().items.is_empty());
    let listed = all.list(true, PageRequest::default()).await.unwrap().items;
    assert_eq!((listed[0].key.id, listed[0].owner_name.as_str()), (key.id, "ada"));
    let off = NewKey { enabled: false, ..NewKey::new("hers") };
    all.update(key.id, off).await.unwrap();
    assert!(matches!(world.resume(&secret, None), Err(Error::WrongKey(Refusal::Off))));
}

#[tokio::test]
async fn uses_are_counted_and_written_together() {
    let world = World::new();
    let ada = world.user("ada", Role::Operator).await;
    let keys = world.automa.api_keys(&ada);
    let new = NewKey { networks: vec!["192.0.2.0/24".parse().unwrap()], ..NewKey::new("k") };
    let (key, secret) = keys.create(new).await.unwrap();
    let stored = || {
        let read = |view: &Snapshot| Ok::<_, Error>(store::api_keys::usage(view, key.id)?);
        world.automa.store.look(read).unwrap()
    };
    let known = || keys.get(key.id).unwrap().usage;
    for last in ["192.0.2.1", "192.0.2.2"] {
        world.clock.advance(SignedDuration::from_secs(1));
        world.resume(&secret, Some(last)).unwrap();
    }
    world.resume(&secret, Some("198.51.100.1")).unwrap_err();
    let expected = Usage {
        calls: 2,
        refused: 1,
        last_used_at: Some(world.clock.now()),
        last_address: Some("192.0.2.2".to_owned()),
    };
    assert_eq!((known(), stored()), (expected.clone(), Usage::default()));
    let commits = world.automa.store.stats().commits;
    crate::tally::write(&world.automa).await.unwrap();
    crate::tally::write(&world.automa).await.unwrap();
    assert_eq!((known(), stored()), (expected.clone(), expected));
    assert_eq!(world.automa.store.stats().commits, commits + 1);
    world.resume(&secret, Some("192.0.2.3")).unwrap();
    world.automa.key_uses.write(&world.automa).await.unwrap();
    assert_eq!((known().calls, known()), (3, stored()));
    let audit = Actor::embedder("test");
    let entries = world.automa.audit(&audit).list(PageRequest::default()).await.unwrap().items;
    assert_eq!(entries[0].action, Action::ApiKeyRefused(key.id, 1));
}

#[tokio::test]
async fn the_audit_log_names_the_key() {
    let world = World::new();
    let ada = world.user("ada", Role::Operator).await;
    let new = NewKey { scope: scope(&[Permission::WriteScripts]), ..NewKey::new("deploy") };
    let (_, secret) = world.automa.api_keys(&ada).create(new).await.unwrap();
    let actor = world.resume(&secret, None).unwrap();
    world.script(&actor, "made").await;
    let audit = Actor::embedder("test");
    let entries = world.automa.audit(&audit).list(PageRequest::default()).await.unwrap().items;
    assert_eq!((entries[0].actor.as_str(), entries[0].user), ("ada (key deploy)", ada.user));
    assert_eq!(entries[1].actor, "ada");
}
