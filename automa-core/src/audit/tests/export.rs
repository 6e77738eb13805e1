//! Exports: proven elsewhere, and not when a byte of them is another.

use super::{super::*, log};

async fn export(automa: &Automa) -> String {
    let me = Actor::embedder("ada");
    let audit = automa.audit(&me);
    let (mut text, mut export) = audit.export().await.unwrap();
    while let Some(more) = audit.export_next(&mut export).await.unwrap() {
        text.push_str(&more);
    }
    text
}

fn proven(export: &str, kept: &[Checkpoint]) -> Verdict {
    verify_export(export.as_bytes(), &[], kept).unwrap()
}

#[tokio::test]
async fn an_export_proves_itself_and_no_byte_of_it_can_be_another() {
    let (automa, clock) = log::open();
    let eve = Actor::nobody("=eve,\"", Origin::Api).at(Some([192, 0, 2, 7].into()));
    for name in ["a", "b"] {
        log::create(&automa, &Actor::embedder("ada"), name).await;
        clock.advance(jiff::SignedDuration::from_secs(1));
    }
    export(&automa).await;
    automa.audit(&eve).note_refused(None, "GET /api/v1/users").await.unwrap();
    let text = export(&automa).await;
    let verdict = proven(&text, &[]);
    assert_eq!((verdict.entries, verdict.checkpoints, verdict.broken), (3, 3, None), "{text}");
    assert_eq!(
        verdict.signed.unwrap().key,
        automa.audit(&Actor::embedder("ada")).public_key().unwrap()
    );
    let key: PublicKey = "00".repeat(32).parse().unwrap();
    let other = verify_export(text.as_bytes(), &[key], &[]).unwrap();
    assert!(matches!(other.broken, Some(Broken::WrongKey { .. })), "{other:?}");
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        // What is no text is no export either.
        let Ok(found) = verify_export(&*bytes, &[], &[]) else { continue };
        assert!(found.broken.is_some(), "byte {place}: {}", String::from_utf8_lossy(&bytes));
    }
    let lines: Vec<_> = text.lines().collect();
    for missing in 0..lines.len() - 1 {
        let mut lines = lines.clone();
        let line = lines.remove(missing);
        let found = proven(&(lines.join("\n") + "\n"), &[]);
        // A checkpoint in the middle may be left out: the first line has the last one.
        assert_eq!(found.broken.is_none(), line.starts_with("{\"checkpoint\""), "line {missing}");
        let mut swapped = lines.clone();
        swapped.insert(missing + 1, line);
        assert!(proven(&(swapped.join("\n") + "\n"), &[]).broken.is_some(), "line {missing}");
    }
    // An older export is whole, and is not what has been signed since.
    let older = proven(&text, &[]).signed.unwrap();
    log::create(&automa, &Actor::embedder("ada"), "c").await;
    let newer = proven(&export(&automa).await, &[older]);
    assert_eq!(newer.broken, None);
    let cut = proven(&text, &[newer.signed.unwrap()]);
    assert_eq!(cut.broken, Some(Broken::Cut { last: 3, signed: 4 }));
}

#[tokio::test]
async fn what_is_left_after_pruning_is_proven_too_and_an_empty_log_is() {
    let (automa, clock) = log::open();
    let empty = proven(&export(&automa).await, &[]);
    assert_eq!((empty.entries, empty.broken), (0, None));
    log::create(&automa, &Actor::embedder("ada"), "a").await;
    clock.advance(jiff::SignedDuration::from_hours(24 * 40));
    let rules = crate::retention::Rules { audit_days: Some(30), ..Default::default() };
    automa.retention(&Actor::embedder("ada")).set(rules).await.unwrap();
    log::keeping(&automa).prune().await.unwrap();
    let text = export(&automa).await;
    let verdict = proven(&text, &[]);
    assert_eq!((verdict.first, verdict.entries, verdict.broken), (2, 2, None), "{text}");
}

#[test]
fn what_is_no_export_is_told_so() {
    for text in ["", "\n", "{}", "{\"number\":1}\n", "number,at\r\n"] {
        assert!(matches!(proven(text, &[]).broken, Some(Broken::Line { line: 1, .. })), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_proven_by_chance_and_none_panics(text: String, line in "[ -~]{0,80}") {
        let _ = proven(&text, &[]);
        let head = export::head(None, None);
        let found = proven(&format!("{head}{line}\n"), &[]);
        proptest::prop_assert!(found.broken.is_some() || found.entries == 0);
    }
}

#[tokio::test]
async fn statistics_count_by_day_action_and_actor() {
    let (automa, clock) = log::open();
    let (ada, bob) = (Actor::embedder("ada"), Actor::embedder("bob"));
    let eve = Actor::nobody("eve", Origin::Api);
    let noon = clock.now();
    log::create(&automa, &ada, "a").await;
    let id = log::create(&automa, &bob, "b").await;
    clock.advance(jiff::SignedDuration::from_hours(24));
    automa.scripts(&ada).delete(id).await.unwrap();
    automa.audit(&eve).note_refused(None, "no").await.unwrap();
    let all = automa.audit(&ada).statistics(None, None).await.unwrap();
    let days: Vec<_> =
        all.days.iter().map(|(day, it)| (day.to_string(), it.entries, it.refused)).collect();
    assert_eq!(days, [("2026-01-01".to_owned(), 2, 0), ("2026-01-02".to_owned(), 2, 1)]);
    assert_eq!(all.actions, [("script.created", 2), ("request.refused", 1), ("script.deleted", 1)]);
    let actors: Vec<_> = all.actors.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(actors, [("ada", 2), ("bob", 1), ("eve", 1)]);
    assert!(all.is_exact);
    assert_eq!((all.total(), all.of(Outcome::Refused), all.of(Outcome::Done)), (4, 1, 3));
    let later = Some(noon + jiff::SignedDuration::from_hours(1));
    assert_eq!(automa.audit(&ada).statistics(later, None).await.unwrap().total(), 2);
    assert_eq!(automa.audit(&ada).statistics(None, later).await.unwrap().total(), 2);
}
