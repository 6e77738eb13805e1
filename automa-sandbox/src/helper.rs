//! A helper process: this program entered again under a hidden argument, see
//! [`crate::reexec_guard`].

use std::{
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::poll::{PollFd, PollFlags};

use crate::{error::Error, link::Link, report::Stage, sys};

/// How long it may take to end what it has started before it is killed, in milliseconds.
const END_PATIENCE_MS: u16 = 2000;

/// The server's hold on a helper, which is ended when this is dropped.
pub(crate) struct Helper {
    pub(crate) link: Link,
    process: Child,
}

impl Helper {
    /// Starts `program` with one end of a link as its standard input.
    #[expect(clippy::disallowed_methods, reason = "starts the sandbox itself")]
    pub(crate) fn start(program: &Path, argument: &str) -> Result<Self, Error> {
        let (link, theirs) = Link::pair().map_err(Error::io("creating a socket"))?;
        let process = Command::new(program)
            .arg(argument)
            // Nothing of the server's environment, which may hold secrets, reaches the helper.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| Error::Host {
                stage: Stage::Start,
                detail: program.display().to_string(),
                source,
            })?;
        Ok(Self { link, process })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let pidfd = sys::pidfd_open(self.process.id());
        let has_ended = || {
            let Ok(pidfd) = &pidfd else { return false };
            let mut poll = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            nix::poll::poll(&mut poll, END_PATIENCE_MS).is_ok_and(|ready| ready > 0)
        };
        // It reads the end, ends what it has started, waits for it and ends.
        self.link.close();
        if !has_ended() {
            let _ = self.process.kill();
            // A file system that does not answer holds even the dead: they are not waited for.
            if pidfd.is_ok() && !has_ended() {
                return;
            }
        }
        let _ = self.process.wait();
    }
}
