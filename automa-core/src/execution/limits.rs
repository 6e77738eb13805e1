//! How much an execution may use: what is asked for, within bounds, over the defaults.

use std::{fmt::Display, time::Duration};

use automa_sandbox::{Bytes, Limits};
use serde::{Deserialize, Serialize};

use super::log::Keep;
use crate::error::FieldError;

/// Longest time that can be asked for: a week.
const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Limits for an execution. What is `None` is the script's, and where that says nothing either,
/// the default of [`automa_sandbox::Limits`].
///
/// ```
/// use automa_core::execution::LimitsRequest;
///
/// let script = LimitsRequest { wall_ms: Some(60_000), pids: Some(8), ..LimitsRequest::default() };
/// let asked = LimitsRequest { wall_ms: Some(5_000), ..LimitsRequest::default() };
/// let limits = asked.over(script).limits();
/// assert_eq!((limits.wall.as_secs(), limits.processes), (5, 8));
/// assert_eq!(limits.memory, automa_sandbox::Bytes::mib(512));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitsRequest {
    /// Time from start to end, in milliseconds: 1 to 604,800,000, which is a week.
    pub wall_ms: Option<u64>,
    /// Processor time of all processes together, in milliseconds: 1 to 604,800,000.
    pub cpu_ms: Option<u64>,
    /// Share of processors: 0.01 to 256. Thousandths count.
    pub cpus: Option<f64>,
    /// Memory of all processes with their temporary files: 1 MiB to 1 TiB.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at one time: 1 to 32,768.
    pub pids: Option<u32>,
    /// Bytes of stdout and stderr together that the log keeps, of their beginning and their end: 1 to
    /// 16 GiB. Whoever writes more goes on, and the log says what it has cut; what writes 64 times as
    /// much, and 1 GiB at least, is ended.
    pub output_bytes: Option<u64>,
    /// Size of the temporary file system, which holds the script too: 64 KiB to 64 GiB.
    pub tmp_bytes: Option<u64>,
}

impl LimitsRequest {
    /// These limits, and those of `other` where these say nothing.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            wall_ms: self.wall_ms.or(other.wall_ms),
            cpu_ms: self.cpu_ms.or(other.cpu_ms),
            cpus: self.cpus.or(other.cpus),
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            pids: self.pids.or(other.pids),
            output_bytes: self.output_bytes.or(other.output_bytes),
            tmp_bytes: self.tmp_bytes.or(other.tmp_bytes),
        }
    }

    /// These limits over the defaults.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.over_defaults(&Limits::default())
    }

    /// These limits over other defaults.
    pub(super) fn over_defaults(&self, default: &Limits) -> Limits {
        Limits {
            wall: self.wall_ms.map_or(default.wall, Duration::from_millis),
            cpu_time: self.cpu_ms.map_or(default.cpu_time, |ms| Some(Duration::from_millis(ms))),
            cpu_millis: self.cpus.map_or(default.cpu_millis, thousandths),
            memory: self.memory_bytes.map_or(default.memory, Bytes),
            processes: self.pids.map_or(default.processes, u64::from),
            output: self.output_bytes.map_or(default.output, Bytes),
            tmp: self.tmp_bytes.map_or(default.tmp, Bytes),
            ..default.clone()
        }
    }

    /// How much of the log is kept: as much of its beginning as of its end.
    pub(crate) fn keep(&self) -> Keep {
        Keep::both_ends(self.limits().output.0)
    }

    /// What its sandbox is given: these limits, and of output what nobody writes who means to be read.
    pub(crate) fn sandbox(&self) -> Limits {
        let limits = self.limits();
        let output = Bytes(limits.output.0.saturating_mul(64).max(1 << 30));
        Limits { output, ..limits }
    }

    /// Names each limit that is out of its bounds.
    pub(crate) fn check(&self, errors: &mut Vec<FieldError>) {
        let mut check = Check(errors);
        check.within("limits.wall_ms", self.wall_ms, (1, WEEK_MS), "1 to 604800000, a week");
        check.within("limits.cpu_ms", self.cpu_ms, (1, WEEK_MS), "1 to 604800000, a week");
        check.within("limits.cpus", self.cpus, (0.01, 256.0), "0.01 to 256");
        let memory = (1 << 20, 1 << 40);
        check.within("limits.memory_bytes", self.memory_bytes, memory, "1 MiB to 1 TiB");
        check.within("limits.pids", self.pids, (1, 32_768), "1 to 32768");
        check.within("limits.output_bytes", self.output_bytes, (1, 16 << 30), "1 to 16 GiB");
        let tmp = (64 << 10, 64 << 30);
        check.within("limits.tmp_bytes", self.tmp_bytes, tmp, "64 KiB to 64 GiB");
    }
}

struct Check<'a>(&'a mut Vec<FieldError>);

impl Check<'_> {
    /// `words` says for people what `bounds` are. Not a number is within no bounds.
    fn within<T: PartialOrd + Display>(
        &mut self,
        field: &'static str,
        value: Option<T>,
        (least, most): (T, T),
        words: &str,
    ) {
        if let Some(value) = value
            && !(value >= least && value <= most)
        {
            self.0.push(FieldError::new(field, format!("must be {words}, not {value}")));
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest number there is, and no share is too small to run"
)]
fn thousandths(share: f64) -> u64 {
    ((share * 1000.0).round() as u64).max(10)
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    fn any_limits() -> impl Strategy<Value = LimitsRequest> {
        let number = || option::of(any::<u64>());
        let cpus = option::of(prop_oneof![any::<f64>(), 0.01..=256.0]);
        let (pids, numbers) = (option::of(any::<u32>()), [(); 5].map(|()| number()));
        (cpus, pids, numbers).prop_map(|(cpus, pids, [wall_ms, cpu_ms, memory, output, tmp])| {
            LimitsRequest {
                wall_ms,
                cpu_ms,
                cpus,
                memory_bytes: memory,
                pids,
                output_bytes: output,
                tmp_bytes: tmp,
            }
        })
    }

    fn fields(limits: &LimitsRequest) -> Vec<String> {
        let mut errors = Vec::new();
        limits.check(&mut errors);
        errors.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn each_limit_has_bounds() {
        let zero = LimitsRequest {
            wall_ms: Some(0),
            cpu_ms: Some(0),
            cpus: Some(0.0),
            memory_bytes: Some(0),
            pids: Some(0),
            output_bytes: Some(0),
            tmp_bytes: Some(0),
        };
        let most = LimitsRequest {
            wall_ms: Some(u64::MAX),
            cpu_ms: Some(u64::MAX),
            cpus: Some(f64::INFINITY),
            memory_bytes: Some(u64::MAX),
            pids: Some(u32::MAX),
            output_bytes: Some(u64::MAX),
            tmp_bytes: Some(u64::MAX),
        };
        let all =
            ["wall_ms", "cpu_ms", "cpus", "memory_bytes", "pids", "output_bytes", "tmp_bytes"];
        for limits in [zero, most] {
            assert_eq!(fields(&limits), all.map(|name| format!("limits.{name}")));
        }
        for cpus in [f64::NAN, -1.0, 256.1] {
            let limits = LimitsRequest { cpus: Some(cpus), ..LimitsRequest::default() };
            assert_eq!(fields(&limits), ["limits.cpus"], "{cpus}");
        }
        assert!(fields(&LimitsRequest::default()).is_empty());
        let mut errors = Vec::new();
        LimitsRequest { pids: Some(0), ..LimitsRequest::default() }.check(&mut errors);
        assert_eq!(errors[0].to_string(), "limits.pids: must be 1 to 32768, not 0");
    }

    #[test]
    fn nothing_asked_for_is_the_default() {
        assert_eq!(LimitsRequest::default().limits(), Limits::default());
        let output = |bytes| {
            let limits = LimitsRequest { output_bytes: Some(bytes), ..LimitsRequest::default() };
            let Keep { head_bytes, tail_bytes } = limits.keep();
            (head_bytes, tail_bytes, limits.sandbox().output)
        };
        assert_eq!(output(101), (50, 51, Bytes(1 << 30)));
        assert_eq!(output(16 << 30), (8 << 30, 8 << 30, Bytes(1 << 40)));
        let share = LimitsRequest { cpus: Some(1.2345), ..LimitsRequest::default() };
        assert_eq!(share.limits().cpu_millis, 1235);
    }

    proptest! {
        /// Field by field: the first that says something, in the order given.
        #[test]
        fn the_nearest_that_says_something_counts(
            request in any_limits(), script in any_limits(),
        ) {
            let model = |pick: fn(&LimitsRequest) -> Option<String>| {
                [request, script].iter().find_map(pick)
            };
            let merged = request.over(script);
            let picks: [fn(&LimitsRequest) -> Option<String>; 7] = [
                |limits| limits.wall_ms.map(|value| value.to_string()),
                |limits| limits.cpu_ms.map(|value| value.to_string()),
                |limits| limits.cpus.map(|value| value.to_string()),
                |limits| limits.memory_bytes.map(|value| value.to_string()),
                |limits| limits.pids.map(|value| value.to_string()),
                |limits| limits.output_bytes.map(|value| value.to_string()),
                |limits| limits.tmp_bytes.map(|value| value.to_string()),
            ];
            for pick in picks {
                prop_assert_eq!(pick(&merged), model(pick));
            }
        }

        #[test]
        fn what_two_accept_their_merger_accepts(one in any_limits(), other in any_limits()) {
            if fields(&one).is_empty() && fields(&other).is_empty() {
                prop_assert!(fields(&one.over(other)).is_empty());
            }
            let _ = one.over(other).limits();
        }
    }
}
