//! A program under way: its output line by line, its input, signals. Killed when dropped.

use std::{
    io::{BufRead, BufReader, Read, Write},
    marker::PhantomData,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};

use automa_sandbox::ExitReport;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Run,
    host::{DEADLINE, eventually},
    read_report,
};

/// A running program. It borrows the script whose files it needs.
#[derive(Debug)]
#[must_use = "dropping it kills it"]
pub struct Running<'a> {
    needs: PhantomData<&'a ()>,
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    report: Option<PathBuf>,
}

impl Running<'_> {
    /// Starts a command with pipes; its report is expected in the file `report`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command, report: Option<PathBuf>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { needs: PhantomData, child, stdout, stderr, report }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output, with the line's end.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    #[must_use]
    pub fn line(&self) -> String {
        let line = self.stdout.recv_timeout(DEADLINE);
        let line = line.unwrap_or_else(|error| panic!("no line came: {error}\n{}", self.errors()));
        String::from_utf8(line).unwrap()
    }

    /// What it has written to stderr and nobody has asked for yet.
    #[must_use]
    pub fn errors(&self) -> String {
        let lines: Vec<u8> = self.stderr.try_iter().flatten().collect();
        String::from_utf8_lossy(&lines).into_owned()
    }

    /// Writes to its input.
    ///
    /// # Panics
    ///
    /// When it does not take it.
    pub fn send(&mut self, text: &str) {
        let mut input = self.child.stdin.as_ref().expect("the input was closed");
        input.write_all(text.as_bytes()).unwrap();
    }

    /// Stops reading its output, as `head` does.
    pub fn close_output(&mut self) {
        (_, self.stdout) = channel();
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it is no longer there.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    #[must_use]
    pub fn end(mut self) -> Run {
        drop(self.child.stdin.take());
        eventually("the program ends", || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Run {
            pid: self.child.id(),
            code,
            stdout: rest(&self.stdout),
            stderr: rest(&self.stderr),
            report: self.report(),
        }
    }

    fn report(&self) -> Option<ExitReport> {
        self.report.as_deref().and_then(read_report)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Both fail when it has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in a thread, so that waiting for one can have a deadline. The pipe is closed when
/// nobody wants them any more.
fn lines(from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (to, lines) = channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            if to.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    lines
}

/// Everything up to the end.
#[track_caller]
fn rest(lines: &Receiver<Vec<u8>>) -> String {
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(DEADLINE) {
            Ok(line) => all.extend(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("somebody keeps the output open"),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}
