//! Tests of the store as a whole, and what they share.

mod durability;
mod failing;
mod fixtures;
mod group;
mod lifecycle;

use std::{future::Future, pin::Pin, sync::mpsc, task::Poll};

use serde::{Deserialize, Serialize};

use super::{
    Store,
    change::Change,
    migrate::{Schema, Tables},
    record::{Record, golden},
    table::Table,
};
use crate::error::StoreError;

/// `number -> Note`
pub(super) const NOTES: Table<u64, Note> = Table::new();
pub(super) const SCHEMA: Schema = Schema { steps: &[], tables: &[create] };

/// A record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) text: String,
}

impl Record for Note {
    const TABLE: &'static str = "notes";
    const VERSION: u8 = 1;
}

impl Note {
    pub(super) fn new(text: impl ToString + Copy) -> Self {
        Self { text: text.to_string() }
    }
}

fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    NOTES.create(tables)
}

#[test]
fn note_bytes() {
    golden::assert_bytes(&Note::new("hello"), "010568656c6c6f");
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls `future` once: a change is accepted then, for there is room in the queue.
async fn accepted<'a, T>(future: impl Future<Output = T> + 'a) -> Answer<'a, T> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "answered before it was polled again");
        Poll::Ready(())
    })
    .await;
    future
}

/// A change that keeps the writer busy until it is let go: what is accepted meanwhile goes into
/// the transactions after it, together.
struct Gate<'a> {
    go: mpsc::Sender<()>,
    answer: Answer<'a, Result<(), StoreError>>,
}

impl<'a> Gate<'a> {
    /// Returns when the writer is within the change, of which `body` is the first part.
    async fn close_with(
        store: &'a Store,
        mut body: impl FnMut(&mut Change) -> Result<(), StoreError> + Send + 'static,
    ) -> Self {
        let (entered, enter) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let answer = accepted(store.write(move |change| {
            body(change)?;
            entered.send(()).unwrap();
            gone.recv().unwrap();
            Ok(())
        }));
        let answer = answer.await;
        enter.recv().unwrap();
        Self { go, answer }
    }

    async fn close(store: &'a Store) -> Self {
        Self::close_with(store, |_| Ok(())).await
    }

    fn open(self) -> Answer<'a, Result<(), StoreError>> {
        self.go.send(()).unwrap();
        self.answer
    }

    /// Waits for no answer; what is returned opens the gate.
    fn leave(self) -> mpsc::Sender<()> {
        self.go
    }
}

fn put(key: u64) -> impl FnMut(&mut Change) -> Result<(), StoreError> {
    move |change| NOTES.put(change, key, &Note::new(key))
}

fn keys(store: &Store) -> Vec<u64> {
    let rows = store.look(|view| NOTES.oldest(view, .., usize::MAX)).unwrap();
    rows.into_iter().map(|(key, _)| key).collect()
}
