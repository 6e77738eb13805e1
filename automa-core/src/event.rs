//! Notices of what was written, for pages and streams that want to show it.
//!
//! An event is sent after its change is durable, never before, in the order of the changes. It
//! says what to look at, not what is there: who is told that something changed reads it again.
//! Events are never used to control anything, because a slow subscriber misses some.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{
    broadcast::{self, error::RecvError, error::TryRecvError},
    watch,
};

use crate::{
    execution::State,
    id::{AgentId, ApiKeyId, CredentialId, ExecutionId, JobId, ScriptId, SessionId, UserId},
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
    /// A job was created, changed or removed, or slots of it were skipped or missed.
    JobChanged(JobId),
    /// An execution was accepted, or went on to another state.
    ExecutionChanged {
        /// The execution.
        id: ExecutionId,
        /// The state it is in now.
        state: State,
    },
    /// An agent was created, changed, removed, or came to another state.
    AgentChanged(AgentId),
    /// An API key was created, changed or removed.
    ApiKeyChanged(ApiKeyId),
    /// A credential was created, changed or deleted.
    CredentialChanged(CredentialId),
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

/// How many events are kept for a slow subscriber.
const KEPT: usize = 1024;

/// Where events are published; whoever was told of them learns of its end by its drop.
#[derive(Debug)]
pub(crate) struct Publisher {
    all: broadcast::Sender<Event>,
    by_execution: Arc<ByExecution>,
}

/// Where one subscribes to what a [`Publisher`] publishes.
#[derive(Debug)]
pub(crate) struct Events {
    all: broadcast::WeakSender<Event>,
    by_execution: Arc<ByExecution>,
}

/// Who waits for single executions; `None` once nothing is published any more.
#[derive(Debug)]
struct ByExecution(Mutex<Option<HashMap<ExecutionId, watch::Sender<()>>>>);

impl Publisher {
    /// And where one subscribes to it.
    pub(crate) fn new() -> (Self, Events) {
        let all = broadcast::Sender::new(KEPT);
        let by_execution = Arc::new(ByExecution(Mutex::new(Some(HashMap::new()))));
        let events = Events { all: all.downgrade(), by_execution: Arc::clone(&by_execution) };
        (Self { all, by_execution }, events)
    }

    pub(crate) fn publish(&self, event: Event) {
        if let Some(waiting) = &*self.by_execution.lock() {
            match event {
                Event::ExecutionChanged { id, .. } => {
                    if let Some(those) = waiting.get(&id) {
                        those.send_replace(());
                    }
                }
                Event::Missed(_) => {
                    for those in waiting.values() {
                        those.send_replace(());
                    }
                }
                _ => {}
            }
        }
        // That nobody listens is no error.
        let _ = self.all.send(event);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        *self.by_execution.lock() = None;
    }
}

impl Events {
    /// All events from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        // Where there is no publisher any more, a subscription that ends at once.
        let sender = self.all.upgrade().unwrap_or_else(|| broadcast::Sender::new(1));
        Subscription(sender.subscribe())
    }

    /// What becomes of one execution from now on.
    pub(crate) fn of_execution(&self, id: ExecutionId) -> Changes {
        let mut waiting = self.by_execution.lock();
        let told = match &mut *waiting {
            Some(waiting) => waiting.entry(id).or_default().subscribe(),
            None => watch::Sender::default().subscribe(),
        };
        drop(waiting);
        Changes { id, told, by_execution: Arc::clone(&self.by_execution) }
    }
}

impl ByExecution {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<ExecutionId, watch::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of one execution. Of hundreds who wait for one each, nobody is woken for another's.
#[derive(Debug)]
pub(crate) struct Changes {
    id: ExecutionId,
    told: watch::Receiver<()>,
    by_execution: Arc<ByExecution>,
}

impl Changes {
    /// Waits until something has become of it since the last time, or may have; `false` once the
    /// store is closed. May be cancelled without loss.
    pub(crate) async fn next(&mut self) -> bool {
        self.told.changed().await.is_ok()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.by_execution.lock()
            // This one still counts.
            && waiting.get(&self.id).is_some_and(|it| it.receiver_count() <= 1)
        {
            waiting.remove(&self.id);
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
        let mut subscription = Subscription(receiver);
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
        let mut subscription = Subscription(receiver);
        assert!(subscription.next().await.is_some());
        assert!(subscription.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_for_an_execution_is_told_of_that_alone() {
        let clock = SystemClock::new();
        let [id, other] = [(); 2].map(|()| ExecutionId::generate(&clock));
        let (publisher, events) = Publisher::new();
        let (mut first, mut second) = (events.of_execution(id), events.of_execution(id));
        let changed = |id| Event::ExecutionChanged { id, state: State::Queued };
        publisher.publish(changed(other));
        publisher.publish(Event::UserChanged(UserId::generate(&clock)));
        assert!(!first.told.has_changed().unwrap());
        publisher.publish(changed(id));
        publisher.publish(changed(id));
        assert!(first.next().await && second.next().await);
        assert!(!first.told.has_changed().unwrap(), "each change is told once");
        drop(first);
        publisher.publish(Event::Missed(3));
        assert!(second.next().await, "anything may have become of it");
        drop(second);
        assert!(events.by_execution.lock().as_ref().unwrap().is_empty(), "nobody waits");
        let mut last = events.of_execution(id);
        drop(publisher);
        assert!(!last.next().await);
        assert!(!events.of_execution(id).next().await);
        assert_eq!(events.subscribe().next().await, None);
    }
}
