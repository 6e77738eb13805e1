//! Many changes in one transaction: each for itself, and in order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::task::JoinSet;

use super::*;
use crate::{
    clock::TestClock,
    event::{Event, Subscription},
    id::UserId,
    store::change::View,
};

fn store() -> Store {
    Store::in_memory_with(SCHEMA).unwrap()
}

fn events(subscription: &mut Subscription) -> Vec<Event> {
    std::iter::from_fn(|| subscription.try_next()).collect()
}

fn users<const N: usize>() -> [UserId; N] {
    let clock = TestClock::new(jiff::Timestamp::UNIX_EPOCH);
    std::array::from_fn(|_| UserId::generate(&clock))
}

#[tokio::test]
async fn changes_that_wait_share_a_transaction() {
    let store = store();
    let gate = Gate::close(&store).await;
    let mut answers = Vec::new();
    for key in 0..1000 {
        answers.push(accepted(store.write(put(key))).await);
    }
    assert_eq!(store.stats().waiting, 1000);
    gate.open().await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.commits, stats.changes, stats.waiting), (2, 1001, 0));
    assert_eq!(keys(&store), (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_of_many_writers_reads_what_was_acknowledged_and_stays_in_order() {
    const EACH: u64 = 20;
    let store = store();
    let mut writers = JoinSet::new();
    for writer in 0..100u64 {
        let store = store.clone();
        writers.spawn(async move {
            for number in 0..EACH {
                let append = move |change: &mut Change| {
                    let last = NOTES.newest(change, .., 1)?.pop();
                    let next = last.map_or(0, |(key, _)| key + 1);
                    NOTES.insert(change, next, &Note::new(&*format!("{writer} {number}")))?;
                    Ok::<_, StoreError>(next)
                };
                let key = store.write(append).await.unwrap();
                let look = move |view: &_| NOTES.get(view, key);
                let expected = Some(Note::new(&*format!("{writer} {number}")));
                assert_eq!(store.look(look).unwrap(), expected);
                assert_eq!(store.read(look).await.unwrap(), expected);
            }
        });
    }
    while let Some(joined) = writers.join_next().await {
        joined.unwrap();
    }
    let rows = store.look(|view| NOTES.oldest(view, .., usize::MAX)).unwrap();
    for writer in 0..100 {
        let prefix = format!("{writer} ");
        let numbers = rows.iter().filter_map(|(_, note)| note.text.strip_prefix(&prefix));
        let expected: Vec<_> = (0..EACH).map(|number| number.to_string()).collect();
        assert_eq!(numbers.collect::<Vec<_>>(), expected, "writer {writer}");
    }
    assert_eq!(store.stats().changes, 100 * EACH);
}

#[tokio::test]
async fn a_change_that_fails_takes_back_its_own_writes_alone() {
    let store = store();
    let runs = Arc::new(AtomicUsize::new(0));
    let gate = Gate::close(&store).await;
    let counted = Arc::clone(&runs);
    let before = store.write(move |change| {
        counted.fetch_add(1, Ordering::Relaxed);
        NOTES.insert(change, 1, &Note::new("before"))
    });
    let before = accepted(before).await;
    let fails = store.write(|change| {
        NOTES.put(change, 1, &Note::new("spoilt"))?;
        NOTES.insert(change, 2, &Note::new("spoilt"))?;
        NOTES.insert(change, 2, &Note::new("again"))
    });
    let fails = accepted(fails).await;
    let after = accepted(store.write(|change| NOTES.insert(change, 2, &Note::new("after")))).await;
    gate.open().await.unwrap();

    before.await.unwrap();
    let error = fails.await.unwrap_err();
    assert!(matches!(error, StoreError::Exists { table: "notes" }), "{error:?}");
    after.await.unwrap();
    let rows = store.look(|view| NOTES.oldest(view, .., 9)).unwrap();
    assert_eq!(rows, [(1, Note::new("before")), (2, Note::new("after"))]);
    assert_eq!(runs.load(Ordering::Relaxed), 2, "applied again without the one that failed");
    assert_eq!(store.stats().commits, 1);
}

#[tokio::test]
async fn a_change_that_is_refused_before_it_writes_makes_nobody_run_again() {
    let store = store();
    store.write(put(1)).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let gate = Gate::close(&store).await;
    let mut answers = Vec::new();
    for key in 1..=3 {
        let counted = Arc::clone(&runs);
        let insert = move |change: &mut Change| {
            counted.fetch_add(1, Ordering::Relaxed);
            NOTES.insert(change, key, &Note::new(key))
        };
        answers.push(accepted(store.write(insert)).await);
    }
    gate.open().await.unwrap();
    let mut results = Vec::new();
    for answer in answers {
        results.push(answer.await.is_ok());
    }
    assert_eq!(results, [false, true, true]);
    assert_eq!(runs.load(Ordering::Relaxed), 3);
    assert_eq!((keys(&store), store.stats().commits), (vec![1, 2, 3], 2));
}

#[tokio::test]
async fn a_change_that_panics_is_the_only_one_that_fails() {
    let store = store();
    let gate = Gate::close(&store).await;
    let before = accepted(store.write(put(1))).await;
    let panics = store.write(|change| -> Result<(), StoreError> {
        let mut notes = change.open_mut(redb::TableDefinition::<u64, &[u8]>::new("notes"))?;
        notes.insert(1, &[][..])?;
        notes.insert(2, &[][..])?;
        panic!("a bug in {}", "a change");
    });
    let panics = accepted(panics).await;
    let after = accepted(store.write(put(3))).await;
    gate.open().await.unwrap();
    before.await.unwrap();
    let error = panics.await.unwrap_err();
    assert_eq!(error.to_string(), "a change of the store panicked: a bug in a change");
    after.await.unwrap();
    assert_eq!(keys(&store), [1, 3]);
    assert_eq!(store.look(|view| NOTES.get(view, 1)).unwrap(), Some(Note::new(1)));
    store.write(put(4)).await.unwrap();
}

#[tokio::test]
async fn a_change_that_panics_when_it_is_dropped_is_the_only_one_that_fails() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "a bug in a drop");
        }
    }
    let store = store();
    let bomb = Bomb;
    let write = store.write(move |change| {
        let _held = &bomb;
        put(1)(change)
    });
    write.await.unwrap();
    store.write(put(2)).await.unwrap();
    assert_eq!(keys(&store), [1, 2]);
}

#[tokio::test]
async fn a_change_that_only_reads_costs_no_commit() {
    let store = store();
    let count = |change: &mut Change| Ok::<_, StoreError>(NOTES.oldest(change, .., 9)?.len());
    assert_eq!(store.write(count).await.unwrap(), 0);
    assert_eq!((store.stats().commits, store.stats().changes), (0, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_changes_nothing() {
    let store = store();
    let gate = Gate::close(&store).await;
    let count = |change: &mut Change| {
        let count = NOTES.get(change, 7)?.map_or(0, |note| note.text.parse().unwrap_or(0)) + 1;
        NOTES.put(change, 7, &Note::new(count))
    };
    for _ in 0..3 {
        drop(accepted(store.write(count)).await);
    }
    gate.open().await.unwrap();
    store.write(count).await.unwrap();
    assert_eq!(store.look(|view| NOTES.get(view, 7)).unwrap(), Some(Note::new(4)));
}

#[tokio::test]
async fn events_come_after_the_commit_and_in_its_order() {
    let store = store();
    let mut subscription = store.subscribe();
    let [first, second, spoilt, refused, third] = users();
    let emit = |user: UserId| {
        move |change: &mut Change| {
            change.emit(Event::UserChanged(user));
            NOTES.put(change, 1, &Note::new(user))
        }
    };
    let gate = Gate::close_with(&store, emit(first)).await;
    let answers = [
        accepted(store.write(emit(second))).await,
        accepted(store.write(move |change| {
            emit(spoilt)(change)?;
            NOTES.insert(change, 1, &Note::new("spoilt"))
        }))
        .await,
        accepted(store.write(move |change| {
            change.emit(Event::UserChanged(refused));
            NOTES.insert(change, 1, &Note::new("refused"))
        }))
        .await,
        accepted(store.write(emit(third))).await,
    ];
    assert_eq!(events(&mut subscription), [], "not durable yet");
    gate.open().await.unwrap();
    let mut results = Vec::new();
    for answer in answers {
        results.push(answer.await.is_ok());
    }
    assert_eq!(results, [true, false, false, true]);
    let expected = [first, second, third].map(Event::UserChanged);
    assert_eq!(events(&mut subscription), expected, "who was answered has its event");
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was_and_never_waits_for_the_writer() {
    let store = store();
    store.write(put(1)).await.unwrap();
    let gate = Gate::close_with(&store, put(2)).await;
    assert_eq!(keys(&store), [1], "while a transaction is open");
    let opened = gate.open();
    opened.await.unwrap();
    assert_eq!(keys(&store), [1, 2]);
}

#[tokio::test]
#[should_panic(expected = "a bug in a read")]
async fn a_read_that_panics_panics_at_its_caller() {
    let _ = store().read(|_| -> Result<(), StoreError> { panic!("a bug in a read") }).await;
}

#[tokio::test]
async fn a_missing_table_is_an_error() {
    let missing = redb::TableDefinition::<u64, u64>::new("missing");
    let result = store().look(|view| view.open(missing).map(|_| ()));
    assert!(matches!(result, Err(StoreError::Database(_))), "{result:?}");
}
