//! A running sandbox, as its caller holds it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use crate::{
    artifacts::{Artifacts, Left},
    report::ExitReport,
};

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
    /// The files it left, if it was to [collect](crate::Command::collect) any.
    pub artifacts: Option<Artifacts>,
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
    pub(crate) report: oneshot::Receiver<Concluded>,
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

    /// Sends `SIGTERM` or `SIGINT` to the program and its process group; others are not passed on.
    pub fn signal(&self, signal: i32) {
        let _ = self.control.send(Control::Signal(signal));
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
            // A runtime that is being shut down searches no more.
            Some(left) => spawn_blocking(|| left.search()).await.ok(),
            None => None,
        };
        (report, artifacts)
    }

    async fn conclude(self) -> Concluded {
        let Self { output, control, report } = self;
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
