//! What the host has left: whether more can be started, and more be accepted.
//!
//! It is looked at when somebody wants to know, and at most once a second.

use std::{fs, path::PathBuf};

use automa_sandbox::Bytes;
use jiff::{SignedDuration, Timestamp};
use nix::sys::statvfs::statvfs;

use super::Shortage;

/// How long what was seen counts.
const LASTS: SignedDuration = SignedDuration::from_secs(1);
/// The share of the last ten seconds in which something stood still for lack of memory, from which on
/// memory is short: hundredths of a percent.
const STALLED_MOST: u32 = 4_000;
/// Where the kernel tells that share (`Documentation/accounting/psi.rst`).
const MEMORY: &str = "/proc/pressure/memory";

/// What is seen of the host.
pub(crate) trait Host: Send + Sync {
    /// The share of the last ten seconds in which something stood still for lack of memory, in
    /// hundredths of a percent; `None` where that is not known.
    fn memory_stalled(&self) -> Option<u32>;
    /// Space for data; `None` where that is not known.
    fn disk(&self) -> Option<Disk>;
}

/// Space on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// For who is not root.
    pub(crate) free: u64,
    pub(crate) size: u64,
}

/// The host that this runs on, with the directory of data.
#[derive(Debug)]
pub(crate) struct ThisHost {
    data: PathBuf,
}

impl ThisHost {
    pub(crate) fn new(data: PathBuf) -> Self {
        let host = Self { data };
        if host.memory_stalled().is_none() {
            tracing::info!("{MEMORY} is not there: executions start however short memory is");
        }
        host
    }
}

impl Host for ThisHost {
    fn memory_stalled(&self) -> Option<u32> {
        stalled(&fs::read_to_string(MEMORY).ok()?)
    }

    fn disk(&self) -> Option<Disk> {
        let found = statvfs(&self.data).ok()?;
        let block = found.fragment_size();
        let bytes = |blocks: u64| blocks.saturating_mul(block);
        Some(Disk { free: bytes(found.blocks_available()), size: bytes(found.blocks()) })
    }
}

/// The share that a line "some avg10=1.23 avg60=…" tells, in hundredths of a percent.
fn stalled(text: &str) -> Option<u32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    let (whole, rest) = some.split_whitespace().next()?.split_once('.')?;
    let hundredths = rest.get(..2)?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths.parse().ok()?)
}

/// Whether the host has enough of everything.
pub(crate) struct Admission {
    host: Box<dyn Host>,
    /// Bytes that have to be free on the disk, if not the usual.
    least: Option<u64>,
    seen: Option<(Timestamp, Option<Shortage>)>,
}

impl Admission {
    pub(crate) fn new(host: Box<dyn Host>, least: Option<u64>) -> Self {
        Self { host, least, seen: None }
    }

    /// What the host lacks, as it was seen within the last second.
    pub(crate) fn shortage(&mut self, now: Timestamp) -> Option<Shortage> {
        if let Some((at, shortage)) = self.seen {
            let age = now.duration_since(at);
            // A clock that stepped back tells nothing about the age.
            if !age.is_negative() && age < LASTS {
                return shortage;
            }
        }
        let shortage = self.look();
        self.seen = Some((now, shortage));
        shortage
    }

    /// When it can be seen anew.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        self.seen.and_then(|(at, _)| at.checked_add(LASTS).ok())
    }

    fn look(&self) -> Option<Shortage> {
        if let Some(disk) = self.host.disk() {
            let least = self.least.unwrap_or_else(|| usual_least(disk.size));
            if disk.free < least {
                return Some(Shortage::Disk { free: disk.free, least });
            }
        }
        let stalled = self.host.memory_stalled()?;
        (stalled > STALLED_MOST).then_some(Shortage::Memory { stalled })
    }
}

/// What has to be free unless told: a hundredth of the disk, at least 256 MiB, but never more than a
/// tenth.
fn usual_least(size: u64) -> u64 {
    (size / 100).max(Bytes::mib(256).0).min(size / 10)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    };

    use super::*;

    /// A host that a test decides about. With all zero it has enough of everything.
    #[derive(Debug, Default)]
    pub(crate) struct TestHost {
        pub(crate) stalled: AtomicU32,
        /// Of a disk of 100 GiB.
        pub(crate) used: AtomicU64,
    }

    impl Host for Arc<TestHost> {
        fn memory_stalled(&self) -> Option<u32> {
            Some(self.stalled.load(Ordering::Relaxed))
        }

        fn disk(&self) -> Option<Disk> {
            let size = Bytes::mib(100 << 10).0;
            Some(Disk { free: size - self.used.load(Ordering::Relaxed), size })
        }
    }

    #[test]
    fn a_shortage_is_seen_once_a_second() {
        let host = Arc::new(TestHost::default());
        let mut admission = Admission::new(Box::new(Arc::clone(&host)), None);
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(admission.shortage(start), None);
        host.stalled.store(STALLED_MOST + 1, Ordering::Relaxed);
        let within = start + SignedDuration::from_millis(999);
        assert_eq!(admission.shortage(within), None);
        let memory = Some(Shortage::Memory { stalled: STALLED_MOST + 1 });
        assert_eq!(admission.shortage(admission.next_look().unwrap()), memory);
        host.stalled.store(STALLED_MOST, Ordering::Relaxed);
        assert_eq!(admission.shortage(start), None, "the clock was set back");
        // The disk is the worse.
        host.stalled.store(10_000, Ordering::Relaxed);
        host.used.store(Bytes::mib((100 << 10) - 1000).0, Ordering::Relaxed);
        let (free, least) = (Bytes::mib(1000).0, Bytes::mib(1024).0);
        let later = start + SignedDuration::from_secs(9);
        assert_eq!(admission.shortage(later), Some(Shortage::Disk { free, least }));
        let mut admission = Admission::new(Box::new(host), Some(free));
        assert!(matches!(admission.shortage(later), Some(Shortage::Memory { .. })));
    }

    #[test]
    fn what_has_to_be_free_fits_the_disk() {
        for (size, least) in [(1 << 40, (1 << 40) / 100), (8 << 30, 256 << 20), (1000, 100)] {
            assert_eq!(usual_least(size), least);
        }
    }

    #[test]
    fn what_the_kernel_tells_is_read() {
        let text = "some avg10=12.30 avg60=0.11 avg300=0.02 total=77\nfull avg10=99.00 avg60=0.00";
        assert_eq!(stalled(text), Some(1_230));
        assert_eq!(stalled("some avg10=0.05 avg60=1"), Some(5));
        for text in
            ["", "some", "some avg10=x.00", "some avg10=1", "some avg10=1.2", "full avg10=1.00"]
        {
            assert_eq!(stalled(text), None, "{text}");
        }
        let here = ThisHost::new("/".into());
        assert!(here.disk().is_some_and(|disk| disk.free <= disk.size && disk.size > 0));
    }
}
