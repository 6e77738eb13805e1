//! Output of the script as it comes, and signals the other way.

use std::{io, os::fd::AsFd, time::Duration};

use automa_sandbox::{Artifacts, Child, Chunk, ExitReport, Stream};
use nix::{errno::Errno, sys::signal::Signal as Number};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

/// Time that a script has to end after Ctrl-C or TERM.
const GRACE: Duration = Duration::from_secs(2);

const INT: i32 = Number::SIGINT as i32;
const PIPE: i32 = Number::SIGPIPE as i32;
/// What a run is taken to be cancelled by if no signal is known.
pub(super) const TERM: i32 = Number::SIGTERM as i32;

/// What came of a run.
pub(super) struct Ended {
    pub(super) report: ExitReport,
    /// The files it left, if it was to.
    pub(super) artifacts: Option<Artifacts>,
    /// The signal that cancelled it, if one did.
    pub(super) signal: Option<i32>,
}

/// Passes output on as it comes, and signals the other way.
pub(super) async fn relay(mut child: Child) -> io::Result<Ended> {
    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let mut cancelled = None;
    // A reader who stalls blocks the thread that writes, and must not block this one.
    let mut writing: Option<JoinHandle<io::Result<()>>> = None;
    let mut give_up = None;
    loop {
        let [interrupt, terminate] = &mut signals;
        let number = tokio::select! {
            written = maybe(writing.as_mut()) => {
                writing = None;
                match written {
                    Ok(Ok(())) => continue,
                    // The reader is gone, as in `automa run … | head`: so is the reason to run.
                    _ => PIPE,
                }
            }
            chunk = child.next_output(), if writing.is_none() => {
                let Some(chunk) = chunk else { break };
                writing = Some(spawn_blocking(move || write(&chunk)));
                continue;
            }
            () = received(interrupt) => INT,
            () = received(terminate) => TERM,
            () = maybe(give_up.map(sleep_until)), if writing.is_some() => break,
        };
        let again = cancelled.replace(number).is_some();
        let grace = if again || number == PIPE { Duration::ZERO } else { GRACE };
        child.cancel(grace);
        give_up = Some(Instant::now() + grace);
        if number == PIPE {
            break;
        }
    }
    let (report, artifacts) = child.collect().await;
    Ok(Ended { report, artifacts, signal: cancelled })
}

/// Waits for what may not be there, and then for ever.
async fn maybe<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

pub(super) fn write(chunk: &Chunk) -> io::Result<()> {
    match chunk.stream {
        // Not through std's buffer, which would write at the end of the program once more.
        Stream::Stdout => write_all(io::stdout(), &chunk.bytes),
        Stream::Stderr => write_all(io::stderr(), &chunk.bytes),
    }
}

fn write_all(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
