//! A long time of many jobs, with restarts at any instant, absences, and a clock that is set both ways,
//! against a simple model: the list of each job's slots, gone through once.
//!
//! `AUTOMA_SIMULATION=1000x365` simulates so many jobs for so many days, and prints the figures.

use std::collections::{BTreeMap, HashSet};

use jiff::SignedDuration;
use tokio::runtime::Runtime;

use super::{super::plan::LATE_AFTER, World, *};
use crate::clock::SystemClock;

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

/// Numbers that look random, the same in each run.
struct Dice(TestClock);

impl Dice {
    fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    fn of<T: Copy>(&self, all: &[T]) -> T {
        let end = u64::try_from(all.len()).unwrap();
        all[usize::try_from(self.below(end)).unwrap()]
    }

    fn seconds(&self, end: u64) -> SignedDuration {
        SignedDuration::from_secs(self.below(end).cast_signed())
    }
}

/// What a job has to do.
struct Model {
    job: Job,
    /// All its slots, with when they are due.
    slots: Vec<(Timestamp, Timestamp)>,
    /// How many of them are decided.
    decided: usize,
    /// How many were run.
    run: u64,
}

/// What is to become of slots at one look.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    run: Vec<Timestamp>,
    missed: u64,
}

impl Model {
    fn new(job: Job, begin: Timestamp, end: Timestamp) -> Self {
        let times = job.trigger.compile().unwrap();
        let mut slots = Vec::new();
        let mut at = begin;
        while let Some(slot) = times.next(at).filter(|slot| *slot < end) {
            at = slot;
            if job.rules.allows(slot).is_ok() {
                slots.push((slot, job.rules.delayed(job.id, slot)));
            }
        }
        Self { job, slots, decided: 0, run: 0 }
    }

    fn look(&mut self, now: Timestamp) -> Expected {
        let mut expected = Expected::default();
        while let Some(&(slot, due)) = self.slots.get(self.decided).filter(|it| it.1 <= now) {
            if now.duration_since(due) < LATE_AFTER {
                expected.run.push(slot);
                self.decided += 1;
                continue;
            }
            let late = |it: &&(Timestamp, Timestamp)| now.duration_since(it.1) >= LATE_AFTER;
            let missed: Vec<_> =
                self.slots[self.decided..].iter().take_while(late).map(|it| it.0).collect();
            self.decided += missed.len();
            let (most, within) = match self.job.misfire {
                Misfire::Skip => (0, 0),
                Misfire::RunOnce => (1, i64::MAX),
                Misfire::CatchUp { within_ms, most } => (most as usize, within_ms.cast_signed()),
            };
            let within = SignedDuration::from_millis(within);
            let young = missed.iter().rev().take(most);
            let mut runs: Vec<_> =
                young.copied().take_while(|slot| now.duration_since(*slot) <= within).collect();
            runs.reverse();
            expected.missed += (missed.len() - runs.len()) as u64;
            expected.run.extend(runs);
        }
        self.run += expected.run.len() as u64;
        expected
    }
}

/// Something with a name, a time to run and rules, drawn at random.
fn draw(dice: &Dice, script: ScriptId, begin: Timestamp, days: u64) -> NewJob {
    let trigger = match dice.below(20) {
        0 => {
            Trigger::Once { at: begin + dice.seconds(days * 86_400) + SignedDuration::from_secs(1) }
        }
        1 => Trigger::Interval {
            every_ms: 6 * 3_600_000 + dice.below(3_600_000),
            start_at: begin - dice.seconds(86_400),
        },
        2..5 => Trigger::Interval {
            every_ms: 86_400_000 + dice.below(5 * 86_400_000),
            start_at: begin + dice.seconds(86_400),
        },
        kind => {
            let (minute, hour) = (dice.below(4) * 15, dice.below(24));
            let pattern = match kind {
                5..14 => format!("{minute} {hour} * * *"),
                14 => format!("*/30 {hour} * * *"),
                15 => format!("{minute} */12 * * *"),
                16 => format!("{minute} {hour} L * *"),
                _ => format!("{minute} {hour} * * MON-FRI"),
            };
            Trigger::Cron { pattern, zone: dice.of(&ZONES).to_owned() }
        }
    };
    let mut rules = Rules::default();
    if dice.below(4) == 0 {
        rules.jitter_ms = dice.below(600_000);
    }
    if dice.below(8) == 0 {
        let from = begin + dice.seconds(days * 86_400);
        let to = from + SignedDuration::from_hours(100);
        rules.blackouts.push(trigger::Blackout::Once { from, to });
    }
    let misfire = match dice.below(3) {
        0 => Misfire::Skip,
        1 => Misfire::RunOnce,
        _ => Misfire::CatchUp {
            within_ms: 60_000 + dice.below(3 * 86_400_000),
            most: 1 + u32::try_from(dice.below(5)).unwrap(),
        },
    };
    // With others, one that is made up for would be in the way of one that is in time.
    let overlap = match misfire {
        Misfire::Skip => dice.of(&Overlap::ALL),
        _ => dice.of(&[Overlap::Parallel, Overlap::Queue]),
    };
    NewJob { rules, misfire, overlap, ..NewJob::new("simulated", script, trigger) }
}

/// What came of all of it.
#[derive(Debug, Default)]
struct Figures {
    looks: u64,
    crashes: u64,
    absences: u64,
    steps_back: u64,
    steps_forward: u64,
    due: u64,
    run: u64,
    missed: u64,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

struct Simulation {
    runtime: Runtime,
    world: World,
    models: BTreeMap<JobId, Model>,
    figures: Figures,
    dice: Dice,
}

impl Simulation {
    fn new(jobs: u64, days: u64) -> Self {
        let runtime = runtime();
        let world = runtime.block_on(World::new());
        let dice = Dice(TestClock::with_seed(Timestamp::UNIX_EPOCH, 7));
        let begin = world.clock.now();
        // No slot of the last days is still on its way when it ends.
        let end = begin + SignedDuration::from_hours(24 * days.cast_signed());
        let mut models = BTreeMap::new();
        for _ in 0..jobs {
            let new = draw(&dice, world.script, begin, days);
            // What has no time to come, as all of it is left out, is no job.
            if let Ok(saved) = runtime.block_on(world.jobs().create(new)) {
                let job = saved.now.job;
                models.insert(job.id, Model::new(job, begin, end));
            }
        }
        Self { runtime, world, models, figures: Figures::default(), dice }
    }

    /// Ends the server without any task having noticed, and begins anew on what is stored.
    fn crash(&mut self) {
        self.figures.crashes += 1;
        self.runtime = runtime();
        let world = &mut self.world;
        self.runtime.block_on(world.restart());
    }

    /// Decides what is due, as the model does; a crash may come in between.
    fn look(&mut self, crashes: bool) {
        self.figures.looks += 1;
        let now = self.world.clock.now();
        let due = self.world.automa.store.look(|view| store::jobs::due(view, now, usize::MAX));
        let due: HashSet<JobId> = due.unwrap().into_iter().collect();
        if crashes {
            let (automa, polls) = (self.world.automa.clone(), self.dice.below(60));
            self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = tick(&automa) => {}
                    () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
                }
            });
            drop(automa);
            self.crash();
        }
        self.runtime.block_on(self.world.pass(0));
        for (id, model) in &mut self.models {
            let expected = model.look(now);
            let is_idle = expected == Expected::default();
            assert!(due.contains(id) || is_idle, "{:#?} {expected:?}", model.job);
            if is_idle {
                continue;
            }
            let page = PageRequest { cursor: None, limit: Limit::new(50).unwrap() };
            let slots = self.world.automa.store.look(|view| store::jobs::slots(view, *id, &page));
            let mut found = Expected::default();
            for past in slots.unwrap().items.iter().filter(|past| past.decided_at == now) {
                match &past.became {
                    Became::Started(_) => found.run.insert(0, past.at),
                    Became::Missed { count, exact: true, .. } => found.missed += count,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(found, expected, "at {now}: {:#?}", model.job);
            self.figures.run += expected.run.len() as u64;
            self.figures.missed += expected.missed;
        }
        // So that none is open when its job is due again.
        self.runtime.block_on(self.world.end_all(State::Succeeded));
    }

    fn run(&mut self, end: Timestamp) {
        // The model knows nothing from there on.
        let last = end - SignedDuration::from_secs(1);
        loop {
            let next = self.world.automa.store.look(store::jobs::next_due).unwrap();
            let Some(next) = next.filter(|next| *next <= last) else { break };
            let (clock, now) = (Arc::clone(&self.world.clock), self.world.clock.now());
            // It wakes a moment late.
            let wake =
                next.max(now) + SignedDuration::from_millis(self.dice.below(900).cast_signed());
            match self.dice.below(60) {
                0 => {
                    self.figures.absences += 1;
                    let away = self.dice.of(&[120, 7200, 86_400, 5 * 86_400]);
                    clock.set((wake + self.dice.seconds(away)).min(last));
                    self.crash();
                }
                1 => {
                    self.figures.steps_back += 1;
                    clock.set(now - self.dice.seconds(7200));
                }
                2 => {
                    self.figures.steps_forward += 1;
                    clock.set((wake + self.dice.seconds(7200)).min(last));
                }
                _ => clock.set(wake.min(last)),
            }
            let crashes = self.dice.below(20) == 0;
            self.look(crashes);
        }
        self.world.clock.set(last);
        self.look(false);
    }
}

#[test]
fn no_slot_is_lost_or_run_twice_however_often_it_restarts_and_the_clock_is_set() {
    #[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
    let asked = std::env::var("AUTOMA_SIMULATION").unwrap_or_else(|_| "30x20".to_owned());
    let (jobs, days) = asked.split_once('x').unwrap();
    let (jobs, days): (u64, u64) = (jobs.parse().unwrap(), days.parse().unwrap());
    let started = SystemClock::new().now();
    let mut simulation = Simulation::new(jobs, days);
    let begin = simulation.world.clock.now();
    let end = begin + SignedDuration::from_hours(24 * days.cast_signed());
    simulation.run(end);
    let Simulation { runtime, world, models, mut figures, .. } = simulation;
    let (mut lost, mut doubled) = (0, 0);
    for (id, model) in &models {
        figures.due += model.decided as u64;
        // What was put off by its jitter beyond the end is not due yet.
        lost += model.slots[model.decided..]
            .iter()
            .filter(|it| it.1 < end - SignedDuration::from_secs(1))
            .count();
        let filter = Filter { job: Some(*id), ..Filter::default() };
        let executions = world.automa.executions(&world.me);
        let count = runtime.block_on(executions.count(filter)).unwrap().count;
        assert!(count >= model.run.min(10_000), "{count} {:#?}", model.job);
        doubled += count.saturating_sub(model.run);
    }
    println!("{jobs} jobs, {days} days: {figures:?}, lost {lost}, doubled {doubled}");
    println!("in {}", SystemClock::new().now().duration_since(started));
    assert_eq!((lost, doubled), (0, 0));
    assert_eq!(figures.due, figures.run + figures.missed);
    runtime.block_on(world.stop());
}
