//! Notices of what was written, for pages and streams that want to show it.
//!
//! An event is sent after its change is durable, never before, in the order of the changes. It
//! says what to look at, not what is there: who is told that something changed reads it again.
//! Events are never used to control anything, because a slow subscriber misses some.

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::{
    execution::State,
    id::{ExecutionId, ScriptId, SessionId, UserId},
};

/// Something that happened and is already stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A user was created, changed or removed.
    UserChanged(UserId),
    /// A session was ended before its time.
    SessionEnded(SessionId),
    /// A script was created, changed or removed.
    ScriptChanged(ScriptId),
    /// An execution was accepted, or went on to another state.
    ExecutionChanged {
        /// The execution.
        id: ExecutionId,
        /// The state it is in now.
        state: State,
    },
    /// This many events are missing here, because the subscriber was too slow or the store failed:
    /// anything may have changed.
    Missed(u64),
}

/// The events from the moment of subscription.
///
/// The last 1,024 are kept for a subscriber; one that is further behind gets
/// [`Event::Missed`] in place of those it missed, and never slows down who writes.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Event>);

impl Subscription {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self(receiver)
    }

    /// Waits for the next event; `None` once the store is closed.
    ///
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.0.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemClock, TestClock};

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_much_it_missed() {
        let clock = TestClock::new(jiff::Timestamp::UNIX_EPOCH);
        let (sender, receiver) = broadcast::channel(4);
        let mut subscription = Subscription::new(receiver);
        let users: Vec<_> = (0..10).map(|_| UserId::generate(&clock)).collect();
        for &user in &users {
            sender.send(Event::UserChanged(user)).unwrap();
        }
        drop(sender);
        assert_eq!(subscription.next().await, Some(Event::Missed(6)));
        for &user in &users[6..] {
            assert_eq!(subscription.try_next(), Some(Event::UserChanged(user)));
        }
        assert_eq!(subscription.try_next(), None);
        assert_eq!(subscription.next().await, None);
    }

    #[tokio::test]
    async fn the_end_is_told() {
        let (sender, receiver) = broadcast::channel(1);
        let id = ExecutionId::generate(&SystemClock::new());
        sender.send(Event::ExecutionChanged { id, state: State::Queued }).unwrap();
        drop(sender);
        let mut subscription = Subscription::new(receiver);
        assert!(subscription.next().await.is_some());
        assert!(subscription.next().await.is_none());
    }
}
