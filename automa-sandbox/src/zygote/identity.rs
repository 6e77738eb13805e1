//! Who payloads are: user ids, user namespaces, and the rights nobody below will have again.

use std::{fs, io};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Pid, getegid, geteuid, getgroups, getpid},
};

use super::{At, Failure};
use crate::{report::Stage, sys};

/// User and group id of payloads in a user namespace, as they see it.
pub(crate) const INSIDE_ID: u32 = 1000;

/// First user id for payloads of a root engine. The range 0x70000000..0x7fffffff is the one that
/// systemd's table of ids leaves to nobody (UIDS-GIDS, "unused").
const FIRST_UID: u32 = 0x7000_0000;
/// Ids that each engine keeps for its slots.
const UIDS_EACH: u32 = 64;

/// Whether this process may do all of it as root, without a user namespace.
pub(crate) fn privileged() -> bool {
    // CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_SYS_ADMIN (linux/capability.h).
    let needed = [6, 7, 8, 18, 21].iter().fold(0u64, |set, bit| set | 1 << bit);
    geteuid().is_root() && sys::effective_capabilities() & needed == needed
}

/// Picks user ids that no account has: a block of its own for each engine, so that per-user limits
/// and signals of two engines never meet; or, where root has only a small range (a container),
/// ids at the upper end of 16 bits.
pub(super) fn choose_uids(slots: usize) -> io::Result<u32> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let own = (Pid::as_raw(getpid()) as u32 % (0x1000_0000 / UIDS_EACH)) * UIDS_EACH;
    [FIRST_UID + own, 60_000]
        .into_iter()
        .find(|&first| is_mapped(&map, first, slots as u64))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Whether one line of a `uid_map` (`user_namespaces(7)`) holds `count` ids from `first` on.
fn is_mapped(map: &str, first: u32, count: u64) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u32> =
            line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [inside, _, length] = numbers[..] else { return false };
        inside <= first && u64::from(first) + count <= u64::from(inside) + u64::from(length)
    })
}

/// Enters a user and a mount namespace of this user's own. Returns how many supplementary groups
/// stay with the process, as only root may drop them.
pub(crate) fn enter_user_namespace() -> Result<usize, Failure> {
    let (uid, gid) = (geteuid(), getegid());
    let kept = getgroups().map_or(0, |groups| groups.iter().filter(|&&group| group != gid).count());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).at(Stage::UserNamespace, "")?;
    map_ids(INSIDE_ID, (uid.as_raw(), gid.as_raw())).at(Stage::IdMap, "")?;
    Ok(kept)
}

/// Maps one user and one group id into the user namespace that this process has just entered.
pub(super) fn map_ids(inside: u32, (uid, gid): (u32, u32)) -> io::Result<()> {
    // user_namespaces(7): without privilege a group map needs setgroups switched off first.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{inside} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{inside} {gid} 1"))
}

/// `SECBIT_NOROOT` and `SECBIT_NO_CAP_AMBIENT_RAISE` with their locks (capabilities(7)).
const SECURE: u64 = 1 | 1 << 1 | 1 << 6 | 1 << 7;

/// Gives up, for all that will ever be started from here, the ways to gain rights by an exec.
pub(super) fn drop_future_rights() -> io::Result<()> {
    // prctl(2): dropping a capability that this kernel does not have fails with EINVAL.
    for capability in 0..64 {
        if sys::prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
            break;
        }
    }
    sys::prctl(libc::PR_SET_SECUREBITS, SECURE)?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_mapped_by_one_line() {
        let all = "         0          0 4294967295\n";
        assert!(is_mapped(all, FIRST_UID, 64));
        let container = "0 100000 65536\n70000 200000 10\n";
        assert!(is_mapped(container, 60_000, 64) && !is_mapped(container, FIRST_UID, 1));
        assert!(is_mapped(container, 70_000, 10) && !is_mapped(container, 70_001, 10));
        assert!(!is_mapped("", 0, 1) && !is_mapped("0 0\n", 0, 1) && !is_mapped("0 0 -1\n", 0, 1));
    }

    proptest! {
        #[test]
        fn any_map_is_read_or_not(map: String, first: u32, count in 0..1000_u64) {
            let _ = is_mapped(&map, first, count);
        }

        #[test]
        fn exactly_the_ids_of_a_line_are_mapped(
            inside: u32,
            length in 1..u32::MAX,
            first: u32,
            count in 1..100_u64,
        ) {
            let map = format!("{inside:10} {:10} {length:10}\n", 0);
            let last = u64::from(inside) + u64::from(length) - 1;
            let held = first >= inside && u64::from(first) + count - 1 <= last;
            prop_assert_eq!(is_mapped(&map, first, count), held);
        }
    }
}
