//! Figures and how they are shown: medians, percentiles, ratios, targets.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

/// Figures that were measured together.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
    /// What is not a time.
    pub(super) figures: Vec<Figure>,
    /// Median time by step of one start, where that was measured.
    pub(super) steps: Vec<(String, f64)>,
}

impl Table {
    /// A table that is still empty.
    pub(super) fn new(title: String) -> Self {
        Self { title, rows: Vec::new(), figures: Vec::new(), steps: Vec::new() }
    }
}

/// One thing that was timed.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) rounds: usize,
    pub(super) median_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    /// Median against the median of the row it is compared with.
    pub(super) ratio: Option<f64>,
    /// What the ratio should not exceed.
    pub(super) target: Option<f64>,
    /// What the median should not exceed.
    pub(super) target_us: Option<f64>,
}

impl Row {
    /// A row of these times; `bare` is the median to compare with.
    pub(super) fn new(
        name: &str,
        times: &[Duration],
        bare: Option<f64>,
        target: Option<f64>,
    ) -> Self {
        let mut micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        let median_us = percentile(&micros, 50);
        let (p90_us, p99_us) = (percentile(&micros, 90), percentile(&micros, 99));
        let ratio = bare.map(|bare| median_us / bare);
        let name = name.to_owned();
        Self {
            name,
            rounds: times.len(),
            median_us,
            p90_us,
            p99_us,
            ratio,
            target,
            target_us: None,
        }
    }

    /// The same with a target for the median itself.
    pub(super) fn at_most(self, micros: f64) -> Self {
        Self { target_us: Some(micros), ..self }
    }
}

/// One thing that was counted or sized.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) rounds: usize,
    /// The median.
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// Value against that of the figure it is compared with.
    pub(super) ratio: Option<f64>,
    pub(super) target: Option<Target>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
}

impl Figure {
    /// A figure measured so often; `bare` is the value to compare with.
    pub(super) fn new(name: &str, values: &[f64], unit: &'static str, bare: Option<f64>) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = percentile(&sorted, 50);
        let ratio = bare.map(|bare| value / bare);
        Self { name: name.to_owned(), rounds: values.len(), value, unit, ratio, target: None }
    }

    /// The same with a target.
    pub(super) fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }
}

/// The value below which `percent` of the sorted values lie, 0 of none.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or(0.0)
}

/// Writes all tables to stdout.
pub(super) fn write(tables: &[Table], json: bool) -> io::Result<()> {
    let mut to = io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(tables)?;
        return writeln!(to, "{text}");
    }
    for table in tables {
        writeln!(to, "{}", table.title)?;
        writeln!(
            to,
            "  {:44} {:>9} {:>9} {:>9} {:>7} {:>7}",
            "", "median µs", "p90 µs", "p99 µs", "ratio", "target"
        )?;
        let or_blank = |value: Option<f64>, mark: &str| {
            value.map(|value| format!("{mark}{value:.2}")).unwrap_or_default()
        };
        for row in &table.rows {
            writeln!(
                to,
                "  {:44} {:>9.0} {:>9.0} {:>9.0} {:>7} {:>7}{}",
                row.name,
                row.median_us,
                row.p90_us,
                row.p99_us,
                or_blank(row.ratio, ""),
                or_blank(row.target, "≤ "),
                row.target_us.map(|target| format!(" ≤ {target:.0} µs")).unwrap_or_default(),
            )?;
        }
        for figure in &table.figures {
            let Figure { name, value, unit, .. } = figure;
            let ratio = or_blank(figure.ratio, "");
            let target = figure.target.map_or_else(String::new, |target| match target {
                Target::AtLeast(least) => format!("≥ {least} {unit}"),
                Target::AtMost(most) => format!("≤ {most} {unit}"),
                Target::RatioAtLeast(least) => format!("≥ {least:.2}"),
            });
            let digits = usize::from(*value < 100.0);
            writeln!(
                to,
                "  {name:44} {value:>9.digits$} {unit:<9} {:9} {ratio:>7} {target:>7}",
                ""
            )?;
        }
        for (step, median) in &table.steps {
            writeln!(to, "      {step:40} {median:>9.0}")?;
        }
        writeln!(to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        let times: Vec<Duration> = (1..=10).rev().map(Duration::from_micros).collect();
        let row = Row::new("x", &times, Some(3.0), None);
        assert!((row.median_us - 6.0).abs() < 1e-9, "{row:?}");
        assert!((row.p90_us - 10.0).abs() < 1e-9, "{row:?}");
        assert!((row.ratio.unwrap() - 2.0).abs() < 1e-9, "{row:?}");
        assert!(percentile(&[], 50).abs() < f64::EPSILON);
        let figure = Figure::new("x", &[6.0, 2.0, 4.0], "/s", Some(2.0));
        assert!((figure.value - 4.0).abs() < 1e-9, "{figure:?}");
        assert!((figure.ratio.unwrap() - 2.0).abs() < 1e-9, "{figure:?}");
    }
}
