//! Where time and randomness come from.
//!
//! Both are parameters: nothing else in this crate asks the system for either, so that a test
//! decides what day it is and which numbers are drawn.

use std::{
    fmt,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::id::Sequence;

/// Longest time that the system clock waits without looking at itself again: somebody may have set
/// it.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// What [`Clock::until`] returns.
pub type Until<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A source of wall-clock time, of randomness, and of the order of ids.
///
/// A program has one and shares it (`Arc<dyn Clock>`): ids are in order of creation among those of
/// one clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time, in whole microseconds, as records store it. It may step back, as system
    /// clocks do.
    fn now(&self) -> Timestamp;

    /// Waits until the clock shows `at` or later, for ever if it never does. A clock that is set is
    /// noticed within a minute. May be cancelled.
    fn until(&self, at: Timestamp) -> Until<'_>;

    /// Fills `bytes` with random numbers; those of [`SystemClock`] are fit for secrets.
    fn fill(&self, bytes: &mut [u8]);

    /// The order of the ids that were generated with this clock.
    fn sequence(&self) -> &Sequence;
}

/// The system's time and randomness.
#[derive(Debug, Default)]
pub struct SystemClock {
    sequence: Sequence,
}

impl SystemClock {
    /// A clock whose sequence of ids is its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that time comes in through")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // Never out of range, as it is rounded towards 1970.
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    fn until(&self, at: Timestamp) -> Until<'_> {
        Box::pin(async move {
            loop {
                let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            }
        })
    }

    /// # Panics
    ///
    /// When the system gives no randomness, which Linux always does once it has booted: going on
    /// would mean guessable secrets.
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has randomness");
    }

    fn sequence(&self) -> &Sequence {
        &self.sequence
    }
}

/// A clock for tests: it shows what it was told to, and its randomness is the same in each run. Who
/// waits for a time waits until it is moved there, so that a year passes at once.
///
/// ```
/// use automa_core::clock::{Clock, TestClock};
/// use jiff::SignedDuration;
///
/// let clock = TestClock::new("2026-01-01T00:00:00Z".parse()?);
/// clock.advance(SignedDuration::from_secs(90));
/// assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug)]
pub struct TestClock {
    now: watch::Sender<Timestamp>,
    random: AtomicU64,
    sequence: Sequence,
}

impl TestClock {
    /// A clock that stands still at `now`, with randomness of seed 0.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self::with_seed(now, 0)
    }

    /// As [`new`](Self::new), with randomness of another seed.
    #[must_use]
    pub fn with_seed(now: Timestamp, seed: u64) -> Self {
        Self {
            now: watch::Sender::new(now),
            random: AtomicU64::new(seed),
            sequence: Sequence::default(),
        }
    }

    /// Shows `now` from here on, be it earlier or later. Who waits until then goes on.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// Moves on by `duration`, or back if it is negative; stops at the ends of time.
    pub fn advance(&self, duration: SignedDuration) {
        let end = if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        self.now.send_modify(|now| *now = now.checked_add(duration).unwrap_or(end));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn until(&self, at: Timestamp) -> Until<'_> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            // Its sender lives as long as the borrow of this clock.
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }

    fn fill(&self, bytes: &mut [u8]) {
        // SplitMix64: an evenly spaced counter, and a mixer that makes it look random.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        for chunk in bytes.chunks_mut(8) {
            let mut word = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }

    fn sequence(&self) -> &Sequence {
        &self.sequence
    }
}

/// A handle of a clock that others have too.
impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn until(&self, at: Timestamp) -> Until<'_> {
        (**self).until(at)
    }

    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }

    fn sequence(&self) -> &Sequence {
        (**self).sequence()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_shows_what_it_was_told() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = TestClock::new(start);
        assert_eq!(clock.now(), start);
        clock.advance(SignedDuration::from_millis(-5));
        assert_eq!(clock.now(), start - SignedDuration::from_millis(5));
        clock.advance(SignedDuration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        clock.set(start);
        assert_eq!(clock.now(), start);
    }

    #[tokio::test]
    async fn who_waits_for_a_time_goes_on_when_a_test_clock_has_come_there() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = TestClock::new(start);
        clock.until(start).await;
        let (year, day) = (SignedDuration::from_hours(365 * 24), SignedDuration::from_hours(24));
        let mut waiting = clock.until(start + year);
        let mut is_over = async || {
            let poll = std::future::poll_fn(|context| {
                std::task::Poll::Ready(waiting.as_mut().poll(context).is_ready())
            });
            poll.await
        };
        assert!(!is_over().await);
        clock.advance(year - day);
        assert!(!is_over().await);
        clock.advance(-day);
        assert!(!is_over().await, "it steps back");
        clock.advance(day + day);
        assert!(is_over().await);
    }

    #[tokio::test]
    async fn the_system_clock_waits_until_it_shows_the_time() {
        let clock = SystemClock::new();
        let at = clock.now() + SignedDuration::from_millis(2);
        clock.until(at).await;
        assert!(clock.now() >= at);
        clock.until(Timestamp::MIN).await;
    }

    #[test]
    fn a_seed_decides_all_randomness() {
        let draw = |seed| {
            let clock = TestClock::with_seed(Timestamp::UNIX_EPOCH, seed);
            let mut bytes = [[0; 13]; 2];
            for bytes in &mut bytes {
                clock.fill(bytes);
            }
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let [first, second] = draw(7);
        assert_ne!(first, second);
    }

    #[test]
    fn the_system_clock_has_time_and_randomness() {
        let clock = SystemClock::new();
        assert!(clock.now() > Timestamp::UNIX_EPOCH);
        let (mut one, mut other) = ([0; 32], [0; 32]);
        clock.fill(&mut one);
        clock.fill(&mut other);
        assert_ne!(one, other);
    }
}
