//! Limits as the kernel takes them, and what was written of them.

use std::io;

/// No limit, as a number above all limits.
pub(super) const UNLIMITED: u64 = u64::MAX;

/// The period of processor quotas, the kernel's default.
pub(super) const CPU_PERIOD_US: u64 = 100_000;

/// The limits as last written. A new group has none.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) memory: Option<u64>,
    pub(super) pids: Option<u64>,
    pub(super) cpu: Option<u64>,
}

impl Default for Written {
    fn default() -> Self {
        Self { memory: Some(UNLIMITED), pids: Some(UNLIMITED), cpu: Some(UNLIMITED) }
    }
}

/// Calls `write` when `wanted` is not what was written; it gets the former value, `None` when that
/// is not known since a write failed.
pub(super) fn update(
    written: &mut Option<u64>,
    wanted: u64,
    write: impl FnOnce(Option<u64>) -> io::Result<()>,
) -> io::Result<()> {
    if *written == Some(wanted) {
        return Ok(());
    }
    write(written.take())?;
    *written = Some(wanted);
    Ok(())
}

/// Has the kernel hand out a full period of the processor quota, if there is one: otherwise a run
/// waits up to 100 ms for what the former one used. A quota written again unchanged has no effect.
pub(super) fn refill(written: &Written, write: impl Fn(u64) -> io::Result<()>) -> io::Result<()> {
    match written.cpu {
        None | Some(UNLIMITED) => Ok(()),
        Some(quota) => write(quota + 1).and_then(|()| write(quota)),
    }
}

/// The number of tasks in the leaf when `overhead` of them are ours.
pub(super) fn task_limit(pids: Option<u64>, overhead: u64) -> u64 {
    /// `PID_MAX_LIMIT`: `pids.max` refuses more, and no system has more.
    const MOST: u64 = 4_194_304;
    match pids {
        Some(pids) if pids <= MOST - overhead => pids + overhead,
        _ => UNLIMITED,
    }
}

/// Microseconds of processor time per [`CPU_PERIOD_US`].
pub(super) fn cpu_quota(millis: Option<u64>) -> u64 {
    /// The kernel refuses a quota under one millisecond.
    const LEAST_US: u64 = 1000;
    /// More than any machine, less than what overflows in the kernel.
    const MOST_MILLIS: u64 = 1_000_000_000;
    match millis {
        Some(millis) if millis <= MOST_MILLIS => (millis * (CPU_PERIOD_US / 1000)).max(LEAST_US),
        _ => UNLIMITED,
    }
}

/// A limit as text, with the word the file has for no limit.
pub(super) fn limit_text(limit: u64, unlimited: &str) -> String {
    if limit == UNLIMITED { unlimited.to_owned() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_the_kernel() {
        assert_eq!(task_limit(Some(10), 2), 12);
        assert_eq!(task_limit(None, 2), UNLIMITED);
        assert_eq!(task_limit(Some(u64::MAX), 2), UNLIMITED);
        assert_eq!(cpu_quota(Some(500)), 50_000);
        assert_eq!(cpu_quota(Some(0)), 1000);
        assert_eq!(cpu_quota(Some(u64::MAX)), UNLIMITED);
        assert_eq!(limit_text(UNLIMITED, "max"), "max");
    }

    #[test]
    fn only_changes_are_written() {
        let mut written = Some(UNLIMITED);
        update(&mut written, UNLIMITED, |_| panic!("nothing changed")).unwrap();
        let refuse = |_| Err(io::ErrorKind::ResourceBusy.into());
        update(&mut written, 5, refuse).unwrap_err();
        // After a failure nobody knows what holds.
        update(&mut written, 5, |before| {
            assert_eq!(before, None);
            Ok(())
        })
        .unwrap();
        assert_eq!(written, Some(5));
    }
}
