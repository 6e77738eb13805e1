//! Looking for lines in logs of any size: each question is answered within a moment, as far as that
//! goes, and tells where to go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    AttemptOf, Executions,
    log::{Count, Direction, Found, LogError, LogReader, Search},
};
use crate::{Error, Result, blocking};

/// Time after which a search returns what it has.
const MOMENT: Duration = Duration::from_millis(250);

/// Most lines that are counted.
pub const COUNT_MAX: u64 = 10_000;

impl Executions<'_> {
    /// Up to `limit` lines of a log that are looked for, from line `from` on, and where to go on: as
    /// [`LogReader::find`], off the async threads. Returns after a quarter of a second with what was
    /// found until then; whoever stops waiting stops the search.
    ///
    /// # Errors
    ///
    /// As [`log`](Self::log).
    pub async fn find(
        &self,
        of: impl Into<AttemptOf>,
        search: Search,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Found> {
        self.look(of.into(), move |log, go_on| log.find(&search, from, direction, limit, go_on))
            .await
    }

    /// How many lines from `from` to `to` are looked for, [`COUNT_MAX`] at most, and where to go on:
    /// as [`LogReader::count`], otherwise as [`find`](Self::find).
    ///
    /// # Errors
    ///
    /// As [`log`](Self::log).
    pub async fn count_lines(
        &self,
        of: impl Into<AttemptOf>,
        search: Search,
        (from, to): (u64, u64),
    ) -> Result<Count> {
        self.look(of.into(), move |log, go_on| log.count(&search, (from, to), COUNT_MAX, go_on))
            .await
    }

    async fn look<T: Send + 'static>(
        &self,
        of: AttemptOf,
        look: impl FnOnce(&LogReader, &mut dyn FnMut() -> bool) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T> {
        let log = self.log(of)?;
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let still = Arc::clone(&wanted.0);
        blocking::run(move || {
            let begun = Instant::now();
            let mut go_on = || still.load(Ordering::Relaxed) && begun.elapsed() < MOMENT;
            Ok::<_, Error>(look(&log, &mut go_on)?)
        })
        .await
    }
}

/// Somebody waits for the result.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
