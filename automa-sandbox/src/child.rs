//! A running sandbox, as its caller holds it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::report::ExitReport;

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
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

/// Everything a program wrote, and its report.
#[derive(Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// What came of it.
    pub report: ExitReport,
}

/// What a caller asks of the supervisor.
pub(crate) enum Control {
    /// TERM to the program, KILL to everything after this long.
    Cancel(Duration),
    /// A signal to the program's process group.
    Signal(i32),
}

/// A running sandbox. Dropping it kills everything in it.
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
    pub(crate) report: oneshot::Receiver<ExitReport>,
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

    /// Sends `SIGTERM` or `SIGINT` to the program and its process group; others are not passed on.
    pub fn signal(&self, signal: i32) {
        let _ = self.control.send(Control::Signal(signal));
    }

    /// Waits until every process of the sandbox is gone; throws away output not taken before.
    pub async fn wait(self) -> ExitReport {
        let Self { output, control, report } = self;
        drop(output);
        let report = report.await;
        drop(control);
        report.unwrap_or_else(|_| ExitReport::lost())
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
        Output { stdout, stderr, report: self.wait().await }
    }
}
