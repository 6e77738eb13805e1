//! A running sandbox, as its caller holds it.

use std::{io, os::fd::OwnedFd, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use crate::{
    artifacts::{Artifacts, Left},
    history::UsageHistory,
    report::ExitReport,
    terminal::{Keyboard, TerminalSize},
    zygote::{FORWARDED, protocol::Connect},
};

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output, and all that a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output, as it was read from the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written to.
    pub stream: Stream,
    /// When it was read, since the start.
    pub at: Duration,
    /// What was written: any bytes, cut anywhere.
    pub bytes: Vec<u8>,
}

impl Chunk {
    /// What was just read; the supervisor sets when.
    pub(crate) fn new(stream: Stream, bytes: &[u8]) -> Self {
        Self { stream, at: Duration::ZERO, bytes: bytes.to_vec() }
    }
}

/// Everything a program wrote, and its report.
#[derive(Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// What came of it.
    pub report: ExitReport,
    /// The files it left, if it was to [collect](crate::Command::collect) any.
    pub artifacts: Option<Artifacts>,
}

/// What a caller asks of the supervisor.
pub(crate) enum Control {
    /// TERM to the program, KILL to everything after this long.
    Cancel(Duration),
    /// A signal to the program's process group.
    Signal(i32),
    /// Hang up the terminal, KILL to everything after this long.
    HangUp(Duration),
    /// A connection to one of its ports.
    Connect(Connect, oneshot::Sender<io::Result<OwnedFd>>),
}

/// A running sandbox. Dropping it kills everything in it; one with a terminal is
/// [hung up](Self::hang_up) first, and killed two seconds later.
///
/// Output is handed over through a small buffer: a program whose output nobody takes waits, as
/// with any pipe. [`wait`](Self::wait) throws the rest away instead.
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use automa_sandbox::{Engine, EngineConfig, Error, Outcome, Runtime, Stream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// async fn run() -> Result<(), Error> {
///     let engine = Engine::start(EngineConfig::default()).await?;
///     let script = "echo ready; trap 'echo bye; exit' TERM; while :; do sleep 0.01; done";
///     let mut child = engine.spawn(Runtime::bash()?.command(script, "wait.sh")).await?;
///
///     // Output comes while the script runs.
///     let first = child.next_output().await.expect("it says when it is ready");
///     assert_eq!((first.stream, &first.bytes[..]), (Stream::Stdout, &b"ready\n"[..]));
///
///     // TERM now; what is still there after ten seconds is killed.
///     child.cancel(Duration::from_secs(10));
///     let output = child.output().await;
///     assert_eq!(output.report.outcome, Outcome::Cancelled);
///     assert!(output.report.tree_empty);
///     Ok(())
/// }
///
/// fn main() -> Result<(), Error> {
///     automa_sandbox::reexec_guard();
///     run()
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping a child kills it"]
pub struct Child {
    pub(crate) output: mpsc::Receiver<Chunk>,
    pub(crate) control: mpsc::UnboundedSender<Control>,
    pub(crate) report: oneshot::Receiver<Concluded>,
    pub(crate) keyboard: Option<Keyboard>,
    pub(crate) history: UsageHistory,
}

/// Connects to the ports of a sandbox, as long as that runs.
#[derive(Debug, Clone)]
pub struct Connector(mpsc::WeakUnboundedSender<Control>);

impl Connector {
    /// As [`Child::connect`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        match self.connect_at(Connect { port, ipv6: false }).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.connect_at(Connect { port, ipv6: true }).await
            }
            result => result,
        }
    }

    async fn connect_at(&self, address: Connect) -> io::Result<TcpStream> {
        let (answer, connected) = oneshot::channel();
        // Once it is over, the answer is dropped with the question.
        if let Some(control) = self.0.upgrade() {
            let _ = control.send(Control::Connect(address, answer));
        } else {
            drop(answer);
        }
        let socket = connected.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        let socket = TcpStream::from_std(socket.into())?;
        socket.writable().await?;
        socket.take_error()?.map_or(Ok(socket), Err)
    }
}

/// What a supervisor knows in the end.
#[derive(Debug)]
pub(crate) struct Concluded {
    pub(crate) report: ExitReport,
    pub(crate) left: Option<Left>,
}

impl Child {
    /// The next piece of output, `None` after the last. May be cancelled without loss.
    pub async fn next_output(&mut self) -> Option<Chunk> {
        self.output.recv().await
    }

    /// Asks the program to end (`SIGTERM`), and kills everything after `grace`.
    pub fn cancel(&self, grace: Duration) {
        // When the supervisor is gone there is nothing left to cancel.
        let _ = self.control.send(Control::Cancel(grace));
    }

    /// Sends a signal to the program and its process group: `SIGHUP`, `SIGINT`, `SIGTERM`,
    /// `SIGUSR1` or `SIGUSR2`. Others are not passed on.
    pub fn signal(&self, signal: i32) {
        if FORWARDED.contains(&signal) {
            let _ = self.control.send(Control::Signal(signal));
        }
    }

    /// Connects to a port of the sandbox's own loopback interface: at `127.0.0.1`, and at `::1` where
    /// nobody listens at the first. The profiles `agent`, `build` and `terminal` have one, and so
    /// has every sandbox with an allow-list; others have none that is up.
    ///
    /// It is the way to ask a program that serves something how it is. Nothing else of the host can
    /// connect to it.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` where nobody listens (yet), or the program is not there yet;
    /// `NetworkUnreachable` without such an interface; `BrokenPipe` once it has ended.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.connector().connect(port).await
    }

    /// What connects to its ports, to be used beside [`next_output`](Self::next_output).
    #[must_use]
    pub fn connector(&self) -> Connector {
        // It does not keep the sandbox from being dropped.
        Connector(self.control.downgrade())
    }

    /// Where the program's terminal is typed at, to be used beside [`next_output`](Self::next_output);
    /// `None` without a terminal.
    #[must_use]
    pub fn keyboard(&self) -> Option<Keyboard> {
        self.keyboard.clone()
    }

    /// What it used over time, to be read while it runs and afterwards.
    #[must_use]
    pub fn history(&self) -> UsageHistory {
        self.history.clone()
    }

    /// Types at the program's terminal: see [`Keyboard::write`].
    ///
    /// # Errors
    ///
    /// `NotConnected` without a terminal; `BrokenPipe` once it was hung up or the program has ended.
    pub async fn write_input(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.keyboard {
            Some(keyboard) => keyboard.write(bytes).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Changes the size of the terminal's window: see [`Keyboard::resize`]. Does nothing without a
    /// terminal.
    pub fn resize(&self, size: TerminalSize) {
        if let Some(keyboard) = &self.keyboard {
            keyboard.resize(size);
        }
    }

    /// Hangs up the terminal, as when its window is closed: `SIGHUP` to its session, no more input
    /// or output, and after `grace` the end of everything. Without a terminal it sends `SIGHUP` in
    /// the same way.
    pub fn hang_up(&self, grace: Duration) {
        let _ = self.control.send(Control::HangUp(grace));
    }

    /// Waits until every process of the sandbox is gone; throws away output not taken before.
    pub async fn wait(self) -> ExitReport {
        self.conclude().await.report
    }

    /// Waits likewise, and looks for the files that the program has left: `None` unless the command
    /// was to [collect](crate::Command::collect) them.
    pub async fn collect(self) -> (ExitReport, Option<Artifacts>) {
        let Concluded { report, left } = self.conclude().await;
        let artifacts = match left {
            Some(left) => Artifacts::collect(left).await,
            None => None,
        };
        (report, artifacts)
    }

    async fn conclude(self) -> Concluded {
        let Self { output, control, report, keyboard: _keyboard, history: _ } = self;
        drop(output);
        let concluded = report.await;
        drop(control);
        concluded.unwrap_or_else(|_| Concluded { report: ExitReport::lost(), left: None })
    }

    /// Collects the rest of the output and waits.
    pub async fn output(mut self) -> Output {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(chunk) = self.next_output().await {
            match chunk.stream {
                Stream::Stdout => stdout.extend(chunk.bytes),
                Stream::Stderr => stderr.extend(chunk.bytes),
            }
        }
        let (report, artifacts) = self.collect().await;
        Output { stdout, stderr, report, artifacts }
    }
}
