use proptest::prelude::*;

use super::*;
use crate::{
    Automa,
    actor::{Actor, Origin, Role},
    clock::TestClock,
    page::Limit,
    script::{NewScript, Visibility},
};

fn automa() -> Automa {
    let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
    Automa::builder().in_memory().clock(clock).open().unwrap()
}

fn new(name: &str, source: &str) -> NewScript {
    NewScript::new(name, Language::Bash, source)
}

async fn add(automa: &Automa, new: NewScript) -> ScriptId {
    automa.scripts(&Actor::embedder("ann")).create(new).await.unwrap().id
}

fn text(text: &str) -> Search {
    Search { text: text.to_owned(), ..Search::default() }
}

async fn found(automa: &Automa, search: Search) -> Vec<Found> {
    let me = Actor::embedder("ann");
    automa.scripts(&me).search(search, PageRequest::default()).await.unwrap().items
}

async fn names(automa: &Automa, search: Search) -> Vec<String> {
    found(automa, search).await.into_iter().map(|it| it.script.name).collect()
}

#[tokio::test]
async fn what_is_in_the_name_comes_first_then_tags_descriptions_and_sources() {
    let automa = automa();
    add(&automa, new("by source", "line one\n  pg_dump BACKUP | gzip\n")).await;
    let described = "Makes a Backup each night.".to_owned();
    add(&automa, NewScript { description: described, ..new("by description", "") }).await;
    let tags = vec!["backups".to_owned(), "db".to_owned()];
    add(&automa, NewScript { tags, ..new("by tag", "backup") }).await;
    add(&automa, new("nightly-backup", "backup")).await;
    add(&automa, new("backup", "")).await;
    add(&automa, new("other", "restore")).await;
    let expected = ["backup", "nightly-backup", "by tag", "by description", "by source"];
    assert_eq!(names(&automa, text("bAckUp")).await, expected);
    let found = found(&automa, text("backup")).await;
    let hit = found[4].hit.clone().unwrap();
    assert_eq!((hit.place, hit.line, &*hit.text), (Place::Source, 2, "pg_dump BACKUP | gzip"));
    assert_eq!(&hit.text[hit.mark], "BACKUP");
    let hit = found[2].hit.clone().unwrap();
    assert_eq!((hit.place, &*hit.text, hit.mark), (Place::Tag, "backups", 0..6));
    // Each word has to be somewhere.
    assert_eq!(names(&automa, text(" gzip  source ")).await, ["by source"]);
    assert_eq!(names(&automa, text("gzip restore")).await, [""; 0]);
}

#[tokio::test]
async fn a_new_version_is_found_by_its_source_and_no_longer_by_the_old_one() {
    let automa = automa();
    let me = Actor::embedder("ann");
    let id = add(&automa, new("script", "echo once")).await;
    assert_eq!(names(&automa, text("once")).await, ["script"]);
    automa.scripts(&me).update(id, 1, new("script", "echo twice")).await.unwrap();
    assert_eq!(names(&automa, text("once")).await, [""; 0]);
    assert_eq!(names(&automa, text("twice")).await, ["script"]);
    automa.scripts(&me).delete(id).await.unwrap();
    assert_eq!(names(&automa, text("twice")).await, [""; 0]);
}

#[tokio::test]
async fn filters_leave_what_is_all_of_them() {
    let automa = automa();
    let python = NewScript {
        tags: vec!["Etl".to_owned()],
        status: Some(Status::Draft),
        language: Language::Python,
        ..new("python", "")
    };
    add(&automa, python).await;
    add(&automa, NewScript { tags: vec!["etl".to_owned()], ..new("bash", "") }).await;
    let tag = || Search { tag: Some("ETL".to_owned()), ..Search::default() };
    assert_eq!(names(&automa, tag()).await, ["bash", "python"]);
    assert_eq!(
        names(&automa, Search { language: Some(Language::Python), ..tag() }).await,
        ["python"]
    );
    assert_eq!(names(&automa, Search { status: Some(Status::Active), ..tag() }).await, ["bash"]);
    let owner = Some("018f0000-0000-7000-8000-000000000001".parse().unwrap());
    assert_eq!(names(&automa, Search { owner, ..tag() }).await, [""; 0]);
    assert_eq!(
        names(&automa, Search { sort: Some(Sort::Name), ..tag() }).await,
        ["bash", "python"]
    );
}

#[tokio::test]
async fn a_private_script_is_there_for_its_owner_and_admins_alone() {
    let automa = automa();
    let user = |number: u8, role| {
        let id = format!("018f0000-0000-7000-8000-00000000000{number}").parse().unwrap();
        Actor::user(id, format!("user {number}"), role, Origin::Web)
    };
    let (owner, other) = (user(1, Role::Operator), user(2, Role::Operator));
    let private =
        || NewScript { visibility: Some(Visibility::Private), ..new("secret plan", "echo secret") };
    let id = automa.scripts(&owner).create(private()).await.unwrap().id;
    for (actor, sees) in [(&owner, true), (&user(3, Role::Admin), true), (&other, false)] {
        let scripts = automa.scripts(actor);
        let page = PageRequest::default();
        assert_eq!(scripts.get(id).is_ok(), sees);
        assert_eq!(scripts.version(id, 1).await.is_ok(), sees);
        assert_eq!(scripts.versions(id, page.clone()).await.is_ok(), sees);
        assert_eq!(!scripts.list(page.clone()).await.unwrap().items.is_empty(), sees);
        assert_eq!(!scripts.search(text("secret"), page).await.unwrap().items.is_empty(), sees);
        assert_eq!(automa.retention(actor).of_script(id).is_ok(), sees);
    }
    let scripts = automa.scripts(&other);
    for refused in [
        scripts.update(id, 1, new("x", "x")).await.map(drop),
        scripts.set_status(id, Status::Draft, false).await.map(drop),
        scripts.fork(id, None).await.map(drop),
        scripts.delete(id).await,
    ] {
        assert!(matches!(refused, Err(Error::NotFound { kind: "script", .. })), "{refused:?}");
    }
    // A public one is everybody's to change, but not to hide.
    let public = NewScript { visibility: Some(Visibility::Public), ..private() };
    automa.scripts(&owner).update(id, 1, public).await.unwrap();
    let changed = automa.scripts(&other).update(id, 1, new("plan", "echo plan")).await.unwrap();
    assert_eq!((changed.version, changed.visibility), (2, Visibility::Public));
    let hidden = automa.scripts(&other).update(id, 2, private()).await;
    let Err(Error::Invalid(fields)) = hidden else { panic!("{hidden:?}") };
    assert_eq!(fields[0].field, "visibility");
    let fork = automa.scripts(&other).fork(id, Some(1)).await.unwrap();
    assert_eq!((fork.version, fork.forked_from), (1, Some((id, 1))));
    assert_eq!((fork.status, fork.visibility), (Status::Draft, Visibility::Private));
    assert_eq!((fork.owner, automa.scripts(&owner).get(fork.id).is_ok()), (other.user, false));
    let first = automa.scripts(&other).version(fork.id, 1).await.unwrap();
    let copied = automa.scripts(&owner).version(id, 1).await.unwrap();
    assert_eq!((first.source.as_str(), &*first.author), ("echo secret", "user 2"));
    assert_eq!(first.content, copied.content);
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused() {
    let automa = automa();
    let me = Actor::embedder("ann");
    let refused = automa.scripts(&me).search(text(&"x".repeat(201)), PageRequest::default()).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
}

/// Every order has each script once, however it is cut into pages, and a cursor is of one search.
#[tokio::test]
async fn pages_of_every_order_have_each_script_once() {
    let automa = automa();
    let me = Actor::embedder("ann");
    let scripts = automa.scripts(&me);
    let mut ids = Vec::new();
    for number in 0..11 {
        let name = ["b", "ä", "a", "a b"][number % 4];
        ids.push(add(&automa, new(name, &"echo word ".repeat(number))).await);
    }
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| number % 3 == 0) {
        scripts.update(*id, 1, new("a", &format!("word {number}"))).await.unwrap();
    }
    for sort in [None].into_iter().chain(Sort::ALL.map(Some)) {
        for looked_for in ["", "word"] {
            let search = || Search { sort, ..text(looked_for) };
            let whole: Vec<_> =
                found(&automa, search()).await.into_iter().map(|it| it.script.id).collect();
            assert_eq!(whole.len(), 11);
            let (mut pieces, mut cursor) = (Vec::new(), None);
            loop {
                let request = PageRequest { cursor, limit: Limit::new(3).unwrap() };
                let page = scripts.search(search(), request).await.unwrap();
                pieces.extend(page.items.iter().map(|it| it.script.id));
                cursor = page.next_cursor;
                let Some(next) = &cursor else { break };
                let other = PageRequest { cursor: Some(next.clone()), ..PageRequest::default() };
                let refused = scripts.search(text("else"), other).await;
                assert!(matches!(refused, Err(Error::Store(StoreError::Cursor(_)))));
            }
            assert_eq!(pieces, whole, "{sort:?} {looked_for}");
        }
    }
    let by_name = Search { sort: Some(Sort::Name), ..Search::default() };
    let listed = names(&automa, by_name).await;
    assert!(listed.is_sorted(), "{listed:?}");
}

proptest! {
    /// Whatever is looked for in whatever text: what is told is text of the script, on one line.
    #[test]
    fn a_hit_is_within_its_text(word in "\\PC{1,6}", before in "(?s).{0,200}", after in "(?s).{0,200}") {
        let script = Script {
            id: ScriptId::MIN,
            name: "-".to_owned(),
            description: format!("{before}{word}{after}"),
            tags: Vec::new(),
            version: 1,
            language: Language::Bash,
            owner: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
            status: Status::Active,
            visibility: Visibility::Public,
            forked_from: None,
        };
        let terms = Terms::new(&word);
        let nothing = || Ok(String::new());
        if let Some(hit) = terms.hit(&script, nothing).unwrap() {
            prop_assert!(hit.text.get(hit.mark.clone()).is_some(), "{hit:?}");
            prop_assert!(!hit.text.contains('\n') && hit.text.chars().count() <= 161);
            prop_assert!(script.description.split('\n').nth(hit.line as usize - 1).is_some());
        }
        let source = format!("{before}{word}{after}").to_lowercase();
        let weighed = terms.weigh(&script, || Ok(source)).unwrap();
        prop_assert!(weighed.is_some() || !word.split_whitespace().all(|it| it == word));
    }
}
