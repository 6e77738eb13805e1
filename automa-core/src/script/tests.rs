use super::*;
use crate::{
    Builder,
    actor::{Origin, Role},
    clock::TestClock,
    execution::{Concurrency, OnConflict, Retry},
    page::Limit,
    store::record::{
        Record,
        golden::{assert_bytes, assert_reads},
    },
};

fn automa() -> Automa {
    in_memory().open().unwrap()
}

fn in_memory() -> Builder {
    Automa::builder().in_memory().clock(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()))
}

fn actor(role: Role) -> Actor {
    Actor { role, ..Actor::embedder("ann") }
}

fn hello() -> NewScript {
    NewScript::new("hello", Language::Bash, "echo hello")
}

const SCHEMA: &str = r#"{"type":"object","required":["n"]}"#;

fn fields(error: &Error) -> Vec<&str> {
    let Error::Invalid(errors) = error else { panic!("{error}") };
    errors.iter().map(|error| &*error.field).collect()
}

#[tokio::test]
async fn a_script_is_created_with_its_first_version_and_an_audit_entry() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let mut events = automa.events();
    let script = automa.scripts(&admin).create(hello()).await.unwrap();
    assert_eq!(automa.scripts(&admin).get(script.id).unwrap(), script);
    let version = automa.scripts(&admin).version(script.id, 1).await.unwrap();
    assert_eq!((version.source.as_str(), version.author.as_str()), ("echo hello", "ann"));
    assert_eq!(events.try_next(), Some(Event::ScriptChanged(script.id)));
    let entries = automa.audit(&admin).list(PageRequest::default()).await.unwrap().items;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].action, Action::ScriptCreated(script.id));
    assert_eq!((entries[0].actor.as_str(), entries[0].origin), ("ann", Origin::Embedder));
}

#[tokio::test]
async fn only_another_source_or_setting_makes_another_version() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let id = scripts.create(hello()).await.unwrap().id;
    let renamed = NewScript { name: "hi".to_owned(), ..hello() };
    let script = scripts.update(id, 1, renamed).await.unwrap();
    assert_eq!((script.name.as_str(), script.version), ("hi", 1));
    let edited = NewScript { source: "echo hi".to_owned(), ..hello() };
    assert_eq!(scripts.update(id, 1, edited.clone()).await.unwrap().version, 2);
    assert_eq!(scripts.update(id, 2, edited.clone()).await.unwrap().version, 2);
    let schema = NewScript { parameters_schema: Some(SCHEMA.to_owned()), ..edited };
    assert_eq!(scripts.update(id, 2, schema.clone()).await.unwrap().version, 3);
    let limits = LimitsRequest { pids: Some(4), ..LimitsRequest::default() };
    let limited = NewScript { limits, ..schema };
    assert_eq!(scripts.update(id, 3, limited.clone()).await.unwrap().version, 4);
    let other = NewScript { language: Language::Python, ..limited };
    assert_eq!(scripts.update(id, 4, other).await.unwrap().version, 5);
    let newest = scripts.version(id, 5).await.unwrap();
    assert_eq!((newest.parameters_schema.as_deref(), newest.limits), (Some(SCHEMA), limits));
    // The first is as it was.
    assert_eq!(scripts.version(id, 1).await.unwrap().source, "echo hello");
    let versions = scripts.versions(id, PageRequest::default()).await.unwrap().items;
    assert_eq!(versions.iter().map(|version| version.number).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    let entries = automa.audit(&admin).list(PageRequest::default()).await.unwrap().items;
    let actions: Vec<Action> = entries.into_iter().map(|entry| entry.action).collect();
    let expected = [
        Action::ScriptVersionAdded(id, 5),
        Action::ScriptVersionAdded(id, 4),
        Action::ScriptVersionAdded(id, 3),
        Action::ScriptChanged(id),
        Action::ScriptVersionAdded(id, 2),
        Action::ScriptChanged(id),
        Action::ScriptCreated(id),
    ];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_deleted_script_is_gone_and_the_others_stay() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let [first, second] =
        [scripts.create(hello()).await.unwrap(), scripts.create(hello()).await.unwrap()];
    let mut events = automa.events();
    scripts.delete(first.id).await.unwrap();
    assert_eq!(events.try_next(), Some(Event::ScriptChanged(first.id)));
    let page = PageRequest::default;
    for error in [
        scripts.get(first.id).unwrap_err(),
        scripts.version(first.id, 1).await.unwrap_err(),
        scripts.versions(first.id, page()).await.unwrap_err(),
        scripts.update(first.id, 1, hello()).await.unwrap_err(),
        scripts.delete(first.id).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { kind: "script", .. }), "{error}");
    }
    assert_eq!(scripts.list(page()).await.unwrap().items, [second]);
    let entries = automa.audit(&admin).list(page()).await.unwrap().items;
    assert_eq!(entries[0].action, Action::ScriptDeleted(first.id));
    let version = automa.store.look(|view| kept_version(view, first.id, 1)).unwrap();
    assert_eq!(version.source, "echo hello");
}

#[tokio::test]
async fn only_an_active_script_runs_unattended() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let script = scripts.create(hello()).await.unwrap();
    let id = script.id;
    assert_eq!((script.status, script.visibility), (Status::Active, Visibility::Public));
    let scheduled = |number| automa.store.look(|view| find_for_schedule(view, id, number));
    let second = NewScript { source: "echo 2".to_owned(), ..hello() };
    scripts.update(id, 1, second).await.unwrap();
    let numbers = [None, Some(1)].map(|number| scheduled(number).unwrap().1.number);
    assert_eq!(numbers, [2, 1]);
    assert!(matches!(scheduled(Some(3)), Err(Error::NotFound { kind: "version", .. })));
    for status in [Status::Draft, Status::Deprecated] {
        assert_eq!(scripts.set_status(id, status, false).await.unwrap().status, status);
        let error = scheduled(None).unwrap_err();
        let said =
            format!("the script `hello` is {status}, and only active scripts run unattended");
        assert!(error.to_string().starts_with(&said), "{error}");
    }
    // What says nothing of it leaves it; what is so already is no change.
    let script = scripts.update(id, 2, hello()).await.unwrap();
    assert_eq!((script.version, script.status), (3, Status::Deprecated));
    scripts.set_status(id, Status::Deprecated, false).await.unwrap();
    let active = NewScript { status: Some(Status::Active), ..hello() };
    assert_eq!(scripts.update(id, 3, active).await.unwrap().version, 3);
    assert!(scheduled(None).is_ok());
    let entries = automa.audit(&admin).list(PageRequest::default()).await.unwrap().items;
    let told = entries.iter().filter(|it| matches!(it.action, Action::ScriptStatusChanged(..)));
    assert_eq!(told.count(), 2);
    scripts.delete(id).await.unwrap();
    assert!(matches!(scheduled(None), Err(Error::NotFound { kind: "script", .. })));
}

#[tokio::test]
async fn the_same_content_has_the_same_hash() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let id = scripts.create(hello()).await.unwrap().id;
    let limits = LimitsRequest { pids: Some(4), ..LimitsRequest::default() };
    let message = "Fewer processes.".to_owned();
    scripts.update(id, 1, NewScript { limits, message, ..hello() }).await.unwrap();
    scripts.update(id, 2, NewScript { message: "As before.".to_owned(), ..hello() }).await.unwrap();
    let versions = scripts.versions(id, PageRequest::default()).await.unwrap().items;
    let [third, second, first] = &versions[..] else { panic!("{versions:?}") };
    assert_eq!(second.message, "Fewer processes.");
    assert_eq!(first.content, third.content);
    assert_ne!(first.content, second.content);
    assert_eq!(first.content.to_string().len(), 64);
}

#[tokio::test]
async fn nobody_overwrites_what_they_have_not_read() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let id = scripts.create(hello()).await.unwrap().id;
    let writers = (0..20).map(|number| {
        let new = NewScript { source: format!("echo {number}"), ..hello() };
        async move { scripts.update(id, 1, new).await }
    });
    let mut written = 0;
    for result in join_all(writers).await {
        match result {
            Ok(script) => {
                written += 1;
                assert_eq!(script.version, 2);
            }
            Err(Error::Conflict { current: 2, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(written, 1);
    // What was refused left no entry either.
    let entries = automa.audit(&admin).list(PageRequest::default()).await.unwrap().items;
    assert_eq!(entries.len(), 2);
}

/// Runs futures together on one task, so that their changes can share a transaction.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut results = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                results.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results
}

#[tokio::test]
async fn roles_decide_who_may_do_what() {
    let automa = automa();
    let id = automa.scripts(&actor(Role::Operator)).create(hello()).await.unwrap().id;
    let viewer = actor(Role::Viewer);
    let scripts = automa.scripts(&viewer);
    assert!(scripts.get(id).is_ok());
    assert!(scripts.list(PageRequest::default()).await.is_ok());
    assert!(scripts.versions(id, PageRequest::default()).await.is_ok());
    for refused in [
        scripts.create(hello()).await.map(drop),
        scripts.update(id, 1, hello()).await.map(drop),
        scripts.delete(id).await,
    ] {
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    }
    for (role, allowed) in [(Role::Operator, false), (Role::Admin, true)] {
        let actor = actor(role);
        let entries = automa.audit(&actor).list(PageRequest::default()).await;
        assert_eq!(entries.is_ok(), allowed, "{role}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    for name in ["", " \t", "two\nlines", "bell\u{7}", &"x".repeat(201)] {
        let new = NewScript { name: name.to_owned(), ..hello() };
        assert_eq!(fields(&scripts.create(new).await.unwrap_err()), ["name"], "{name:?}");
    }
    let new = NewScript {
        name: String::new(),
        description: "x".repeat(4001),
        tags: vec!["x".repeat(51)],
        language: Language::Python,
        source: "x".repeat((1 << 20) + 1),
        parameters_schema: Some("[]".to_owned()),
        limits: LimitsRequest { pids: Some(0), ..LimitsRequest::default() },
        dispatch: DispatchRules { priority: 101, ..DispatchRules::default() },
        message: "x".repeat(501),
        ..hello()
    };
    let error = scripts.create(new).await.unwrap_err();
    let all = [
        "name",
        "description",
        "tags",
        "source",
        "message",
        "parameters_schema",
        "limits.pids",
        "priority",
    ];
    assert_eq!(fields(&error), all);
    assert!(error.to_string().starts_with("name: must be one line"), "{error}");
    let at_the_limit =
        NewScript { name: "ä".repeat(200), tags: vec!["t".repeat(50); 20], ..hello() };
    assert!(scripts.create(at_the_limit).await.is_ok());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let id = ScriptId::generate(&*automa.clock);
    let page = PageRequest::default();
    for error in [
        scripts.get(id).unwrap_err(),
        scripts.update(id, 1, hello()).await.unwrap_err(),
        scripts.version(id, 1).await.unwrap_err(),
        scripts.versions(id, page).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let automa = automa();
    let admin = actor(Role::Admin);
    let scripts = automa.scripts(&admin);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(scripts.create(hello()).await.unwrap().id);
    }
    let mut listed = Vec::new();
    let mut request = PageRequest { cursor: None, limit: Limit::new(3).unwrap() };
    loop {
        let page = scripts.list(request.clone()).await.unwrap();
        assert!(page.items.len() <= 3);
        listed.extend(page.items.iter().map(|script| script.id));
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let admin = actor(Role::Admin);
    let data = dir.path().join("data");
    let automa = Automa::builder().directory(&data).open().unwrap();
    let script = automa.scripts(&admin).create(hello()).await.unwrap();
    let second = Automa::builder().directory(&data).open().unwrap_err();
    assert!(second.to_string().contains("is open in another process"), "{second}");
    automa.close().await;
    let automa = Automa::builder().directory(&data).open().unwrap();
    assert_eq!(automa.scripts(&admin).get(script.id).unwrap(), script);
}

/// If this fails, the stored format has changed: make a new version of the record instead of
/// changing the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let clock = TestClock::with_seed("2026-01-01T00:00:00Z".parse().unwrap(), 1);
    let admin = actor(Role::Admin);
    let id = ScriptId::generate(&clock);
    let now = crate::clock::Clock::now(&clock);
    let script = Script {
        id,
        name: "hello".to_owned(),
        description: "ü".to_owned(),
        tags: vec!["a".to_owned()],
        version: 2,
        language: Language::Python,
        owner: None,
        created_at: now,
        updated_at: now,
        status: Status::Active,
        visibility: Visibility::Public,
        forked_from: None,
    };
    assert_reads(SCRIPT_V1, &script);
    assert_reads(DELETED_V1, &Deleted { script: script.clone(), at: now, by: String::new() });
    let script = Script {
        status: Status::Deprecated,
        visibility: Visibility::Private,
        forked_from: Some((id, 7)),
        ..script
    };
    let version = Version {
        script: id,
        number: 2,
        language: Language::Python,
        source: "print()".to_owned(),
        parameters_schema: Some(r#"{"type":"object"}"#.to_owned()),
        limits: LimitsRequest { wall_ms: Some(1000), ..LimitsRequest::default() },
        author: "ann".to_owned(),
        created_at: now,
        dispatch: DispatchRules::default(),
        message: String::new(),
        content: Content::default(),
    };
    let version = Version { content: Content::of(&version), ..version };
    assert_reads(VERSION_V1, &version);
    let concurrency =
        Concurrency { limit: 2, key: Some("region".to_owned()), on_conflict: OnConflict::Skip };
    let (concurrency, retry) = (Some(concurrency), Some(Retry::default()));
    let version =
        Version { dispatch: DispatchRules { priority: 7, concurrency, retry }, ..version };
    let version = Version { content: Content::of(&version), ..version };
    assert_reads(VERSION_V2, &version);
    let version = Version { message: "Shorter.".to_owned(), ..version };
    let entry = Entry::new(&clock, &admin, Action::ScriptVersionAdded(id, 2));
    for damaged in [&[][..], &[0], &[4, 3], &[3, 255], &[2, 255], &[1, 255]] {
        assert!(Script::decode(damaged).is_err() && Version::decode(damaged).is_err());
        assert!(Entry::decode(damaged).is_err());
    }
    assert_bytes(&script, SCRIPT_V2);
    assert_bytes(&version, VERSION_V3);
    assert_reads(ENTRY_V1, &entry);
    assert_bytes(&entry, ENTRY_V2);
    assert_bytes(&Deleted { script, at: now, by: "ann".to_owned() }, DELETED_V2);
}

const SCRIPT_V1: &str = "01019b76daa8007000815c0289ec2d0a910568656c6c6f02c3bc010161020100808082e288d2a306808082e288d2a306";
const SCRIPT_V2: &str = "02019b76daa8007000815c0289ec2d0a910568656c6c6f02c3bc010161020100808082e288d2a306808082e288d2a306020001019b76daa8007000815c0289ec2d0a9107";
const VERSION_V1: &str = "01019b76daa8007000815c0289ec2d0a910201077072696e74282901117b2274797065223a226f626a656374227d01e80700000000000003616e6e808082e288d2a306";
const VERSION_V2: &str = "02019b76daa8007000815c0289ec2d0a910201077072696e74282901117b2274797065223a226f626a656374227d01e80700000000000003616e6e808082e288d2a3060701020106726567696f6e020103e807e0a71200000000000000400103030406";
const VERSION_V3: &str = "03019b76daa8007000815c0289ec2d0a910201077072696e74282901117b2274797065223a226f626a656374227d01e80700000000000003616e6e808082e288d2a3060701020106726567696f6e020103e807e0a712000000000000004001030304060853686f727465722e8ddb8079b40ece8cea8d4b16d5f511d6140a8fd3a2e7df49ee17fcc2747802ba";
const DELETED_V1: &str = "01019b76daa8007000815c0289ec2d0a910568656c6c6f02c3bc010161020100808082e288d2a306808082e288d2a306808082e288d2a306";
const DELETED_V2: &str = "02019b76daa8007000815c0289ec2d0a910568656c6c6f02c3bc010161020100808082e288d2a306808082e288d2a306020001019b76daa8007000815c0289ec2d0a9107808082e288d2a30603616e6e";
const ENTRY_V1: &str = "01019b76daa8007001a7ec8e65a18debbe808082e288d2a30603616e6e000402019b76daa8007000815c0289ec2d0a910200";
const ENTRY_V2: &str = "02019b76daa8007001a7ec8e65a18debbe808082e288d2a30603616e6e000402019b76daa8007000815c0289ec2d0a91020000000100";
