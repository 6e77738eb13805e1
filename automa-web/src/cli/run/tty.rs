//! `automa run --tty`: the script's terminal shown in this one. Every key goes to the script, so that
//! `Ctrl-C` is its business; it ends with the script, or when this terminal goes away.

use std::{
    io::{self, IsTerminal, Read},
    thread,
    time::Duration,
};

use automa_sandbox::{Child, Keyboard, TerminalSize};
use nix::sys::{
    signal::Signal,
    termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
};

use super::relay::{Ended, write};

/// Time that a script has to end after its terminal was hung up.
const GRACE: Duration = Duration::from_secs(2);

/// The size of this terminal, which standard input and output have to be.
pub(super) fn size() -> Result<TerminalSize, String> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err("--tty: standard input and output have to be a terminal".to_owned());
    }
    TerminalSize::of(&io::stdin()).map_err(|error| format!("--tty: {error}"))
}

/// This terminal without echo, line editing and signals; as it was before once this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Passes keys, output and sizes on until the script has ended.
pub(super) async fn relay(mut child: Child) -> io::Result<Ended> {
    let Some(keyboard) = child.keyboard() else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let mut resized = signal(SignalKind::window_change())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut ended_by = None;
    let raw = Raw::enter()?;
    let mut typing = std::pin::pin!(type_all(&keyboard));
    let mut types = true;
    loop {
        let signal = tokio::select! {
            chunk = child.next_output() => {
                let Some(chunk) = chunk else { break };
                // A terminal that stalls blocks a thread, and not this one.
                match spawn_blocking(move || write(&chunk)).await {
                    Ok(Ok(())) => continue,
                    _ => Signal::SIGHUP,
                }
            }
            Some(()) = resized.recv() => {
                if let Ok(size) = TerminalSize::of(&io::stdin()) {
                    keyboard.resize(size);
                }
                continue;
            }
            // Nobody is left to type.
            () = &mut typing, if types => {
                types = false;
                Signal::SIGHUP
            }
            Some(()) = hung_up.recv() => Signal::SIGHUP,
            Some(()) = terminated.recv() => Signal::SIGTERM,
        };
        let again = ended_by.replace(signal as i32).is_some();
        child.hang_up(if again { Duration::ZERO } else { GRACE });
    }
    let (report, artifacts) = child.collect().await;
    drop(raw);
    Ok(Ended { report, artifacts, signal: ended_by })
}

/// Types what is typed here, until there is nothing more or the script's terminal is gone.
async fn type_all(keyboard: &Keyboard) {
    let (to, mut keys) = mpsc::channel(1);
    // Not a task: a read from a terminal cannot be cancelled, and would be waited for at the end.
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
            if to.blocking_send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    while let Some(typed) = keys.recv().await {
        if keyboard.write(&typed).await.is_err() {
            // It has ended, which its report will tell.
            std::future::pending::<()>().await;
        }
    }
}
