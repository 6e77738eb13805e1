//! How much a sandbox may use.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A number of bytes. Written `512M` or `64KiB`: all units are powers of 1024; or `unlimited`.
///
/// ```
/// use automa_sandbox::Bytes;
/// assert_eq!("512M".parse::<Bytes>()?, Bytes::mib(512));
/// assert_eq!(Bytes::kib(64).to_string(), "64 KiB");
/// # Ok::<(), automa_sandbox::ParseBytesError>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// More than there can be.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// `n` times 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` times 1024² bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

/// Units of [`Bytes`], largest first.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl fmt::Display for Bytes {
    /// The largest unit of which there is at least one, with one digit after the point if needed;
    /// or `unlimited`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNLIMITED {
            return f.write_str("unlimited");
        }
        let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| self.0 >> shift > 0) else {
            return write!(f, "{} B", self.0);
        };
        let whole = self.0 >> shift;
        let tenths = ((u128::from(self.0) * 10) >> shift) % 10;
        if tenths == 0 { write!(f, "{whole} {unit}") } else { write!(f, "{whole}.{tenths} {unit}") }
    }
}

/// The text is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write a whole number with a unit, as in 512M, 64K or 1G")]
pub struct ParseBytesError(String);

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseBytesError(text.to_owned());
        let text = text.trim();
        if text == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(invalid()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(invalid)
    }
}

/// What one sandbox may use. The defaults suit a script: see each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time from start to end, by a clock that runs on while the sandbox waits: 5 minutes.
    pub wall: Duration,
    /// Processor time of all processes together; `None`, the default, leaves it to `wall`.
    pub cpu_time: Option<Duration>,
    /// Share of processors, in thousandths of one: 500, half a processor.
    pub cpu_millis: u64,
    /// Memory of all processes together with their files on the temporary file system, swap
    /// included: 512 MiB.
    pub memory: Bytes,
    /// Processes and threads at one time: 64.
    pub processes: u64,
    /// Bytes of stdout and stderr together: 10 MiB. Without one ([`Bytes::UNLIMITED`]), whoever
    /// keeps the output has to bound it.
    pub output: Bytes,
    /// Size of the temporary file system, all that is writable: 100 MiB.
    pub tmp: Bytes,
    /// Files and directories on the temporary file system: 16,384.
    pub tmp_inodes: u64,
    /// Size of a single file; `None`, the default, leaves it to `tmp`.
    pub file_size: Option<Bytes>,
    /// Disk space of the writable [directories](crate::DirectoryMount) together, what was there
    /// before included: 1 GiB. No file system keeps to it: a single file does by a resource limit,
    /// and all of them are counted several times a second, which ends the run when it is passed.
    #[serde(default = "default_directories")]
    pub directories: Bytes,
    /// Open files of one process: 1,024.
    pub open_files: u64,
}

/// What limits that were written before there were directories have.
fn default_directories() -> Bytes {
    Bytes::mib(1024)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_mins(5),
            cpu_time: None,
            cpu_millis: 500,
            memory: Bytes::mib(512),
            processes: 64,
            output: Bytes::mib(10),
            tmp: Bytes::mib(100),
            tmp_inodes: 16_384,
            file_size: None,
            directories: default_directories(),
            open_files: 1024,
        }
    }
}

impl Limits {
    /// Says what is wrong with limits under which nothing could run.
    pub(crate) fn check(&self) -> Result<(), String> {
        let least = |name: &str, value: u64, least: u64, unit: &str| {
            (value >= least).then_some(()).ok_or_else(|| {
                format!("the limit on {name} is {value}{unit}; the least is {least}{unit}")
            })
        };
        least("wall time", self.wall.as_millis() as u64, 1, " ms")?;
        least("cpu share", self.cpu_millis, 10, " thousandths of a processor")?;
        least("memory", self.memory.0 >> 10, 1024, " KiB")?;
        least("processes", self.processes, 1, "")?;
        least("temporary files", self.tmp.0 >> 10, 4, " KiB")?;
        least("inodes", self.tmp_inodes, 8, "")?;
        least("open files", self.open_files, 8, "")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_in_the_ways_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64K", 65536),
            ("1 MiB", 1 << 20),
            ("2gb", 2 << 30),
            ("1T", 1 << 40),
            ("unlimited", u64::MAX),
        ] {
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "K", "-1", "1.5G", "12X", "99999999999999999999", "18446744073709551615K"]
        {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (100 << 20, "100 MiB"),
            (u64::MAX, "unlimited"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn reading_a_size_never_panics(text: String) {
            let _ = text.parse::<Bytes>();
        }

        #[test]
        fn whole_sizes_read_back(n in 1u64..1024, unit in 0usize..4) {
            let size = Bytes(n << UNITS[unit].1);
            prop_assert_eq!(size.to_string().parse::<Bytes>(), Ok(size));
        }
    }

    #[test]
    fn impossible_limits_are_explained() {
        let limits = Limits { processes: 0, ..Limits::default() };
        assert_eq!(limits.check(), Err("the limit on processes is 0; the least is 1".to_owned()));
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn limits_of_before_there_were_directories_are_read() {
        let mut json = serde_json::to_value(Limits::default()).unwrap();
        json.as_object_mut().unwrap().remove("directories").unwrap();
        assert_eq!(serde_json::from_value::<Limits>(json).unwrap(), Limits::default());
    }
}
