//! What an execution used over time, drawn.

use std::fmt::Write;

use askama::{Template, filters::HtmlSafe};
use automa_sandbox::{Bytes, UsagePoint};

use crate::filters::duration;

/// A drawing is this wide and high, in its own units; the page stretches it.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// All that is drawn of an execution; replaced on its page while it runs.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/usage.html")]
pub(crate) struct Usage {
    /// The element's id.
    id: &'static str,
    plots: Vec<Plot>,
}

/// The template escapes for itself.
impl HtmlSafe for Usage {}

impl Usage {
    /// Draws what is known; nothing of a run that was over too soon.
    pub(crate) fn new(history: &[UsagePoint]) -> Self {
        Self { id: "usage", plots: plots(history) }
    }

    /// The same under another id.
    pub(crate) fn named(self, id: &'static str) -> Self {
        Self { id, ..self }
    }

    /// Whether there is nothing to be drawn.
    pub(crate) fn is_empty(&self) -> bool {
        self.plots.is_empty()
    }
}

/// One quantity over time.
#[derive(Debug, Clone)]
struct Plot {
    name: &'static str,
    /// The most that there was.
    most: String,
    /// When the last point is.
    until: String,
    /// The outline of an area, for an SVG `polygon`.
    area: String,
}

fn plots(history: &[UsagePoint]) -> Vec<Plot> {
    let Some(last) = history.last().filter(|_| history.len() > 1) else { return Vec::new() };
    let until = last.at_ms.max(1);
    let plot = |name, values: &[f64], most: fn(f64) -> String| {
        let peak = values.iter().copied().fold(0.0, f64::max);
        let area = area(history, values, until, peak);
        Plot { name, most: most(peak), until: duration(until), area }
    };
    let mut plots = vec![plot("Processors", &busy(history), |busy| format!("{busy:.2}"))];
    if history.iter().all(|point| point.memory.is_some()) {
        let memory: Vec<_> =
            history.iter().filter_map(|it| it.memory).map(|bytes| to_f64(bytes.0)).collect();
        plots.push(plot("Memory", &memory, |bytes| to_bytes(bytes).to_string()));
    }
    if history.iter().all(|point| point.processes.is_some()) {
        let processes: Vec<_> = history.iter().filter_map(|it| it.processes).map(to_f64).collect();
        plots.push(plot("Processes and threads", &processes, |count| format!("{count:.0}")));
    }
    plots
}

/// How many processors were busy on average up to each point.
fn busy(history: &[UsagePoint]) -> Vec<f64> {
    let mut before = (0, 0);
    let mut share = |point: &UsagePoint| {
        let cpu = point.cpu_ms.saturating_sub(before.1);
        let time = point.at_ms.saturating_sub(before.0).max(1);
        before = (point.at_ms, point.cpu_ms);
        to_f64(cpu) / to_f64(time)
    };
    history.iter().map(&mut share).collect()
}

/// A value holds from the point before it to its own.
fn area(history: &[UsagePoint], values: &[f64], until: u64, peak: f64) -> String {
    let x = |at: u64| to_f64(at) / to_f64(until) * WIDTH;
    let mut area = format!("0,{HEIGHT:.0}");
    let mut before = 0.0;
    for (point, value) in history.iter().zip(values) {
        let height = if peak > 0.0 { value / peak * HEIGHT } else { 0.0 };
        let (y, end) = (HEIGHT - height, x(point.at_ms));
        let _ = write!(area, " {before:.1},{y:.1} {end:.1},{y:.1}");
        before = end;
    }
    let _ = write!(area, " {WIDTH:.0},{HEIGHT:.0}");
    area
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has no more than a few hundred places")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was a number of bytes before"
)]
fn to_bytes(bytes: f64) -> Bytes {
    Bytes(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: u64, cpu_ms: u64, mib: u64) -> UsagePoint {
        UsagePoint { at_ms, cpu_ms, memory: Some(Bytes::mib(mib)), processes: None }
    }

    #[test]
    fn what_was_used_most_is_as_high_as_there_is_room() {
        let plots = plots(&[point(100, 50, 10), point(200, 250, 40), point(400, 250, 20)]);
        let shown: Vec<_> = plots.iter().map(|plot| (plot.name, plot.most.as_str())).collect();
        assert_eq!(shown, [("Processors", "2.00"), ("Memory", "40 MiB")]);
        let memory = "0,40 0.0,30.0 60.0,30.0 60.0,0.0 120.0,0.0 120.0,20.0 240.0,20.0 240,40";
        assert_eq!(plots[1].area, memory);
        assert_eq!(plots[0].until, "400 ms");
    }

    #[test]
    fn one_point_is_no_plot_and_nothing_used_is_a_flat_one() {
        assert!(plots(&[]).is_empty() && plots(&[point(100, 1, 1)]).is_empty());
        let idle = plots(&[point(100, 0, 0), point(200, 0, 0)]);
        assert!(idle.iter().all(|plot| !plot.area.contains("NaN")), "{idle:?}");
    }
}
