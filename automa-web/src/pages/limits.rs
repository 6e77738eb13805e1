//! Limits in forms: "30s", "512M", "0.5"; what is left empty is the script's, else the default.

use std::time::Duration;

use automa_core::execution::LimitsRequest;
use automa_sandbox::{Bytes, Limits};

use super::form::{Field, Problems, Typed};

/// The fields of limits.
#[derive(Debug, Clone)]
pub(crate) struct LimitsFields {
    pub(crate) fields: Vec<Field>,
}

/// Names, labels and examples of the fields.
const FIELDS: [(&str, &str); 7] = [
    ("limits.wall_ms", "Time"),
    ("limits.cpu_ms", "Processor time"),
    ("limits.cpus", "Processors"),
    ("limits.memory_bytes", "Memory"),
    ("limits.pids", "Processes"),
    ("limits.output_bytes", "Output"),
    ("limits.tmp_bytes", "Temporary files"),
];

impl LimitsFields {
    /// Fields with what was typed; empty ones show what then counts: `base`, else the default.
    pub(crate) fn new(typed: &Typed, problems: &mut Problems, base: &LimitsRequest) -> Self {
        let usual = usual(base);
        let fields = FIELDS.iter().zip(usual).map(|((id, label), usual)| {
            Field::line(*id, *label).placeholder(usual).filled(typed, problems)
        });
        Self { fields: fields.collect() }
    }

    /// Whether a field holds anything, so that it should be seen.
    pub(crate) fn touched(&self) -> bool {
        self.fields.iter().any(|field| field.is_filled() || field.has_error())
    }

    /// What counts without a change, in a few words.
    pub(crate) fn summary(&self) -> String {
        let of = |place: usize| self.fields.get(place).map_or("", Field::shown);
        format!("{}, {}, {} of a processor", of(0), of(3), of(2))
    }
}

/// What a form says about limits; what cannot be read is a problem of its field.
pub(crate) fn read(typed: &Typed, problems: &mut Problems) -> LimitsRequest {
    LimitsRequest {
        wall_ms: field(typed, problems, FIELDS[0].0, time),
        cpu_ms: field(typed, problems, FIELDS[1].0, time),
        cpus: field(typed, problems, FIELDS[2].0, share),
        memory_bytes: field(typed, problems, FIELDS[3].0, size),
        pids: field(typed, problems, FIELDS[4].0, |text| {
            text.parse().map_err(|_| format!("`{text}` is not a whole number"))
        }),
        output_bytes: field(typed, problems, FIELDS[5].0, size),
        tmp_bytes: field(typed, problems, FIELDS[6].0, size),
    }
}

/// The form that would ask for these limits.
pub(crate) fn typed(typed: Typed, limits: &LimitsRequest) -> Typed {
    let texts = texts(limits);
    FIELDS.iter().zip(texts).fold(typed, |typed, ((id, _), text)| match text {
        Some(text) => typed.with(id, text),
        None => typed,
    })
}

pub(super) fn field<T>(
    typed: &Typed,
    problems: &mut Problems,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let text = typed.line(name);
    if text.is_empty() {
        return None;
    }
    parse(text).map_err(|problem| problems.add(name, &problem)).ok()
}

/// Milliseconds of a time as people write it.
pub(super) fn time(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is not a time: write 500ms, 30s, 5m or 1h30m");
    // A number alone is meant in seconds.
    let seconds = text.parse().map(Duration::from_secs).ok();
    let time = seconds.or_else(|| humantime::parse_duration(text).ok()).ok_or_else(problem)?;
    u64::try_from(time.as_millis()).map_err(|_| problem())
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    text.parse::<Bytes>().map(|bytes| bytes.0).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let problem = || format!("`{text}` is not a share of processors: write 0.5, 1 or 2.25");
    text.parse().ok().filter(|share: &f64| share.is_finite()).ok_or_else(problem)
}

/// Limits as one would type them.
fn texts(limits: &LimitsRequest) -> [Option<String>; 7] {
    let time = |ms: Option<u64>| ms.map(written_time);
    let size = |bytes: Option<u64>| Some(written(bytes?));
    [
        time(limits.wall_ms),
        time(limits.cpu_ms),
        limits.cpus.map(|share| share.to_string()),
        size(limits.memory_bytes),
        limits.pids.map(|pids| pids.to_string()),
        size(limits.output_bytes),
        size(limits.tmp_bytes),
    ]
}

/// A time that reads back exactly: `15m`.
pub(super) fn written_time(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

/// A size that reads back exactly: `512M`, or all its bytes.
pub(super) fn written(bytes: u64) -> String {
    let unit = [("T", 40), ("G", 30), ("M", 20), ("K", 10)]
        .into_iter()
        .find(|(_, shift)| bytes >> shift > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// What counts where nothing is typed.
fn usual(base: &LimitsRequest) -> [String; 7] {
    let default = Limits::default();
    #[expect(clippy::cast_precision_loss, reason = "a share of at most a few thousand")]
    let cpus = default.cpu_millis as f64 / 1000.0;
    let minutes = humantime::format_duration(default.wall).to_string();
    let defaults = [
        minutes,
        "as long as time".to_owned(),
        cpus.to_string(),
        written(default.memory.0),
        default.processes.to_string(),
        written(default.output.0),
        written(default.tmp.0),
    ];
    let mut base = texts(base).into_iter();
    defaults.map(|default| base.next().flatten().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_back_as_they_are_written() {
        let limits = LimitsRequest {
            wall_ms: Some(90_500),
            cpus: Some(0.25),
            memory_bytes: Some(64 << 20),
            pids: Some(7),
            tmp_bytes: Some(1_000_001),
            ..LimitsRequest::default()
        };
        let mut problems = Problems::default();
        assert_eq!(read(&typed(Typed::default(), &limits), &mut problems), limits);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn people_write_limits_in_many_ways() {
        for (text, ms) in [("30", 30_000), ("30s", 30_000), ("1h 30m", 5_400_000), ("5ms", 5)] {
            assert_eq!(time(text), Ok(ms), "{text}");
        }
        let mut problems = Problems::default();
        let bad = Typed::default()
            .with("limits.wall_ms", "soon")
            .with("limits.cpus", "NaN")
            .with("limits.pids", "-1")
            .with("limits.memory_bytes", "99999999999T");
        assert_eq!(read(&bad, &mut problems), LimitsRequest::default());
        let fields = LimitsFields::new(&bad, &mut problems, &LimitsRequest::default());
        assert_eq!(fields.fields.iter().filter(|field| field.has_error()).count(), 4);
        assert!(fields.touched() && problems.is_empty());
    }

    #[test]
    fn an_empty_field_shows_what_counts() {
        let base = LimitsRequest { memory_bytes: Some(64 << 20), ..LimitsRequest::default() };
        let fields = LimitsFields::new(&Typed::default(), &mut Problems::default(), &base);
        assert!(!fields.touched());
        assert_eq!(fields.summary(), "5m, 64M, 0.5 of a processor");
    }
}
