//! Into a directory that a hostile program has filled, or is changing at this moment.
//!
//! Nothing is found by its path from the root. Every step begins at a directory that is open
//! already and goes by `openat2(2)`: only downwards, through no link, into no other mount. What is
//! opened is looked at again before it is used, so that it does not matter what stood there a
//! moment before.

use std::{
    ffi::{CString, OsStr},
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{OpenOptionsExt, PermissionsExt},
        },
    },
    path::Path,
};

use nix::{
    dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat},
    unistd::geteuid,
};

/// The kind of a file, by its mode (`inode(7)`).
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

impl Dir {
    /// A directory that was opened elsewhere.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Opens a directory by a path of the caller's own.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_DIRECTORY.bits());
        Ok(Self(options.open(path)?.into()))
    }

    /// Opens a directory below this one. Where only its mode forbids that and it is ours, its
    /// owner is allowed to read it first.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        Ok(Self(self.find(path, flags, SFlag::S_IFDIR)?))
    }

    /// Opens a regular file below this one for reading, and nothing else. Modes as in
    /// [`directory`](Self::directory).
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        // O_NONBLOCK: opening a pipe would wait for somebody to write to it.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        Ok(File::from(self.find(path, flags, SFlag::S_IFREG)?))
    }

    /// Makes a file below this one that must not exist, and the directories it lies in, which may.
    pub(crate) fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut parent = None;
        for name in path.parent().into_iter().flatten() {
            let above: &Self = parent.as_ref().unwrap_or(self);
            match mkdirat(above, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            parent = Some(above.directory(Path::new(name))?);
        }
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let how = how(flags).mode(Mode::from_bits_truncate(mode));
        Ok(File::from(openat2(parent.as_ref().unwrap_or(self), name, how)?))
    }

    /// What lies under a name of this directory, links not followed.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<FileStat> {
        Ok(fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Reads the names in this directory, but for itself and its parent. Modes as in
    /// [`directory`](Self::directory).
    pub(crate) fn names(&self) -> io::Result<Names> {
        let stat = fstat(self)?;
        if stat.st_mode & 0o500 != 0o500 && stat.st_uid == geteuid().as_raw() {
            fchmod(self, Mode::from_bits_truncate(stat.st_mode & 0o7777 | 0o500))?;
        }
        // A description of its own, and so a place in the list of its own.
        let own =
            self.find(Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY, SFlag::S_IFDIR)?;
        Ok(Names(dir::Dir::from_fd(own)?.into_iter()))
    }

    fn find(&self, path: &Path, flags: OFlag, wanted: SFlag) -> io::Result<OwnedFd> {
        let found = match openat2(self, path, how(flags)) {
            Err(Errno::EACCES) => return self.find_closed(path, flags, wanted),
            found => found?,
        };
        check_kind(&found, wanted)?;
        Ok(found)
    }

    /// Opens what its mode has closed, if it is ours: a program may take its own rights away, but
    /// not ours to see what it left.
    fn find_closed(&self, path: &Path, flags: OFlag, wanted: SFlag) -> io::Result<OwnedFd> {
        let found = openat2(self, path, how(OFlag::O_PATH))?;
        let stat = check_kind(&found, wanted)?;
        // Not by its name, behind which there may be something else by now.
        let found = format!("/proc/self/fd/{}", found.as_raw_fd());
        let opened = if wanted == SFlag::S_IFDIR { 0o500 } else { 0o400 };
        fs::set_permissions(&found, Permissions::from_mode(stat.st_mode & 0o7777 | opened))?;
        let mut options = OpenOptions::new();
        Ok(options.read(true).custom_flags(flags.bits()).open(&found)?.into())
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn how(flags: OFlag) -> OpenHow {
    OpenHow::new().flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV,
    )
}

fn check_kind(found: &OwnedFd, wanted: SFlag) -> io::Result<FileStat> {
    let stat = fstat(found)?;
    if kind(&stat) == wanted { Ok(stat) } else { Err(Errno::EINVAL.into()) }
}

/// Names in a directory.
pub(crate) struct Names(dir::OwningIter);

impl Iterator for Names {
    type Item = io::Result<CString>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => return Some(Ok(entry.file_name().to_owned())),
                Err(errno) => return Some(Err(errno.into())),
            }
        }
    }
}

/// A name as the file system has it.
pub(crate) fn os(name: &CString) -> &OsStr {
    OsStr::from_bytes(name.as_bytes())
}
