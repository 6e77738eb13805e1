//! The other side: a small process that may mount, and does nothing else.
//!
//! For root it is root in the host's own namespaces. For an ordinary user it sits in a user and a
//! mount namespace of its own, where that user's directories can be mounted too: the kernel takes a
//! detached mount from there into any other mount namespace whose owner attaches it.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};

use super::ARGUMENT;
use crate::{
    sys,
    zygote::{self, identity, protocol},
};

/// Asks for a mount of a directory, which comes along as a descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// Where it was found: bytes, as the kernel sees paths.
    pub(super) path: Vec<u8>,
    pub(super) writable: bool,
    pub(super) map: Option<IdMap>,
}

/// Files of one owner shown as those of the sandbox's user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct IdMap {
    /// User and group on disk.
    pub(super) owner: (u32, u32),
    /// User and group of the sandbox, one number for both.
    pub(super) inside: u32,
}

/// What came of it, with error numbers. The mount comes along.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Mounted,
    NoUserNamespace(i32),
    Refused(i32),
    /// The path leads to another directory by now.
    Moved,
    NotMapped(i32),
}

/// User namespaces that are kept for the next mount: some hundred bytes of the kernel's each.
const KEPT: usize = 256;

/// Runs the helper on its inherited socket; never returns.
pub(crate) fn main() -> ! {
    zygote::run_helper(ARGUMENT, c"automa-mounter", |socket| serve(&socket))
}

fn serve(socket: &OwnedFd) -> io::Result<()> {
    let mut mounter = Mounter { privileged: identity::privileged(), maps: HashMap::new() };
    let entered =
        if mounter.privileged { Ok(()) } else { identity::enter_user_namespace().map(drop) };
    while let Some((wanted, mut fds)) = protocol::receive_json::<Wanted>(socket)? {
        let mount = match (&entered, fds.take(0)) {
            (Err(failure), _) => Err(Answer::NoUserNamespace(failure.errno)),
            (Ok(()), None) => Err(Answer::Refused(libc::EBADF)),
            (Ok(()), Some(directory)) => mounter.mount(&wanted, directory),
        };
        match mount {
            Ok(mount) => protocol::send_json(socket, &Answer::Mounted, &[mount.as_raw_fd()])?,
            Err(answer) => protocol::send_json(socket, &answer, &[])?,
        }
    }
    Ok(())
}

struct Mounter {
    privileged: bool,
    maps: HashMap<IdMap, OwnedFd>,
}

impl Mounter {
    fn mount(&mut self, wanted: &Wanted, directory: OwnedFd) -> Result<OwnedFd, Answer> {
        let directory = if self.privileged { directory } else { find_again(wanted, &directory)? };
        let mount = sys::clone_mount(directory.as_fd()).map_err(|error| refused(&error))?;
        let mut flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        if !wanted.writable {
            flags |= libc::MOUNT_ATTR_RDONLY;
        }
        sys::set_tree_flags(mount.as_fd(), flags).map_err(|error| refused(&error))?;
        if let Some(map) = &wanted.map {
            let namespace =
                self.namespace(map).map_err(|it| Answer::NoUserNamespace(errno(&it)))?;
            let mapped = sys::map_ids_of_mount(mount.as_fd(), namespace.as_fd());
            mapped.map_err(|error| Answer::NotMapped(errno(&error)))?;
        }
        Ok(mount)
    }

    fn namespace(&mut self, map: &IdMap) -> io::Result<&OwnedFd> {
        if self.maps.len() >= KEPT {
            self.maps.clear();
        }
        if !self.maps.contains_key(map) {
            let (user, group) = map.owner;
            let made = sys::user_namespace((user, map.inside), (group, map.inside))?;
            self.maps.insert(map.clone(), made);
        }
        Ok(&self.maps[map])
    }
}

/// The same directory as this mount namespace shows it: only what is in it can be mounted.
fn find_again(wanted: &Wanted, directory: &OwnedFd) -> Result<OwnedFd, Answer> {
    let (again, _) =
        super::open(Path::new(OsStr::from_bytes(&wanted.path))).map_err(|error| refused(&error))?;
    let inode = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    if inode(&again) == inode(directory) { Ok(again) } else { Err(Answer::Moved) }
}

fn refused(error: &io::Error) -> Answer {
    Answer::Refused(errno(error))
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_noticed() {
        let usr = || super::super::open(Path::new("/usr")).unwrap().0;
        let wanted = |path: &str| Wanted { path: path.into(), writable: false, map: None };
        assert!(find_again(&wanted("/usr"), &usr()).is_ok());
        assert!(matches!(find_again(&wanted("/etc"), &usr()), Err(Answer::Moved)));
        assert!(matches!(find_again(&wanted("/none"), &usr()), Err(Answer::Refused(libc::ENOENT))));
    }
}
