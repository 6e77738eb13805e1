//! A bounded queue from many futures to one thread.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Semaphore;

/// Who pushes waits as a future, who takes waits as a thread.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// One permit per free place.
    places: Semaphore,
}

struct State<T> {
    items: VecDeque<T>,
    open: bool,
}

/// What [`Queue::take`] came back with.
pub(super) enum Taken<T> {
    /// At least one item, oldest first.
    Items(Vec<T>),
    /// Nothing until the deadline.
    Nothing,
    /// Nothing, and nothing will ever come.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(places: usize) -> Self {
        let state = State { items: VecDeque::new(), open: true };
        Self { state: Mutex::new(state), arrived: Condvar::new(), places: Semaphore::new(places) }
    }

    /// Waits for a place, unless there is one, and puts `item` there; gives it back if the queue is
    /// closed.
    ///
    /// The item is either in the queue or, if the future is dropped before, was never there.
    pub(super) async fn push(&self, item: T) -> Result<(), T> {
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            // Places that come free go to those who wait, in turn.
            Err(_) => match self.places.acquire().await {
                Ok(place) => place,
                Err(_) => return Err(item),
            },
        };
        let mut state = self.lock();
        if !state.open {
            return Err(item);
        }
        // `take` gives the place back.
        place.forget();
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for items, until `deadline` if there is one, and takes at most `most` of them.
    pub(super) fn take(&self, most: usize, deadline: Option<Instant>) -> Taken<T> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if !state.open {
                return Taken::Closed;
            }
            let Some(deadline) = deadline else {
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            let waited = self.arrived.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let count = most.min(state.items.len());
        let items = state.items.drain(..count).collect();
        drop(state);
        self.places.add_permits(count);
        Taken::Items(items)
    }

    /// Lets nothing more in. What is in can still be taken.
    pub(super) fn close(&self) {
        self.lock().open = false;
        self.places.close();
        self.arrived.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    async fn is_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
        let mut future = future;
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending()))
            .await
    }

    fn items<T>(taken: Taken<T>) -> Vec<T> {
        match taken {
            Taken::Items(items) => items,
            Taken::Nothing | Taken::Closed => Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_full_queue_lets_wait_and_the_first_to_come_goes_in_first() {
        let queue = Queue::new(2);
        queue.push(1).await.unwrap();
        queue.push(2).await.unwrap();
        let (mut third, mut fourth) = (pin!(queue.push(3)), pin!(queue.push(4)));
        assert!(is_pending(third.as_mut()).await && is_pending(fourth.as_mut()).await);
        assert_eq!(items(queue.take(1, None)), [1]);
        third.await.unwrap();
        assert!(is_pending(fourth.as_mut()).await);
        assert_eq!(items(queue.take(9, None)), [2, 3]);
        fourth.await.unwrap();
        assert_eq!((queue.len(), items(queue.take(9, None))), (1, vec![4]));
    }

    #[tokio::test]
    async fn a_dropped_push_leaves_nothing_and_takes_no_place() {
        let queue = Queue::new(1);
        queue.push(1).await.unwrap();
        {
            let mut dropped = pin!(queue.push(2));
            assert!(is_pending(dropped.as_mut()).await);
        }
        assert_eq!(items(queue.take(9, None)), [1]);
        queue.push(3).await.unwrap();
        assert_eq!(items(queue.take(9, None)), [3]);
    }

    #[tokio::test]
    async fn a_closed_queue_is_drained_and_takes_nothing() {
        let queue = Queue::new(1);
        queue.push(1).await.unwrap();
        let mut waiting = pin!(queue.push(2));
        assert!(is_pending(waiting.as_mut()).await);
        queue.close();
        assert_eq!(waiting.await, Err(2));
        assert_eq!(queue.push(3).await, Err(3));
        assert_eq!(items(queue.take(9, None)), [1]);
        assert!(matches!(queue.take(9, None), Taken::Closed));
    }

    #[test]
    fn a_deadline_that_has_passed_is_told() {
        let queue = Queue::<u8>::new(1);
        assert!(matches!(queue.take(9, Some(Instant::now())), Taken::Nothing));
    }
}
