//! Standard input, output and error of a sandbox: pipes and memory files, or a terminal of its own.

use std::{
    fs::{File, OpenOptions},
    future::pending,
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::pipe2,
};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, sync::mpsc};

use crate::{
    child::{Chunk, Stream},
    command::{Stdin, Stdout},
    sys,
    terminal::{Keyboard, Screen, terminal},
};

/// Most bytes of one chunk: as much as a pipe holds (`pipe(7)`).
const CHUNK: usize = 64 << 10;

/// `/dev/null`, opened once for all sandboxes.
pub(crate) fn null() -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
}

/// A copy of a descriptor that this process was started with, such as one that a shell redirected.
///
/// # Errors
///
/// When no descriptor of this number is open.
pub fn inherited_descriptor(number: i32) -> io::Result<OwnedFd> {
    sys::duplicate(number)
}

/// What becomes the program's standard input.
pub(crate) fn input(stdin: Stdin, null: &OwnedFd) -> io::Result<OwnedFd> {
    match stdin {
        Stdin::Empty => null.try_clone(),
        Stdin::Fd(fd) => {
            let file = File::from(fd);
            // A directory would be a way to the host's files around it.
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok(file.into())
        }
        Stdin::Bytes(bytes) => {
            let mut file = File::from(memfd_create(c"automa-stdin", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(&bytes)?;
            // Opened anew: for reading only, and from the start.
            Ok(File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?.into())
        }
    }
}

/// Our ends of the output, and what becomes the program's standard output and error.
pub(crate) fn outputs(
    stdout: &Stdout,
    null: &OwnedFd,
) -> io::Result<(Pipes, Option<Keyboard>, [OwnedFd; 2])> {
    match stdout {
        Stdout::Null => {
            let pipes = Pipes { stdout: None, stderr: None, screen: None, buffer: Box::default() };
            Ok((pipes, None, [null.try_clone()?, null.try_clone()?]))
        }
        Stdout::Terminal(size) => {
            let (screen, keyboard) = terminal(*size);
            let buffer = vec![0; CHUNK].into_boxed_slice();
            let pipes = Pipes { stdout: None, stderr: None, screen: Some(screen), buffer };
            // The sandbox opens its terminal itself, in the place of these.
            Ok((pipes, Some(keyboard), [null.try_clone()?, null.try_clone()?]))
        }
        Stdout::Piped => {
            let (stdout, to_stdout) = pipe()?;
            let (stderr, to_stderr) = pipe()?;
            let buffer = vec![0; CHUNK].into_boxed_slice();
            let pipes = Pipes { stdout: Some(stdout), stderr: Some(stderr), screen: None, buffer };
            Ok((pipes, None, [to_stdout, to_stderr]))
        }
    }
}

/// A pipe of which only our end does not block.
fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((Receiver::from_owned_fd_unchecked(ours)?, theirs))
}

/// The reading ends, each until its end.
#[derive(Debug)]
pub(crate) struct Pipes {
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    screen: Option<Screen>,
    buffer: Box<[u8]>,
}

impl Pipes {
    /// Whether all have been read to their ends.
    pub(crate) fn are_closed(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none() && self.screen.is_none()
    }

    /// Connects the terminal that the sandbox has opened; one that nobody waits for is hung up.
    pub(crate) fn connect(&mut self, terminal: Option<OwnedFd>) {
        let connected = match (&self.screen, terminal) {
            (Some(screen), Some(terminal)) => screen.connect(terminal).is_ok(),
            _ => false,
        };
        if !connected {
            self.hang_up();
        }
    }

    /// Whether the output is that of a terminal.
    pub(crate) fn have_terminal(&self) -> bool {
        self.screen.is_some()
    }

    /// Whether that is still to be opened.
    pub(crate) fn await_terminal(&self) -> bool {
        self.screen.as_ref().is_some_and(Screen::is_awaited)
    }

    /// Ends the terminal, if there is one.
    pub(crate) fn hang_up(&mut self) {
        self.screen = None;
    }

    /// Waits no longer for a terminal: nobody is left to open it.
    pub(crate) fn stop_awaiting(&mut self) {
        self.screen.take_if(|screen| screen.is_awaited());
    }

    /// Waits for room in `to`, then for output. `None` when nobody listens at `to` any more: call
    /// again without it, so that the program can go on. An empty chunk marks the end of a stream.
    /// May be cancelled without loss.
    pub(crate) async fn next(&mut self, to: Option<&mpsc::Sender<Chunk>>) -> Option<Chunk> {
        let _room = match to {
            Some(to) => Some(to.reserve().await.ok()?),
            None => None,
        };
        if let Some(screen) = &self.screen {
            let n = screen.read(&mut self.buffer).await;
            if n == 0 {
                self.screen = None;
            }
            return Some(Chunk::new(Stream::Stdout, &self.buffer[..n]));
        }
        let (first, second) = self.buffer.split_at_mut(self.buffer.len() / 2);
        let (stream, bytes) = tokio::select! {
            n = read(&mut self.stdout, first) => (Stream::Stdout, &first[..n]),
            n = read(&mut self.stderr, second) => (Stream::Stderr, &second[..n]),
        };
        if bytes.is_empty() {
            match stream {
                Stream::Stdout => self.stdout = None,
                Stream::Stderr => self.stderr = None,
            }
        }
        Some(Chunk::new(stream, bytes))
    }
}

/// Reads some bytes; 0 at the end. Waits forever on a pipe that is closed already.
async fn read(pipe: &mut Option<Receiver>, buffer: &mut [u8]) -> usize {
    match pipe {
        // A pipe that fails to be read has nothing more to give.
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => pending().await,
    }
}
