//! The server's side: has mounts made by a helper process, which is started when the first is
//! needed.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
    time::Duration,
};

use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

use super::{
    ARGUMENT, DirectoryMount, Opened, Shown,
    helper::{Answer, IdMap, Wanted},
};
use crate::{
    error::{DirectoryProblem, Error},
    helper::Helper,
    zygote::protocol::MAX_JSON,
};

/// How long a mount may take: a file system may be somewhere else and not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes detached mounts of the host's directories.
pub(crate) struct Mounter {
    program: PathBuf,
    /// Taken out while it works, so that nobody reads an answer that another has not waited for.
    helper: Mutex<Option<Helper>>,
}

impl Mounter {
    /// `program` calls [`crate::reexec_guard`].
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, helper: Mutex::default() }
    }

    /// Makes directories ready to be shown to a program whose user is `user`; `None` where that is
    /// the engine's own.
    pub(crate) async fn show(
        &self,
        directories: &[DirectoryMount],
        user: Option<u32>,
    ) -> Result<Shown, Error> {
        let mut shown = Shown::default();
        for directory in directories {
            let directory = directory.clone();
            // Somebody else's file system may take its time, and then answers nobody.
            let open = move || {
                let opened = directory.open(user.is_some())?;
                let counted = opened.writable.then(|| opened.to_count()).transpose()?;
                Ok((opened, counted))
            };
            let (opened, counted) = spawn_blocking(open).await.map_err(|_| Error::Stopped)??;
            shown.mounts.push(self.mount(&opened, user).await?);
            shown.counted.extend(counted);
        }
        Ok(shown)
    }

    /// A mount of `directory` that can be attached anywhere.
    async fn mount(&self, directory: &Opened, user: Option<u32>) -> Result<OwnedFd, Error> {
        // What root owns is for everybody to read as far as its mode says.
        let map = user.filter(|_| directory.owner.0 != 0);
        let wanted = Wanted {
            path: directory.path.as_os_str().as_bytes().to_vec(),
            writable: directory.writable,
            map: map.map(|inside| IdMap { owner: directory.owner, inside }),
        };
        let mut place = self.helper.lock().await;
        let helper = match place.take().filter(|helper| !helper.link.is_readable()) {
            Some(helper) => helper,
            None => Helper::start(&self.program, ARGUMENT)?,
        };
        let answer = timeout(PATIENCE, ask(&helper, &wanted, &directory.fd)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let refused = |problem| Err(Error::Directory { path: directory.path.clone(), problem });
        match answer {
            Ok(answer) => {
                *place = Some(helper);
                answer.or_else(refused)
            }
            Err(error) => refused(DirectoryProblem::Mount(error)),
        }
    }
}

/// The helper's answer; the outer error is one of asking.
async fn ask(
    helper: &Helper,
    wanted: &Wanted,
    directory: &OwnedFd,
) -> io::Result<Result<OwnedFd, DirectoryProblem>> {
    helper.link.send(&serde_json::to_vec(wanted)?, &[directory.as_raw_fd()])?;
    let mut buffer = vec![0; MAX_JSON];
    let (len, mut fds) = helper.link.receive(&mut buffer).await?;
    if len == 0 {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let os_error = io::Error::from_raw_os_error;
    Ok(match serde_json::from_slice(&buffer[..len])? {
        Answer::Mounted => Ok(fds.take(0).ok_or(io::ErrorKind::InvalidData)?),
        Answer::NoUserNamespace(errno) => Err(DirectoryProblem::UserNamespace(os_error(errno))),
        Answer::Moved => Err(DirectoryProblem::Moved),
        Answer::NotMapped(libc::EINVAL) => Err(DirectoryProblem::NoIdMap),
        Answer::Refused(errno) | Answer::NotMapped(errno) => {
            Err(DirectoryProblem::Mount(os_error(errno)))
        }
    })
}
