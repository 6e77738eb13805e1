use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, TestClock};

fn clock() -> TestClock {
    TestClock::new("2026-01-01T00:00:00Z".parse().unwrap())
}

/// An agent with its rules and its world.
struct Agent {
    it: Supervision,
    rules: Restart,
    clock: TestClock,
}

impl Agent {
    fn new(rules: Restart) -> Self {
        let clock = clock();
        Self { it: Supervision::new("It is new", clock.now()), rules, clock }
    }

    fn started(rules: Restart) -> Self {
        let mut agent = Self::new(rules);
        agent.apply(Input::Start("Eve has started it"));
        agent
    }

    fn apply(&mut self, input: Input<'_>) -> bool {
        let mut bytes = [0; 8];
        self.clock.fill(&mut bytes);
        let at = Moment { now: self.clock.now(), random: u64::from_le_bytes(bytes) };
        self.it.apply(input, &self.rules, at)
    }

    fn launch(&mut self) -> ExecutionId {
        assert!(self.it.is_due());
        let id = ExecutionId::generate(&self.clock);
        assert!(self.apply(Input::Launched(id, None)));
        id
    }

    /// Runs for some seconds, and fails.
    fn fail_after(&mut self, seconds: i64) {
        let id = self.launch();
        self.clock.advance(SignedDuration::from_secs(seconds));
        assert!(self.apply(Input::Ended(id, End::Failed("It broke"))));
    }

    /// Lets the pause pass; how long it was, in milliseconds.
    fn pause(&mut self) -> i128 {
        let Phase::BackingOff { until } = self.it.phase else { panic!("{:?}", self.it) };
        let pause = until.duration_since(self.clock.now()).as_millis();
        assert!(!self.apply(Input::Tick));
        self.clock.set(until);
        assert!(self.apply(Input::Tick));
        pause
    }
}

fn calm() -> Restart {
    Restart { jitter: false, crash_after: 4, cool_down_ms: Some(3_600_000), ..Restart::default() }
}

#[test]
fn one_that_fails_is_started_again_after_pauses_that_grow() {
    let mut agent = Agent::started(Restart { crash_after: 100, ..calm() });
    let mut pauses = Vec::new();
    for seconds in [0, 1, 59, 60, 0] {
        agent.fail_after(seconds);
        pauses.push(agent.pause());
    }
    assert_eq!(pauses, [1000, 2000, 4000, 1000, 2000], "after a stable time from the beginning");
    assert_eq!(agent.it.restarts, 5);
}

#[test]
fn one_that_ends_too_often_is_left_alone_until_somebody_starts_it_or_for_long() {
    for by_hand in [true, false] {
        let mut agent = Agent::started(calm());
        for _ in 0..3 {
            agent.fail_after(1);
            agent.pause();
        }
        agent.fail_after(1);
        assert_eq!(agent.it.state(), State::CrashLoop);
        assert_eq!(agent.it.why, "It broke");
        if by_hand {
            assert!(agent.apply(Input::Start("Eve has started it")));
            assert_eq!(agent.it.restarts, 0);
        } else {
            agent.clock.advance(SignedDuration::from_secs(3599));
            assert!(!agent.apply(Input::Tick));
            agent.clock.advance(SignedDuration::from_secs(1));
            assert!(agent.apply(Input::Tick));
        }
        agent.fail_after(1);
        assert_eq!(agent.pause(), 1000, "nothing is held against it");
    }
}

#[test]
fn ends_that_are_far_apart_are_no_crash_loop() {
    let mut agent = Agent::started(calm());
    for _ in 0..20 {
        agent.fail_after(100);
        agent.pause();
    }
}

#[test]
fn the_rules_say_which_ends_are_followed_by_a_start() {
    for (when, well, badly) in [
        (When::Always, State::BackingOff, State::BackingOff),
        (When::OnFailure, State::Stopped, State::BackingOff),
        (When::Never, State::Stopped, State::Stopped),
    ] {
        for (end, state) in [(End::Succeeded("It is done"), well), (End::Failed("It broke"), badly)]
        {
            let mut agent = Agent::started(Restart { when, ..calm() });
            let id = agent.launch();
            assert!(agent.apply(Input::Ended(id, end)));
            assert_eq!(agent.it.state(), state, "{when:?} {end:?}");
        }
        // The script has not ended by itself.
        let mut agent = Agent::started(Restart { when, ..calm() });
        let id = agent.launch();
        assert!(agent.apply(Input::Ended(id, End::Interrupted("Automa ended"))));
        assert!(agent.it.is_due() && agent.it.ended_at.is_empty(), "{when:?}");
    }
}

#[test]
fn a_restart_waits_for_the_end_of_what_runs_and_is_no_failure() {
    let mut agent = Agent::started(calm());
    let id = agent.launch();
    assert!(agent.apply(Input::Restart("Eve has restarted it")));
    assert_eq!(agent.it.state(), State::Stopping);
    assert!(agent.apply(Input::Ended(id, End::Failed("It was killed"))));
    assert!(agent.it.is_due() && agent.it.ended_at.is_empty());
    // A stop meanwhile counts, and a start after that, too.
    let id = agent.launch();
    agent.apply(Input::Restart("Eve has restarted it"));
    agent.apply(Input::Stop("Eve has stopped it"));
    agent.apply(Input::Start("Eve has started it"));
    agent.apply(Input::Stop("Eve has stopped it"));
    assert!(agent.apply(Input::Ended(id, End::Failed("It was killed"))));
    assert_eq!(agent.it.phase, Phase::Stopped);
}

#[test]
fn one_that_does_not_get_ready_or_falls_ill_is_ended_and_has_failed() {
    let mut agent = Agent::started(calm());
    let id = ExecutionId::generate(&agent.clock);
    let until = agent.clock.now() + SignedDuration::from_secs(30);
    assert!(agent.apply(Input::Launched(id, Some(until))));
    assert_eq!(agent.it.state(), State::Starting);
    assert!(!agent.apply(Input::Tick));
    agent.clock.set(until);
    assert!(agent.apply(Input::Tick));
    assert_eq!(agent.it.state(), State::Stopping);
    assert!(!agent.apply(Input::Ready(id)), "too late");
    assert!(agent.apply(Input::Ended(id, End::Succeeded("It ended"))));
    assert_eq!(agent.it.why, "It did not say in time that it was ready");
    agent.pause();
    let id = ExecutionId::generate(&agent.clock);
    let until = agent.clock.now() + SignedDuration::from_secs(30);
    assert!(agent.apply(Input::Launched(id, Some(until))));
    assert!(agent.apply(Input::Ready(id)));
    assert_eq!(agent.it.state(), State::Running);
    assert!(agent.apply(Input::Unhealthy(id, "It is silent")));
    assert!(!agent.apply(Input::Unhealthy(id, "It is silent")));
    assert!(agent.apply(Input::Ended(id, End::Failed("It was killed"))));
    assert_eq!((agent.it.state(), &*agent.it.why), (State::BackingOff, "It is silent"));
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut agent = Agent::started(calm());
    agent.fail_after(1);
    agent.clock.advance(SignedDuration::from_hours(-1000));
    assert!(agent.apply(Input::Tick));
    assert!(agent.it.is_due());
}

#[derive(Debug, Clone)]
enum Step {
    Start,
    Stop,
    Restart,
    Launch { needs_ready: bool },
    NotLaunched,
    Ready,
    Unhealthy,
    Ended(u8),
    StaleEnd,
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Start),
        Just(Step::Stop),
        Just(Step::Restart),
        any::<bool>().prop_map(|needs_ready| Step::Launch { needs_ready }),
        Just(Step::NotLaunched),
        Just(Step::Ready),
        Just(Step::Unhealthy),
        (0u8..3).prop_map(Step::Ended),
        Just(Step::StaleEnd),
        (-5_000i64..100_000).prop_map(Step::Pass),
    ]
}

fn rules() -> impl Strategy<Value = Restart> {
    let when = prop::sample::select(&When::ALL[..]);
    let cool_down = prop::option::of(1000u64..10_000_000);
    (when, 100u64..5000, 1.0..10.0, any::<bool>(), 2u32..6, cool_down).prop_map(
        |(when, backoff_ms, factor, jitter, crash_after, cool_down_ms)| Restart {
            when,
            backoff_ms,
            max_backoff_ms: backoff_ms * 20,
            factor,
            jitter,
            crash_after,
            cool_down_ms,
            ..Restart::default()
        },
    )
}

/// What is true of an agent at all times, with the execution that lives in the world.
fn check(agent: &Agent, live: Option<ExecutionId>) -> Result<(), TestCaseError> {
    let it = &agent.it;
    prop_assert_eq!(it.execution(), live, "it knows what lives");
    let wants = it.desired == Desired::Running;
    match it.phase {
        Phase::Stopped => prop_assert!(!wants),
        Phase::Stopping { .. } => {}
        _ => prop_assert!(wants, "{:?}", it),
    }
    if wants && live.is_none() && !it.is_due() {
        let forever = it.phase == Phase::CrashLoop { until: None };
        prop_assert!(it.wake().is_some() || forever, "a wake-up was lost: {:?}", it);
    }
    if let Phase::BackingOff { until } = it.phase {
        let pause = until.duration_since(it.since);
        let (least, most) = (agent.rules.backoff_ms / 2, agent.rules.max_backoff_ms);
        prop_assert!(pause >= millis(least) && pause <= millis(most), "{pause:?}");
    }
    if let Phase::CrashLoop { .. } = it.phase {
        prop_assert!(it.ended_at.len() >= 2);
    }
    prop_assert!(it.ended_at.len() <= 100);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_there_is_one_at_most_and_what_is_meant_comes_about(
        rules in rules(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut agent = Agent::new(rules);
        let mut live: Option<ExecutionId> = None;
        for step in steps {
            let stale = ExecutionId::generate(&agent.clock);
            let id = live.unwrap_or(stale);
            match step {
                Step::Start => drop(agent.apply(Input::Start("s"))),
                Step::Stop => drop(agent.apply(Input::Stop("s"))),
                Step::Restart => drop(agent.apply(Input::Restart("s"))),
                Step::Launch { needs_ready } => {
                    let until = later(agent.clock.now(), millis(30_000));
                    let was_due = agent.it.is_due();
                    if agent.apply(Input::Launched(stale, needs_ready.then_some(until))) {
                        prop_assert!(was_due && live.is_none(), "two at once");
                        live = Some(stale);
                    }
                }
                Step::NotLaunched => drop(agent.apply(Input::NotLaunched("n"))),
                Step::Ready => drop(agent.apply(Input::Ready(id))),
                Step::Unhealthy => drop(agent.apply(Input::Unhealthy(id, "u"))),
                Step::Ended(how) => {
                    let end = match how {
                        0 => End::Succeeded("e"),
                        1 => End::Failed("e"),
                        _ => End::Interrupted("e"),
                    };
                    agent.apply(Input::Ended(id, end));
                    live = None;
                }
                Step::StaleEnd => {
                    prop_assert!(!agent.apply(Input::Ended(stale, End::Failed("e"))));
                }
                Step::Pass(millis) => {
                    agent.clock.advance(SignedDuration::from_millis(millis));
                    agent.apply(Input::Tick);
                }
            }
            check(&agent, live)?;
        }
        // Stopped, it comes to rest, once what lives has ended.
        agent.apply(Input::Stop("s"));
        if let Some(id) = live {
            prop_assert_eq!(agent.it.state(), State::Stopping);
            agent.apply(Input::Ended(id, End::Failed("e")));
        }
        prop_assert_eq!(agent.it.phase, Phase::Stopped);
        prop_assert!(!agent.apply(Input::Tick));
        // Started, it is due at once, however often it has failed.
        agent.apply(Input::Start("s"));
        prop_assert!(agent.it.is_due());
    }
}
