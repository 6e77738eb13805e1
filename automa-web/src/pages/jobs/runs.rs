//! The last runs of a job, drawn: a bar for each, as high as it took long and in the colour of its end.

use askama::{Template, filters::HtmlSafe};
use automa_core::{execution::State, job::Run};

use crate::filters::{duration, state_word};

/// Runs that are drawn in a list, and of one job.
const FEW: usize = 14;
const ALL: usize = 30;

/// The drawing.
#[derive(Debug, Clone, Template)]
#[template(path = "jobs/strip.html")]
pub(super) struct Strip {
    height: u32,
    /// What one sees, in words.
    words: String,
    bars: Vec<Bar>,
}

/// The template escapes for itself.
impl HtmlSafe for Strip {}

#[derive(Debug, Clone)]
struct Bar {
    /// From the left, in percent.
    x: String,
    width: String,
    y: u32,
    height: u32,
    state: State,
    /// What it says when pointed at.
    title: String,
}

impl Strip {
    /// The newest runs, of those that are given newest first.
    pub(super) fn small(newest_first: &[Run]) -> Self {
        Self::new(&newest_first[..newest_first.len().min(FEW)], FEW, 16)
    }

    /// All runs.
    pub(super) fn large(newest_first: &[Run]) -> Self {
        Self::new(newest_first, ALL.max(newest_first.len()), 64)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    fn new(runs: &[Run], places: usize, height: u32) -> Self {
        let longest = runs.iter().map(|run| run.wall_ms).max().unwrap_or(0).max(1);
        #[expect(clippy::cast_precision_loss, reason = "few places")]
        let place = 100.0 / places as f64;
        let empty = places - runs.len();
        let bar = |(index, run): (usize, &Run)| {
            let scaled = run.wall_ms * u64::from(height - 3) / longest;
            let high = 3 + u32::try_from(scaled).unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "few places")]
            let x = place * (empty + index) as f64;
            Bar {
                x: format!("{x:.2}%"),
                width: format!("{:.2}%", place * 0.8),
                y: height - high,
                height: high,
                state: run.state,
                title: format!("{}, {}", state_word(run.state), duration(run.wall_ms)),
            }
        };
        let went_wrong = runs
            .iter()
            .filter(|run| !matches!(run.state, State::Succeeded | State::Cancelled))
            .count();
        let words = match (runs.len(), went_wrong) {
            (0, _) => "No run yet".to_owned(),
            (all, 0) => format!("Last runs: {all}, none failed"),
            (all, failed) => format!("Last runs: {all}, of which {failed} failed"),
        };
        Self { height, words, bars: runs.iter().rev().enumerate().map(bar).collect() }
    }
}

/// A share, in percent: all only if it is all.
pub(super) fn percent(share: f64) -> String {
    if share >= 1.0 {
        "100 %".to_owned()
    } else {
        format!("{:.1} %", (share * 1000.0).floor() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples;

    #[test]
    fn bars_stand_at_the_right_and_reach_from_few_to_all() {
        let run = |wall_ms, state| Run {
            execution: samples::execution_id(),
            slot: samples::now(),
            state,
            wall_ms,
        };
        let strip = Strip::small(&[run(10, State::Failed), run(1000, State::Succeeded)]);
        assert_eq!(strip.words, "Last runs: 2, of which 1 failed");
        let heights: Vec<_> = strip.bars.iter().map(|bar| (bar.y, bar.height)).collect();
        assert_eq!(heights, [(0, 16), (13, 3)]);
        assert_eq!(strip.bars[1].x, "92.86%");
        assert_eq!(Strip::large(&[]).words, "No run yet");
        assert_eq!((percent(1.0), percent(0.9999)), ("100 %".into(), "99.9 %".into()));
    }
}
