//! The Landlock rulesets of payloads (`landlock(7)`): a second wall behind the mounts and the
//! network.
//!
//! Built by the zygote and the slots; a payload restricts itself with a finished ruleset in one
//! call.
//! The crate `landlock` builds it; `restrict_self` is a raw call, as the crate makes no promise
//! about what is safe after a fork.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use ::landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
};

/// From this ABI on, nothing read-only can be truncated (Linux 6.2).
pub(crate) const FULL_FS_ABI: i32 = 3;
/// From this ABI on, TCP ports are ruled (Linux 6.7).
pub(crate) const NET_ABI: i32 = 4;
/// From this ABI on, connecting to a socket by its path is ruled.
pub(crate) const SOCKET_ABI: i32 = 9;
/// From this ABI on, abstract sockets and signals stay inside (Linux 6.12).
pub(crate) const SCOPE_ABI: i32 = 6;

/// Whether a ruleset also rules TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tcp {
    /// No port can be bound or connected to.
    Refused,
    /// Another ruleset, [`connect_only`], says what can be; or there is nothing but a loopback
    /// interface of the sandbox's own.
    Unruled,
}

/// What a ruleset is about.
pub(crate) struct Rules<'a> {
    pub(crate) tcp: Tcp,
    /// Trees and files from which programs run; also from below `writable`.
    pub(crate) executable: &'a [PathBuf],
    pub(crate) writable: &'a Path,
    /// The directory with the devices of terminals, where there are some.
    pub(crate) terminals: Option<&'a Path>,
}

/// Builds the ruleset that the kernel's `abi` can hold; `None` where it has no Landlock.
///
/// Reading is allowed everywhere: the payload's tree holds nothing that is not for it. A rule on
/// what is mounted later, as each sandbox's proc is, has to lie on a parent, here the root.
pub(crate) fn ruleset(abi: i32, rules: &Rules<'_>) -> io::Result<Option<OwnedFd>> {
    if abi < 1 {
        return Ok(None);
    }
    build(abi, rules).map_err(io::Error::other)
}

/// Builds a ruleset by which TCP connects to these ports only and binds none; `None` where the
/// kernel's `abi` does not rule that.
pub(crate) fn connect_only(
    abi: i32,
    ports: impl IntoIterator<Item = u16>,
) -> io::Result<Option<OwnedFd>> {
    if abi < NET_ABI {
        return Ok(None);
    }
    build_connect_only(abi, ports).map_err(io::Error::other)
}

fn build_connect_only(
    abi: i32,
    ports: impl IntoIterator<Item = u16>,
) -> Result<Option<OwnedFd>, ::landlock::RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(ABI::from(abi)))?
        .create()?;
    let mut rules = ports.into_iter().map(|port| NetPort::new(port, AccessNet::ConnectTcp));
    let ruleset = rules.try_fold(ruleset, RulesetCreatedAttr::add_rule)?;
    Ok(ruleset.into())
}

fn build(abi: i32, rules: &Rules<'_>) -> Result<Option<OwnedFd>, ::landlock::RulesetError> {
    let rules_net = abi >= NET_ABI && rules.tcp == Tcp::Refused;
    let rules_scope = abi >= SCOPE_ABI;
    let abi = ABI::from(abi);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let write = AccessFs::from_all(abi) & !devices;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?;
    // To handle nothing at all is an error of its own.
    if rules_net {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi))?;
    }
    if rules_scope {
        ruleset = ruleset.scope(Scope::from_all(abi))?;
    }
    let mut ruleset = ruleset.create()?;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| {
        // A path that is not there (a device the host lacks) needs no rule.
        let Ok(fd) = PathFd::new(path) else { return Ok(()) };
        (&mut ruleset).add_rule(PathBeneath::new(fd, access & AccessFs::from_all(abi))).map(drop)
    };
    allow(Path::new("/"), read)?;
    for tree in rules.executable {
        let is_dir = tree.is_dir();
        allow(
            tree,
            if is_dir { read | AccessFs::Execute } else { AccessFs::Execute | AccessFs::ReadFile },
        )?;
    }
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        allow(Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    if let Some(terminals) = rules.terminals {
        // Its own terminals are below, on a file system of each sandbox's own.
        let devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        allow(terminals, read | devices)?;
    }
    allow(rules.writable, write)?;
    Ok(ruleset.into())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        net::TcpListener,
        os::{
            fd::AsRawFd,
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixListener, UnixStream},
        },
        thread,
    };

    use nix::{sys::termios, unistd::truncate};

    use super::*;
    use crate::sys;

    /// Which of some attempts fail for a thread that a ruleset for this `abi` confines: later kernels
    /// hold earlier rulesets exactly as the kernels did that had no more to offer.
    fn refused(abi: i32) -> Vec<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        for path in [&inside, &outside, &inside.join("sub")] {
            fs::create_dir(path).unwrap();
        }
        fs::write(inside.join("file"), "").unwrap();
        fs::write(outside.join("file"), "text").unwrap();
        let address = SocketAddr::from_abstract_name(dir.path().as_os_str().as_encoded_bytes());
        let address = address.unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();

        let rules =
            Rules { tcp: Tcp::Refused, executable: &[], writable: &inside, terminals: None };
        let ruleset = ruleset(abi, &rules).unwrap().unwrap();
        let attempts = move || {
            sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).unwrap();
            sys::landlock_restrict_self(ruleset.as_raw_fd()).unwrap();
            let null = File::open("/dev/null").unwrap();
            let ioctl = termios::tcgetattr(&null);
            let found = [
                ("read", fs::read(outside.join("file")).is_ok()),
                ("create", File::create(inside.join("new")).is_ok()),
                ("create outside", File::create(outside.join("new")).is_ok()),
                ("move", fs::rename(inside.join("file"), inside.join("sub/file")).is_ok()),
                ("truncate outside", truncate(&outside.join("file"), 0).is_ok()),
                ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
                ("device", ioctl == Err(nix::errno::Errno::ENOTTY)),
                ("abstract socket", UnixStream::connect_addr(&address).is_ok()),
            ];
            found.into_iter().filter(|(_, worked)| !worked).map(|(name, _)| name).collect()
        };
        thread::spawn(attempts).join().unwrap()
    }

    #[test]
    fn each_abi_refuses_what_it_rules() {
        let known: [&[&str]; 7] = [
            &["create outside", "move"],
            &["create outside"],
            &["create outside", "truncate outside"],
            &["create outside", "truncate outside", "listen"],
            &["create outside", "truncate outside", "listen", "device"],
            &["create outside", "truncate outside", "listen", "device", "abstract socket"],
            &["create outside", "truncate outside", "listen", "device", "abstract socket"],
        ];
        let have = usize::try_from(sys::landlock_abi()).unwrap_or(0);
        for (abi, expected) in (1..).zip(known).take(have) {
            assert_eq!(refused(abi), expected, "ABI {abi}");
        }
        let rules = Rules {
            tcp: Tcp::Refused,
            executable: &[],
            writable: Path::new("/tmp"),
            terminals: None,
        };
        assert!(ruleset(0, &rules).unwrap().is_none(), "without Landlock there is no ruleset");
    }

    #[test]
    fn ports_are_ruled_from_the_abi_on_that_knows_them() {
        let have = sys::landlock_abi();
        for abi in 0..=have.min(7) {
            assert_eq!(connect_only(abi, [443]).unwrap().is_some(), abi >= NET_ABI, "ABI {abi}");
        }
    }
}
