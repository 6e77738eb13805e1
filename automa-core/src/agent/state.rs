//! Where an agent is, and what follows from what happens to it: pure, without store, clock or
//! sandbox.
//!
//! The [`Supervision`] of an agent is stored, and each [`Input`] is applied to it in the change that
//! records what happened. So it is always known what is to be done next, whoever has to do it:
//!
//! - [`Phase::Starting`] without an execution: one is to be made and started;
//! - [`Phase::Stopping`]: its execution is to be ended;
//! - everything else waits for an end, for a moment ([`Supervision::wake`]) or for somebody.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::restart::{Restart, When};
use crate::id::ExecutionId;

/// The state of an agent, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does not run, and is not meant to.
    Stopped,
    /// It is being started, or has not said yet that it is ready.
    Starting,
    /// It runs.
    Running,
    /// It has ended, and is started again after a pause.
    BackingOff,
    /// It has ended too often, and is left alone for long.
    CrashLoop,
    /// It runs, and was asked to end.
    Stopping,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::BackingOff,
        Self::CrashLoop,
        Self::Stopping,
    ];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing_off",
            Self::CrashLoop => "crash_loop",
            Self::Stopping => "stopping",
        }
    }
}

/// Whether an agent is meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It is.
    Running,
    /// It is not.
    Stopped,
}

/// Where an agent is, with what belongs to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Stopped,
    Starting {
        /// `None` as long as there is none.
        execution: Option<ExecutionId>,
        /// Until when it has to be ready.
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
        until: Option<Timestamp>,
    },
    Running {
        execution: ExecutionId,
    },
    BackingOff {
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        until: Timestamp,
    },
    CrashLoop {
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
        until: Option<Timestamp>,
    },
    Stopping {
        execution: ExecutionId,
        /// Whether that is because something was wrong with it.
        failing: bool,
    },
}

/// What supervision knows of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Supervision {
    pub(crate) desired: Desired,
    pub(crate) phase: Phase,
    /// Why it is there, as a sentence without its full stop.
    pub(crate) why: String,
    /// Since when.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub(crate) since: Timestamp,
    /// When its execution was started, while there is one.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub(crate) up_since: Option<Timestamp>,
    /// How often in a row it has ended before it was stable.
    pub(crate) ends: u32,
    /// When it has ended, within the window for crash loops; microseconds since 1970.
    pub(crate) ended_at: Vec<i64>,
    /// How often it was started again by itself since somebody started it.
    pub(crate) restarts: u64,
}

/// What happens to an agent. Who and why are sentences without full stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// It is meant to run.
    Start(&'a str),
    /// It is not meant to run.
    Stop(&'a str),
    /// It is meant to run, anew.
    Restart(&'a str),
    /// An execution was made for it, and is started; it has to say until a moment that it is ready.
    Launched(ExecutionId, Option<Timestamp>),
    /// No execution could be made for it.
    NotLaunched(&'a str),
    /// Its execution says that it is ready.
    Ready(ExecutionId),
    /// Its execution does not work as it should.
    Unhealthy(ExecutionId, &'a str),
    /// Its execution has ended.
    Ended(ExecutionId, End<'a>),
    /// Time has passed.
    Tick,
}

/// How an agent's execution ended, and the cause.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// With exit code 0.
    Succeeded(&'a str),
    /// Otherwise.
    Failed(&'a str),
    /// Automa itself ended; the script is not to blame.
    Interrupted(&'a str),
}

/// A moment, and a number that nobody can guess.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) random: u64,
}

impl Supervision {
    /// Of an agent that nobody has started yet.
    pub(crate) fn new(why: &str, now: Timestamp) -> Self {
        Self {
            desired: Desired::Stopped,
            phase: Phase::Stopped,
            why: why.to_owned(),
            since: now,
            up_since: None,
            ends: 0,
            ended_at: Vec::new(),
            restarts: 0,
        }
    }

    /// How others see it.
    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Starting { .. } => State::Starting,
            Phase::Running { .. } => State::Running,
            Phase::BackingOff { .. } => State::BackingOff,
            Phase::CrashLoop { .. } => State::CrashLoop,
            Phase::Stopping { .. } => State::Stopping,
        }
    }

    /// The execution that is its current one, from when it was made until its end is recorded.
    pub(crate) fn execution(&self) -> Option<ExecutionId> {
        match self.phase {
            Phase::Starting { execution, .. } => execution,
            Phase::Running { execution } | Phase::Stopping { execution, .. } => Some(execution),
            Phase::Stopped | Phase::BackingOff { .. } | Phase::CrashLoop { .. } => None,
        }
    }

    /// Whether an execution is to be made for it.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.phase, Phase::Starting { execution: None, .. })
    }

    /// When it is to be looked at, if by the clock: then [`Input::Tick`].
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Starting { until, .. } | Phase::CrashLoop { until } => until,
            Phase::BackingOff { until } => Some(until),
            Phase::Stopped | Phase::Running { .. } | Phase::Stopping { .. } => None,
        }
    }

    /// Goes on to what follows; tells whether anything has changed.
    pub(crate) fn apply(&mut self, input: Input<'_>, rules: &Restart, at: Moment) -> bool {
        let before = (self.desired, self.phase);
        match input {
            Input::Start(why) => self.start(why, at.now),
            Input::Stop(why) => self.stop(why, at.now),
            Input::Restart(why) => {
                self.start(why, at.now);
                if let Some(execution) = self.execution() {
                    self.stopping(execution, false, why, at.now);
                }
            }
            Input::Launched(execution, until) if self.is_due() => {
                self.up_since = Some(at.now);
                if until.is_some() {
                    let phase = Phase::Starting { execution: Some(execution), until };
                    self.enter(phase, "It has to say that it is ready", at.now);
                } else {
                    self.enter(Phase::Running { execution }, "It was started", at.now);
                }
            }
            Input::NotLaunched(why) if self.is_due() => self.again(why, rules, at),
            Input::Ready(execution) if self.is_starting(execution) => {
                self.enter(Phase::Running { execution }, "It says that it is ready", at.now);
            }
            Input::Unhealthy(execution, why) if self.is_up(execution) => {
                self.stopping(execution, true, why, at.now);
            }
            Input::Ended(execution, end) if self.execution() == Some(execution) => {
                self.ended(end, rules, at);
            }
            Input::Tick => self.tick(rules, at.now),
            // Of what is not so any more.
            Input::Launched(..)
            | Input::NotLaunched(_)
            | Input::Ready(_)
            | Input::Unhealthy(..)
            | Input::Ended(..) => {}
        }
        (self.desired, self.phase) != before
    }

    fn start(&mut self, why: &str, now: Timestamp) {
        self.desired = Desired::Running;
        if matches!(self.phase, Phase::Stopped | Phase::BackingOff { .. } | Phase::CrashLoop { .. })
        {
            self.forget();
            self.restarts = 0;
            self.due(why, now);
        }
    }

    fn stop(&mut self, why: &str, now: Timestamp) {
        self.desired = Desired::Stopped;
        match self.execution() {
            Some(execution) => self.stopping(execution, false, why, now),
            None if self.phase == Phase::Stopped => {}
            None => self.enter(Phase::Stopped, why, now),
        }
    }

    /// Asks its execution to end, unless that was done.
    fn stopping(&mut self, execution: ExecutionId, failing: bool, why: &str, now: Timestamp) {
        if !matches!(self.phase, Phase::Stopping { .. }) {
            self.enter(Phase::Stopping { execution, failing }, why, now);
        }
    }

    fn ended(&mut self, end: End<'_>, rules: &Restart, at: Moment) {
        let ran = self.up_since.map_or(SignedDuration::ZERO, |up| at.now.duration_since(up));
        let (End::Succeeded(cause) | End::Failed(cause) | End::Interrupted(cause)) = end;
        // What was wrong with it tells more than that it was stopped for it.
        let why = match self.phase {
            Phase::Stopping { failing: true, .. } => self.why.clone(),
            _ => cause.to_owned(),
        };
        let stopping = matches!(self.phase, Phase::Stopping { failing: false, .. });
        let ended_well = matches!(end, End::Succeeded(_))
            && !matches!(self.phase, Phase::Stopping { failing: true, .. });
        self.up_since = None;
        if self.desired == Desired::Stopped {
            return self.enter(Phase::Stopped, &why, at.now);
        }
        if stopping || matches!(end, End::Interrupted(_)) {
            // Not by itself.
            self.restarts += u64::from(!stopping);
            return self.due(&why, at.now);
        }
        if rules.when == When::Never || rules.when == When::OnFailure && ended_well {
            self.desired = Desired::Stopped;
            return self.enter(Phase::Stopped, &why, at.now);
        }
        if ran >= millis(rules.stable_ms) {
            self.ends = 0;
        }
        self.again(&why, rules, at);
    }

    /// After one more end by itself: a pause, or a long one.
    fn again(&mut self, why: &str, rules: &Restart, at: Moment) {
        self.ends = self.ends.saturating_add(1);
        let first = later(at.now, -millis(rules.crash_window_ms)).as_microsecond();
        let now = at.now.as_microsecond();
        // A clock that was set back does not make what is to come count.
        self.ended_at.retain(|ended| (first..=now).contains(ended));
        self.ended_at.push(now);
        let crash_after = usize::try_from(rules.crash_after).unwrap_or(usize::MAX);
        if self.ended_at.len() >= crash_after {
            let until = rules.cool_down_ms.map(|it| later(at.now, millis(it)));
            self.enter(Phase::CrashLoop { until }, why, at.now);
        } else {
            let pause = rules.pause_ms(self.ends, at.random);
            let until = later(at.now, millis(pause));
            self.enter(Phase::BackingOff { until }, why, at.now);
        }
    }

    fn tick(&mut self, rules: &Restart, now: Timestamp) {
        // Nobody waits longer than the rules say because a clock was set back.
        let over = |until: Timestamp, longest: u64| {
            until <= now || until.duration_since(now) > millis(longest)
        };
        match self.phase {
            Phase::BackingOff { until } if over(until, rules.max_backoff_ms) => {
                self.restarts += 1;
                self.due("The pause is over", now);
            }
            Phase::CrashLoop { until: Some(until) }
                if over(until, rules.cool_down_ms.unwrap_or(0)) =>
            {
                self.forget();
                self.restarts += 1;
                self.due("It is tried again after the crash loop", now);
            }
            Phase::Starting { execution: Some(execution), until: Some(until) } if until <= now => {
                self.stopping(execution, true, "It did not say in time that it was ready", now);
            }
            _ => {}
        }
    }

    fn due(&mut self, why: &str, now: Timestamp) {
        self.enter(Phase::Starting { execution: None, until: None }, why, now);
    }

    fn forget(&mut self) {
        self.ends = 0;
        self.ended_at.clear();
    }

    fn enter(&mut self, phase: Phase, why: &str, now: Timestamp) {
        (self.phase, self.since) = (phase, now);
        why.clone_into(&mut self.why);
    }

    fn is_starting(&self, id: ExecutionId) -> bool {
        matches!(self.phase, Phase::Starting { execution: Some(execution), .. } if execution == id)
    }

    fn is_up(&self, id: ExecutionId) -> bool {
        self.is_starting(id) || self.phase == Phase::Running { execution: id }
    }
}

fn millis(millis: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A moment so much later, at most the end of time.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    at.checked_add(by).unwrap_or(end)
}

#[cfg(test)]
mod tests;
