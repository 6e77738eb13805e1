//! What a running agent has beside what every execution has: somebody who writes to it, sends it
//! signals, and looks at what it says and uses.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use automa_sandbox::{Child, Chunk, Command, Connector, Stream, UsageHistory, UsagePoint};
use jiff::Timestamp;
use memchr::memmem;
use tokio::{
    net::{TcpStream, unix::pipe},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::{
    agent::{Agent, Point},
    execution::log::Keep,
};

/// Of one execution of an agent, as long as that runs.
pub(crate) struct Console {
    /// How long it may take to end.
    pub(crate) grace: Duration,
    /// How much of its log is kept.
    log_bytes: u64,
    /// What it reads its standard input from, until it is started.
    input: Mutex<Option<OwnedFd>>,
    /// The other end of that.
    pen: pipe::Sender,
    signals: mpsc::UnboundedSender<i32>,
    to_send: tokio::sync::Mutex<mpsc::UnboundedReceiver<i32>>,
    seen: Mutex<Seen>,
    ready: watch::Sender<bool>,
    /// What it uses and serves, once it was started.
    child: OnceLock<(UsageHistory, Connector)>,
    /// What was looked at last, and what came of it.
    sampled: Mutex<Option<(UsagePoint, Point)>>,
}

/// What it has said.
#[derive(Debug)]
struct Seen {
    /// When, most recently.
    last: Instant,
    /// What it says when it is ready, until it has.
    awaited: Option<Vec<u8>>,
    /// The last bytes of stdout and stderr, in which that may have begun.
    ends: [Vec<u8>; 2],
}

/// Why something could not be said to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TellError {
    /// It has not read what was said before.
    Full,
    /// It has closed its input, or has ended.
    Closed,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// Of an agent that is about to be started.
    pub(crate) fn new(agent: &Agent) -> io::Result<Self> {
        let (input, pen) = io::pipe()?;
        let (signals, to_send) = mpsc::unbounded_channel();
        let awaited = agent.ready.as_ref().and_then(|ready| ready.output.clone());
        let awaited = awaited.map(String::into_bytes);
        let seen = Seen { last: Instant::now(), awaited, ends: [Vec::new(), Vec::new()] };
        Ok(Self {
            grace: Duration::from_millis(agent.grace_ms),
            log_bytes: agent.log_bytes,
            input: Mutex::new(Some(input.into())),
            pen: pipe::Sender::from_owned_fd(pen.into())?,
            signals,
            to_send: tokio::sync::Mutex::new(to_send),
            seen: Mutex::new(seen),
            ready: watch::Sender::new(false),
            child: OnceLock::new(),
            sampled: Mutex::default(),
        })
    }

    /// How much of its log is kept: what was written last.
    pub(super) fn keep(&self) -> Keep {
        Keep::newest(self.log_bytes)
    }

    /// Gives the command its standard input, if that was not done.
    pub(super) fn connect(&self, command: Command) -> Command {
        match lock(&self.input).as_ref().map(OwnedFd::try_clone) {
            Some(Ok(input)) => command.stdin(input),
            Some(Err(_)) | None => command,
        }
    }

    /// Takes note of its sandbox, and keeps its standard input for it alone.
    pub(super) fn started(&self, child: &Child) {
        lock(&self.input).take();
        // There is one sandbox for one console.
        let _ = self.child.set((child.history(), child.connector()));
        lock(&self.seen).last = Instant::now();
    }

    /// Writes a line to its standard input: all of it or nothing.
    pub(crate) fn tell(&self, line: &str) -> Result<(), TellError> {
        // Not more than a pipe takes as a whole: see `agent::LINE_MAX`.
        match self.pen.try_write(format!("{line}\n").as_bytes()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(TellError::Full),
            Err(_) => Err(TellError::Closed),
        }
    }

    /// Sends it a signal, as soon as it runs.
    pub(crate) fn signal(&self, signal: i32) {
        // Once it has ended there is nobody left to be told.
        let _ = self.signals.send(signal);
    }

    /// The next signal to be sent. May be cancelled without loss.
    pub(super) async fn next_signal(&self) -> i32 {
        let next = self.to_send.lock().await.recv().await;
        // Its other end is here.
        next.unwrap_or_default()
    }

    /// Takes note of what it says.
    pub(super) fn on_output(&self, chunk: &Chunk) {
        let mut seen = lock(&self.seen);
        seen.last = Instant::now();
        if seen.says(chunk) {
            self.ready.send_replace(true);
        }
    }

    /// Waits until it has said that it is ready.
    pub(crate) async fn is_ready(&self) {
        // Its other end is here.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Waits until it has been silent for so long, from now on.
    pub(crate) async fn is_silent_for(&self, time: Duration) {
        let begun = Instant::now();
        loop {
            let until = lock(&self.seen).last.max(begun) + time;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Connects to a port of its own loopback interface.
    ///
    /// # Errors
    ///
    /// As [`Connector::connect`].
    pub(crate) async fn connect_to(&self, port: u16) -> io::Result<TcpStream> {
        match self.child.get() {
            Some((_, connector)) => connector.connect(port).await,
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// What it has used since this was last asked; `None` where nothing is known yet.
    pub(crate) fn sample(&self, at: Timestamp, restarts: u64) -> Option<Point> {
        let now = self.child.get()?.0.latest()?;
        let mut sampled = lock(&self.sampled);
        let before = sampled.map_or((0, 0), |(before, _)| (before.at_ms, before.cpu_ms));
        let point = point(at, before, now, restarts);
        *sampled = Some((now, point));
        Some(point)
    }

    /// What it uses now, and the share of processors that it had when it was last looked at, else
    /// since its start.
    pub(crate) fn usage(&self, at: Timestamp, restarts: u64) -> Option<Point> {
        let now = self.child.get()?.0.latest()?;
        let sampled = lock(&self.sampled).map(|(_, point)| point.cpu_millis);
        let point = point(at, (0, 0), now, restarts);
        Some(Point { cpu_millis: sampled.unwrap_or(point.cpu_millis), ..point })
    }
}

impl Seen {
    /// Whether this makes it ready.
    fn says(&mut self, chunk: &Chunk) -> bool {
        let Some(awaited) = &self.awaited else { return false };
        let end = &mut self.ends[usize::from(chunk.stream == Stream::Stderr)];
        end.extend(&chunk.bytes);
        let found = memmem::find(end, awaited).is_some();
        end.drain(..end.len().saturating_sub(awaited.len() - 1));
        if found {
            self.awaited = None;
        }
        found
    }
}

/// What was used since `(at_ms, cpu_ms)`.
fn point(at: Timestamp, (at_ms, cpu_ms): (u64, u64), now: UsagePoint, restarts: u64) -> Point {
    let (time, cpu) = (now.at_ms.saturating_sub(at_ms), now.cpu_ms.saturating_sub(cpu_ms));
    let share = (cpu * 1000).checked_div(time).unwrap_or(0);
    Point {
        at,
        cpu_millis: u32::try_from(share).unwrap_or(u32::MAX),
        memory_bytes: now.memory.map_or(0, |bytes| bytes.0),
        pids: u32::try_from(now.processes.unwrap_or(0)).unwrap_or(u32::MAX),
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use automa_sandbox::Bytes;

    use super::*;

    fn seen(awaited: &str) -> Seen {
        let awaited = Some(awaited.as_bytes().to_vec());
        Seen { last: Instant::now(), awaited, ends: [Vec::new(), Vec::new()] }
    }

    fn says(seen: &mut Seen, stream: Stream, text: &str) -> bool {
        let bytes = text.as_bytes().to_vec();
        seen.says(&Chunk { stream, at: Duration::ZERO, bytes })
    }

    #[tokio::test]
    async fn what_is_awaited_is_found_wherever_chunks_are_cut() {
        let mut cut = seen("listening on");
        for text in ["x", "liste", "n", "ing o"] {
            assert!(!says(&mut cut, Stream::Stdout, text), "{text}");
            assert!(!says(&mut cut, Stream::Stderr, "something else\n"));
        }
        assert!(says(&mut cut, Stream::Stdout, "n port 80\n"));
        assert!(!says(&mut cut, Stream::Stdout, "listening on"), "it says so once");
        assert!(says(&mut seen("a"), Stream::Stderr, "a"));
    }

    #[test]
    fn a_point_tells_the_share_since_the_one_before() {
        let usage =
            UsagePoint { at_ms: 3000, cpu_ms: 700, memory: Some(Bytes(9)), processes: None };
        let point = point(Timestamp::UNIX_EPOCH, (1000, 200), usage, 4);
        assert_eq!((point.cpu_millis, point.memory_bytes, point.pids), (250, 9, 0));
        assert_eq!(point.restarts, 4);
    }
}
