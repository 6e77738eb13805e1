//! Opening and closing.

use std::path::PathBuf;

use super::*;
use crate::{event::Event, store::Health};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("automa.redb");
    (directory, path)
}

#[tokio::test]
async fn a_closed_store_is_as_it_was_when_opened_again() {
    let (_directory, path) = place();
    for key in 0..3 {
        let store = Store::open_with(&path, SCHEMA).unwrap();
        assert_eq!(keys(&store), (0..key).collect::<Vec<_>>());
        store.write(put(key)).await.unwrap();
        store.shutdown().await;
    }
}

#[tokio::test]
async fn shutdown_makes_what_was_accepted_and_refuses_the_rest() {
    let (_directory, path) = place();
    let store = Store::open_with(&path, SCHEMA).unwrap();
    let mut subscription = store.subscribe();
    let gate = Gate::close(&store).await;
    let mut answers = Vec::new();
    for key in 0..100 {
        answers.push(accepted(store.write(put(key))).await);
    }
    let (shutdown, again) = (accepted(store.shutdown()).await, accepted(store.shutdown()).await);
    let refused = store.write(put(100)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Closed), "{refused:?}");
    gate.open().await.unwrap();
    shutdown.await;
    again.await;
    for answer in answers {
        answer.await.unwrap();
    }
    assert_eq!((store.health(), store.settled().await), (Health::Closed, Health::Closed));
    assert_eq!(subscription.next().await, None);
    assert_eq!(store.subscribe().next().await, None);
    let read = store.look(|view| NOTES.get(view, 1));
    assert!(matches!(read, Err(StoreError::Closed)), "{read:?}");
    let read = store.read(|view| NOTES.get(view, 1)).await;
    assert!(matches!(read, Err(StoreError::Closed)), "{read:?}");
    let reopened = Store::open_with(&path, SCHEMA).unwrap();
    assert_eq!(keys(&reopened), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn dropping_the_last_handle_makes_what_was_accepted() {
    let (_directory, path) = place();
    let store = Store::open_with(&path, SCHEMA).unwrap();
    let gate = Gate::close(&store).await;
    for key in 0..100 {
        drop(accepted(store.write(put(key))).await);
    }
    drop(gate.open());
    drop(store);
    let store = Store::open_with(&path, SCHEMA).unwrap();
    assert_eq!(keys(&store), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_change_may_hold_the_last_handle() {
    let (_directory, path) = place();
    let store = Store::open_with(&path, SCHEMA).unwrap();
    let mut subscription = store.subscribe();
    let gate = Gate::close(&store).await;
    let held = store.clone();
    let write = store.write(move |change| {
        assert_eq!(held.health(), Health::Ready);
        NOTES.put(change, 1, &Note::new("held"))
    });
    drop(accepted(write).await);
    let go = gate.leave();
    drop(store);
    go.send(()).unwrap();
    assert_eq!(subscription.next().await, None::<Event>);
}

#[test]
fn a_second_opener_is_refused() {
    let (_directory, path) = place();
    let _store = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    let expected = format!("{} is open in another process; stop that first", path.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_newer_store_is_refused() {
    let (_directory, path) = place();
    let newer = Schema { steps: &[|_| Ok(()), |_| Ok(()), |_| Ok(()), |_| Ok(())], tables: &[] };
    drop(Store::open_with(&path, newer).unwrap());
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 5, known: 4 }), "{error:?}");
}

#[test]
fn a_store_is_opened_without_a_runtime() {
    let store = Store::in_memory().unwrap();
    assert_eq!(store.health(), Health::Ready);
    assert!(format!("{store:?}").contains("Ready"));
}
