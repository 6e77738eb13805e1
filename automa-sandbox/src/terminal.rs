//! The terminal of a sandbox, seen from outside: what is typed, what is shown, its size.
//!
//! The sandbox's init opens a pseudo-terminal on the sandbox's own devpts and hands over its outer
//! side ([`Screen::connect`]). The supervisor holds a [`Screen`], the caller a [`Keyboard`].

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
};

use crate::sys;

/// The size of a terminal's window, in characters.
///
/// ```
/// use automa_sandbox::TerminalSize;
/// assert_eq!(TerminalSize::default(), TerminalSize { cols: 80, rows: 24 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a line.
    pub cols: u16,
    /// Lines.
    pub rows: u16,
}

impl Default for TerminalSize {
    /// That of a VT100.
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

impl fmt::Display for TerminalSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.cols, self.rows)
    }
}

impl TerminalSize {
    /// The size of a terminal that this process has open.
    ///
    /// # Errors
    ///
    /// `ENOTTY` when it is none (`ioctl_tty(2)`).
    pub fn of(terminal: &impl AsFd) -> io::Result<Self> {
        let (cols, rows) = sys::window_size(terminal.as_fd())?;
        Ok(Self { cols, rows })
    }

    fn apply(self, terminal: &AsyncFd<OwnedFd>) -> io::Result<()> {
        sys::set_window_size(terminal.as_fd(), (self.cols, self.rows))
    }
}

/// The connection to a terminal, as far as it has come.
#[derive(Debug)]
enum Connection {
    Awaited,
    Open(Arc<AsyncFd<OwnedFd>>),
    Over,
}

/// The two halves of a terminal's outside, before there is one.
pub(crate) fn terminal(size: TerminalSize) -> (Screen, Keyboard) {
    let size = Arc::new(Mutex::new(size));
    let (to, from) = watch::channel(Connection::Awaited);
    (Screen { connection: to, size: size.clone() }, Keyboard { connection: from, size })
}

/// What a terminal shows. When this is dropped, the terminal is hung up: its session gets
/// `SIGHUP`, and what it reads and writes fails.
#[derive(Debug)]
pub(crate) struct Screen {
    connection: watch::Sender<Connection>,
    size: Arc<Mutex<TerminalSize>>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.connection.send_replace(Connection::Over);
    }
}

impl Screen {
    /// Connects the outer side of the terminal.
    pub(crate) fn connect(&self, outside: OwnedFd) -> io::Result<()> {
        fcntl(&outside, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let outside = sys::register(outside)?;
        // Whoever changes the size meanwhile waits, and then finds the connection.
        let size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        size.apply(&outside)?;
        self.connection.send_replace(Connection::Open(Arc::new(outside)));
        Ok(())
    }

    /// Whether the terminal is still to come.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(*self.connection.borrow(), Connection::Awaited)
    }

    /// Reads some bytes; 0 at the end, which is when nobody holds the terminal any more. May be
    /// cancelled without loss.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> usize {
        let mut connection = self.connection.subscribe();
        let Some(outside) = opened(&mut connection).await else { return 0 };
        let read = outside
            .async_io(Interest::READABLE, |outside| Ok(nix::unistd::read(outside, buffer)?))
            .await;
        // EIO: the last one that had it open has closed it (`pty(7)` is silent about it).
        read.unwrap_or(0)
    }
}

/// Waits for the terminal; `None` when there will be none.
async fn opened(connection: &mut watch::Receiver<Connection>) -> Option<Arc<AsyncFd<OwnedFd>>> {
    match &*connection.wait_for(|now| !matches!(now, Connection::Awaited)).await.ok()? {
        Connection::Open(outside) => Some(outside.clone()),
        Connection::Awaited | Connection::Over => None,
    }
}

/// Where a sandbox's terminal is typed at. Clones are for the same terminal.
#[derive(Debug, Clone)]
pub struct Keyboard {
    connection: watch::Receiver<Connection>,
    size: Arc<Mutex<TerminalSize>>,
}

impl Keyboard {
    /// Types. Waits for the terminal to exist, and while the program does not read and the terminal
    /// can take no more, some kilobytes. When cancelled, part of it may have been typed.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` once the terminal was hung up or the program has ended.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut connection = self.connection.clone();
        let Some(outside) = opened(&mut connection).await else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        while !bytes.is_empty() {
            let write = outside
                .async_io(Interest::WRITABLE, |outside| Ok(nix::unistd::write(outside, bytes)?));
            let written = tokio::select! {
                written = write => written?,
                // Hung up: without this, it would stay open as long as nobody reads.
                _ = connection.changed() => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Changes the size of the window, at once or as soon as there is one; the program is told by
    /// `SIGWINCH`.
    pub fn resize(&self, to: TerminalSize) {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        *size = to;
        if let Connection::Open(outside) = &*self.connection.borrow() {
            // A terminal that is gone has no size.
            let _ = to.apply(outside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write};

    use super::*;

    /// A terminal of this machine, without a sandbox: its outer and its inner side.
    fn open() -> (OwnedFd, File) {
        let (outside, inside) = sys::open_terminal(c"/dev/ptmx").unwrap();
        (outside, File::from(inside))
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn what_is_written_is_shown_until_nobody_can_write() {
        run(async {
            let (screen, _keyboard) = terminal(TerminalSize::default());
            let (outside, mut inside) = open();
            let mut buffer = [0; 64];
            inside.write_all(b"early").unwrap();
            screen.connect(outside).unwrap();
            let read = screen.read(&mut buffer).await;
            assert_eq!(&buffer[..read], b"early");
            inside.write_all(b"late").unwrap();
            drop(inside);
            let read = screen.read(&mut buffer).await;
            assert_eq!(&buffer[..read], b"late");
            assert_eq!(screen.read(&mut buffer).await, 0);
        });
    }

    #[test]
    fn the_last_size_counts_whenever_it_was_set() {
        run(async {
            let size = |cols| TerminalSize { cols, rows: 24 };
            let (screen, keyboard) = terminal(size(80));
            let (outside, inside) = open();
            keyboard.resize(size(90));
            screen.connect(outside).unwrap();
            assert_eq!(TerminalSize::of(&inside).unwrap(), size(90));
            keyboard.resize(size(100));
            assert_eq!(TerminalSize::of(&inside).unwrap(), size(100));
            drop(screen);
            keyboard.resize(size(110));
            assert!(TerminalSize::of(&File::open("/dev/null").unwrap()).is_err());
        });
    }

    #[test]
    fn typing_waits_for_room_and_ends_with_the_line() {
        run(async {
            let (screen, keyboard) = terminal(TerminalSize::default());
            let (outside, _inside) = open();
            screen.connect(outside).unwrap();
            // Far more than fits, and nobody reads: neither does it grow nor does it come back …
            let paste = vec![b'x'; 1 << 20];
            let mut typing = std::pin::pin!(keyboard.write(&paste));
            for _ in 0..1000 {
                tokio::select! {
                    biased;
                    _ = &mut typing => panic!("a terminal took more than it can hold"),
                    () = tokio::task::yield_now() => {}
                }
            }
            // … until the line is cut.
            drop(screen);
            let error = typing.await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(
                keyboard.write(b"more").await.unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
        });
    }
}
