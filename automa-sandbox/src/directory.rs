//! Directories of the host that single sandboxes may use, and that stay when these are gone.
//!
//! A directory is opened once. What is checked, shown and counted is what was open then, whatever
//! its path leads to later. A [`Mounter`] makes a detached mount of it, which travels to the
//! sandbox's init as a descriptor.

mod helper;
mod mounter;
mod usage;

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::fstat,
    unistd::geteuid,
};

pub(crate) use self::{helper::main, mounter::Mounter, usage::DiskWatch};
use crate::{
    beneath::Dir,
    error::{DirectoryProblem, Error},
    zygote::DATA_DIR,
};

/// The hidden argument that makes a program the helper of a [`Mounter`].
pub(crate) const ARGUMENT: &str = "sandbox-mounter";

/// Most directories of one command: they travel in one message.
const MAX_DIRECTORIES: usize = 8;

/// A directory of the host that a program may use under `/automa/job/data`.
///
/// The program stands for the directory's owner: for an engine of root the mount maps the ids
/// (`mount_setattr(2)`, `MOUNT_ATTR_IDMAP`), so that on disk everything stays the owner's. Where
/// root is the owner nothing is mapped, and such a directory can only be read. An ordinary user's
/// engine can only let programs write to what is that user's own.
///
/// Neither set-user-id programs nor devices work in it, and nothing that is mounted below it on the
/// host is shown. Its size is limited by [`Limits::directories`](crate::Limits::directories); so
/// that it can be counted, what a program has closed to its owner may be opened again.
///
/// A program may leave anything in it that its owner could. There may be links that lead elsewhere
/// on the host: look into it by [`Artifacts::of`](crate::Artifacts::of). There may be programs that
/// run as the owner when somebody else on the host starts them (set-user-id): keep it below a
/// directory that only its owner can enter, and let it have an owner who has nothing else.
///
/// ```
/// use automa_sandbox::{Command, DirectoryMount};
/// let data = DirectoryMount::new("/srv/example", "/automa/job/data/example").writable();
/// let command = Command::new("/usr/bin/touch").arg("/automa/job/data/example/new").directory(data);
/// # let _ = command;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct DirectoryMount {
    outside: PathBuf,
    inside: PathBuf,
    writable: bool,
}

impl DirectoryMount {
    /// Shows the directory `outside`, an absolute path, as `inside`: a name in
    /// [`Command::DATA_DIRECTORY`](crate::Command::DATA_DIRECTORY). Read-only unless
    /// [`writable`](Self::writable).
    pub fn new(outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self { outside: outside.into(), inside: inside.into(), writable: false }
    }

    /// Lets the program change what is in it.
    pub fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Where it is shown, as the kernel wants it, or what is wrong with that.
    fn target(&self) -> Result<CString, Error> {
        let (outside, inside) = (self.outside.display(), self.inside.display());
        let inside_data = self.inside.to_str().and_then(|path| path.strip_prefix(DATA_DIR));
        let name = inside_data.and_then(|rest| rest.strip_prefix('/'));
        let plain = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name.len() <= 255
                && !name.chars().any(|c| c == '/' || c.is_control())
        };
        let problem = if !self.outside.is_absolute() {
            format!("{outside} is not an absolute path")
        } else if !name.is_some_and(plain) {
            format!("{inside} is not a name in {DATA_DIR}: write {DATA_DIR}/NAME")
        } else {
            let path = self.inside.as_os_str().as_bytes();
            return CString::new(path).map_err(Error::io("reading a path"));
        };
        Err(Error::InvalidCommand(format!("cannot show {outside} as {inside}: {problem}")))
    }

    /// Opens it for programs of an engine that does (`privileged`) or does not run as root.
    fn open(&self, privileged: bool) -> Result<Opened, Error> {
        let refused = |problem| Error::Directory { path: self.outside.clone(), problem };
        let (fd, owner) = open(&self.outside).map_err(|it| refused(DirectoryProblem::Open(it)))?;
        if self.writable && privileged && (owner.0 == 0 || owner.1 == 0) {
            return Err(refused(DirectoryProblem::Root));
        }
        if self.writable && !privileged && owner.0 != geteuid().as_raw() {
            return Err(refused(DirectoryProblem::Foreign(owner.0)));
        }
        let (path, writable) = (self.outside.clone(), self.writable);
        Ok(Opened { path, fd, owner, writable })
    }
}

/// Where the directories of one command are shown, or what is wrong with that.
pub(crate) fn targets(directories: &[DirectoryMount]) -> Result<Vec<CString>, Error> {
    if directories.len() > MAX_DIRECTORIES {
        let problem =
            format!("{} directories to show; at most {MAX_DIRECTORIES}", directories.len());
        return Err(Error::InvalidCommand(problem));
    }
    let mut targets: Vec<CString> = Vec::with_capacity(directories.len());
    for directory in directories {
        let target = directory.target()?;
        if targets.contains(&target) {
            let problem =
                format!("two directories are to be shown as {}", directory.inside.display());
            return Err(Error::InvalidCommand(problem));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// What a writable directory is to the limit on disk space.
pub(crate) const SOFT_LIMIT: &str = "soft: a single file is held by a resource limit, but the \
    writable directories of the host are only counted, several times a second, and files that are \
    open without a name are not seen";

/// Directories that are ready to be attached.
#[derive(Default)]
pub(crate) struct Shown {
    /// In the order of the command.
    pub(crate) mounts: Vec<OwnedFd>,
    /// Those that can be written to.
    pub(crate) counted: Vec<Dir>,
}

/// A directory of the host that is held, though nothing can be read by its descriptor (`O_PATH`).
struct Opened {
    path: PathBuf,
    fd: OwnedFd,
    /// User and group.
    owner: (u32, u32),
    writable: bool,
}

impl Opened {
    /// The directory to be looked into.
    fn to_count(&self) -> Result<Dir, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = openat2(&self.fd, ".", OpenHow::new().flags(flags));
        opened.map(Dir::new).map_err(|errno| Error::Directory {
            path: self.path.clone(),
            problem: DirectoryProblem::Open(errno.into()),
        })
    }
}

/// Holds the directory at a path, which may contain links of whoever named it, but no magic ones
/// of proc. Tells its owner.
fn open(path: &Path) -> io::Result<(OwnedFd, (u32, u32))> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let fd = openat2(AT_FDCWD, path, how)?;
    let stat = fstat(fd.as_fd())?;
    Ok((fd, (stat.st_uid, stat.st_gid)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directories_are_shown_under_a_name_of_their_own() {
        for (outside, inside, part) in [
            ("srv", "/automa/job/data/x", "srv is not an absolute path"),
            ("/srv", "x", "x is not a name in /automa/job/data"),
            ("/srv", "/automa/job/data", "write /automa/job/data/NAME"),
            ("/srv", "/automa/job/data/", "is not a name"),
            ("/srv", "/automa/job/data/a/b", "is not a name"),
            ("/srv", "/automa/job/data/..", "is not a name"),
            ("/srv", "/automa/job/data/.", "is not a name"),
            ("/srv", "/automa/job/data/../work", "is not a name"),
            ("/srv", "/automa/job/data/a\nb", "is not a name"),
            ("/srv", "/automa/job/work", "is not a name"),
            ("/srv", "/etc", "is not a name"),
        ] {
            let error = DirectoryMount::new(outside, inside).target().unwrap_err().to_string();
            assert!(error.contains(part), "{inside}: {error}");
        }
        let target = DirectoryMount::new("/srv", "/automa/job/data/x y").target().unwrap();
        assert_eq!(target.as_c_str(), c"/automa/job/data/x y");
    }

    #[test]
    fn directories_of_one_command_do_not_hide_each_other() {
        let mount = |name: &str| DirectoryMount::new("/srv", format!("{DATA_DIR}/{name}"));
        let error = targets(&[mount("a"), mount("b"), mount("a")]).unwrap_err().to_string();
        assert_eq!(error, "two directories are to be shown as /automa/job/data/a");
        let many: Vec<_> = (0..9).map(|number| mount(&number.to_string())).collect();
        assert!(targets(&many).unwrap_err().to_string().contains("at most 8"));
        assert_eq!(targets(&many[..8]).unwrap().len(), 8);
    }

    #[test]
    fn what_root_owns_is_not_for_writing() {
        let mount = DirectoryMount::new("/usr", "/automa/job/data/x");
        assert!(mount.open(true).is_ok() && mount.open(false).is_ok());
        let error = mount.clone().writable().open(true).err().unwrap();
        assert!(matches!(error, Error::Directory { problem: DirectoryProblem::Root, .. }));
    }

    #[test]
    fn a_directory_is_one_and_is_there() {
        for path in ["/usr/bin/env", "/nowhere", "/proc/self/root/usr"] {
            let error = DirectoryMount::new(path, "/automa/job/data/x").open(true).err().unwrap();
            let open = matches!(error, Error::Directory { problem: DirectoryProblem::Open(_), .. });
            assert!(open && error.to_string().contains(path), "{error}");
        }
    }

    proptest! {
        /// Whatever is accepted names something in the one place, and never that place itself.
        #[test]
        fn no_name_leads_elsewhere(name in "(/|\\.|\\.\\.|a|\\PC|\0){1,8}") {
            if let Ok(target) = DirectoryMount::new("/srv", format!("{DATA_DIR}/{name}")).target() {
                let rest = target.to_str().unwrap().strip_prefix("/automa/job/data/").unwrap();
                prop_assert!(!rest.is_empty() && !rest.contains('/'));
                prop_assert!(rest != "." && rest != "..");
            }
        }
    }
}
