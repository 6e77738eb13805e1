//! Triggers and rules in forms: what was typed as what it means, and back.

use automa_core::job::{
    Job, Misfire, NewJob, Overlap, Rules, Trigger,
    trigger::{Blackout, find_zone},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::blackouts;
use crate::pages::{
    form::{Field, Kind, Problems, Typed},
    limits,
};

/// The fields of a form that say when a job runs.
#[derive(Debug)]
pub(super) struct WhenFields {
    pub(super) kind: Field,
    pub(super) pattern: Field,
    pub(super) zone: Field,
    pub(super) every: Field,
    pub(super) start: Field,
    pub(super) at: Field,
    pub(super) signed: bool,
    pub(super) misfire: Field,
    pub(super) within: Field,
    pub(super) most: Field,
    pub(super) overlap: Field,
    pub(super) jitter: Field,
    pub(super) not_before: Field,
    pub(super) not_after: Field,
    pub(super) blackouts: Field,
}

fn choices(all: &[(&str, &str)]) -> Kind {
    Kind::Choice(all.iter().map(|(name, title)| ((*name).into(), (*title).into())).collect())
}

impl WhenFields {
    pub(super) fn new(typed: &Typed, all: &mut Problems) -> Self {
        // What is wrong with a trigger as a whole is said where its kind is chosen.
        let kind = choices(&[
            ("cron", "Cron"),
            ("interval", "Every"),
            ("once", "Once"),
            ("webhook", "Webhook"),
        ]);
        let moment = |id: &'static str, label: &'static str| {
            Field::new(id, label, Kind::Line("datetime-local")).attributes("step=\"1\"")
        };
        if let Some(wrong) = all.take_below("rules.blackouts") {
            all.add("rules.blackouts", &wrong);
        }
        let blackouts = Field::new("rules.blackouts", "Never during", Kind::Text(3))
            .side("one a line")
            .placeholder(
                "sat,sun 22:00 to 06:00\n12-24 to 01-01\n2026-12-30 08:00 to 2026-12-31 18:00",
            )
            .hint("Days of the week, days of each year, or once; by the clock of the time zone.")
            .attributes("class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\"");
        let typing =
            "class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\" autocomplete=\"off\"";
        let zone = "list=\"zones\" data-zone spellcheck=\"false\" autocapitalize=\"none\" autocomplete=\"off\"";
        Self {
            kind: Field::new("trigger", "It runs", kind).filled(typed, all),
            pattern: Field::line("trigger.pattern", "Cron pattern")
                .placeholder("0 3 * * *")
                .hint("Minute, hour, day, month, day of the week; a second may come first. Also @daily, L, W and #.")
                .attributes(typing)
                .filled(typed, all),
            zone: Field::line("trigger.zone", "Time zone")
                .placeholder("UTC")
                .hint("Times on this form are by its clock. Type a city to find it.")
                .attributes(zone)
                .filled(typed, all),
            every: Field::line("trigger.every_ms", "Every")
                .placeholder("15m")
                .hint("As 90s, 15m, 6h or 1d.")
                .filled(typed, all),
            start: moment("trigger.start_at", "Beginning").side("now, if empty").filled(typed, all),
            at: moment("trigger.at", "Once, at").filled(typed, all),
            signed: typed.has("signed"),
            misfire: Field::new(
                "misfire",
                "Runs that were missed while the server was off",
                choices(&[("skip", "Skip"), ("run_once", "Run once"), ("catch_up", "Catch up")]),
            )
            .hint("Once: the newest of them, as soon as it is back. Catch up: each of them, oldest first.")
            .filled(typed, all),
            within: Field::line("misfire.within_ms", "Catch up what is no older than")
                .placeholder("1d")
                .filled(typed, all),
            most: Field::line("misfire.most", "At most so many")
                .placeholder("100")
                .attributes("inputmode=\"numeric\"")
                .filled(typed, all),
            overlap: Field::new(
                "overlap",
                "When the last run is not over yet",
                choices(&[
                    ("skip", "Skip"),
                    ("queue", "Queue"),
                    ("parallel", "Parallel"),
                    ("replace", "Replace"),
                ]),
            )
            .hint("Skip notes it as skipped. Queue waits for the end. Replace cancels the last one.")
            .filled(typed, all),
            jitter: Field::line("rules.jitter_ms", "Put off by up to")
                .side("optional")
                .placeholder("0s")
                .hint("By chance, so that jobs of one time do not start all at once.")
                .filled(typed, all),
            not_before: moment("rules.not_before", "Not before").side("optional").filled(typed, all),
            not_after: moment("rules.not_after", "Not after").side("optional").filled(typed, all),
            blackouts: blackouts.filled(typed, all),
        }
    }

    /// Whether one of the rules holds anything, so that they should be seen.
    pub(super) fn has_rules(&self) -> bool {
        [&self.jitter, &self.not_before, &self.not_after, &self.blackouts]
            .iter()
            .any(|field| field.is_filled() || field.has_error())
    }
}

/// What a form says of when a job runs, as parts of it; what cannot be read is a problem of its field.
pub(super) fn read(new: NewJob, typed: &Typed, now: Timestamp, problems: &mut Problems) -> NewJob {
    let (trigger, rules) = trigger(typed, now, problems);
    let misfire = match typed.get("misfire") {
        "skip" => Misfire::Skip,
        "catch_up" => Misfire::CatchUp {
            within_ms: limits::field(typed, problems, "misfire.within_ms", limits::time)
                .unwrap_or(24 * 60 * 60 * 1000),
            most: limits::field(typed, problems, "misfire.most", |text| {
                text.parse().map_err(|_| format!("`{text}` is not a whole number"))
            })
            .unwrap_or(100),
        },
        _ => Misfire::RunOnce,
    };
    let overlap = typed.get("overlap").parse().unwrap_or(Overlap::Skip);
    let signed = typed.has("signed") && trigger == Trigger::Webhook;
    NewJob { trigger, rules, misfire, overlap, signed, ..new }
}

/// The trigger and the rules of a form.
pub(super) fn trigger(typed: &Typed, now: Timestamp, problems: &mut Problems) -> (Trigger, Rules) {
    let zone = match typed.line("trigger.zone") {
        "" => "UTC".to_owned(),
        zone => zone.to_owned(),
    };
    let found = find_zone(&zone).unwrap_or(TimeZone::UTC);
    let mut moment = |field: &'static str| match local(typed.line(field), &found) {
        Ok(at) => at,
        Err(reason) => {
            problems.add(field, &reason);
            None
        }
    };
    let (start, at) = (moment("trigger.start_at"), moment("trigger.at"));
    let (not_before, not_after) = (moment("rules.not_before"), moment("rules.not_after"));
    let trigger = match typed.get("trigger") {
        "interval" => {
            let every = limits::field(typed, problems, "trigger.every_ms", limits::time);
            if every.is_none() {
                problems.add("trigger.every_ms", &"must be said, as 15m");
            }
            Trigger::Interval { every_ms: every.unwrap_or(1000), start_at: start.unwrap_or(now) }
        }
        "once" => {
            if at.is_none() {
                problems.add("trigger.at", &"must be said");
            }
            Trigger::Once { at: at.unwrap_or(now) }
        }
        "webhook" => Trigger::Webhook,
        _ => {
            Trigger::Cron { pattern: typed.line("trigger.pattern").to_owned(), zone: zone.clone() }
        }
    };
    let blackouts = match blackouts::read(typed.get("rules.blackouts"), &zone) {
        Ok(blackouts) => blackouts,
        Err(wrong) => {
            problems.add("rules.blackouts", &wrong);
            Vec::new()
        }
    };
    let jitter_ms = limits::field(typed, problems, "rules.jitter_ms", limits::time).unwrap_or(0);
    (trigger, Rules { jitter_ms, not_before, not_after, blackouts })
}

/// A time as a browser sends it, by the clock of a zone.
pub(super) fn local(text: &str, zone: &TimeZone) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| format!("`{text}` is not a date and time: one looks like 2026-12-24T18:00");
    let local: DateTime = text.parse().map_err(wrong)?;
    zone.to_timestamp(local).map(Some).map_err(wrong)
}

/// What a browser shows of a time, by the clock of a zone.
pub(super) fn written(at: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The zone in which a job's times are told.
pub(super) fn zone(trigger: &Trigger) -> &str {
    match trigger {
        Trigger::Cron { zone, .. } => zone,
        _ => "UTC",
    }
}

/// What would have to be typed for the same.
pub(super) fn typed(typed: Typed, job: &Job) -> Typed {
    let name = zone(&job.trigger);
    let zone = find_zone(name).unwrap_or(TimeZone::UTC);
    let typed = typed.with("trigger.zone", name);
    let mut typed = match &job.trigger {
        Trigger::Cron { pattern, .. } => {
            typed.with("trigger", "cron").with("trigger.pattern", pattern.clone())
        }
        Trigger::Interval { every_ms, start_at } => typed
            .with("trigger", "interval")
            .with("trigger.every_ms", limits::written_time(*every_ms))
            .with("trigger.start_at", written(*start_at, &zone)),
        Trigger::Once { at } => {
            typed.with("trigger", "once").with("trigger.at", written(*at, &zone))
        }
        Trigger::Webhook => typed.with("trigger", "webhook"),
    };
    if job.hook.is_some_and(|hook| hook.is_signed()) {
        typed = typed.with("signed", "yes");
    }
    typed = match job.misfire {
        Misfire::Skip => typed.with("misfire", "skip"),
        Misfire::RunOnce => typed.with("misfire", "run_once"),
        Misfire::CatchUp { within_ms, most } => typed
            .with("misfire", "catch_up")
            .with("misfire.within_ms", limits::written_time(within_ms))
            .with("misfire.most", most.to_string()),
    };
    typed = typed.with("overlap", job.overlap.name());
    let rules = &job.rules;
    if rules.jitter_ms > 0 {
        typed = typed.with("rules.jitter_ms", limits::written_time(rules.jitter_ms));
    }
    for (field, at) in
        [("rules.not_before", rules.not_before), ("rules.not_after", rules.not_after)]
    {
        if let Some(at) = at {
            typed = typed.with(field, written(at, &zone));
        }
    }
    typed.with("rules.blackouts", blackouts::written(&rules.blackouts, name))
}

/// What is told of a rule, beside its name.
pub(super) fn facts(job: &Job) -> Vec<(&'static str, String)> {
    let missed = match job.misfire {
        Misfire::Skip => "skipped".to_owned(),
        Misfire::RunOnce => "the newest runs once".to_owned(),
        Misfire::CatchUp { within_ms, most } => {
            format!("made up for, up to {most} within {}", limits::written_time(within_ms))
        }
    };
    let overlap = match job.overlap {
        Overlap::Skip => "it is skipped",
        Overlap::Queue => "it waits",
        Overlap::Parallel => "both run",
        Overlap::Replace => "the last one is cancelled",
    };
    let mut facts = vec![("Missed", missed), ("Last one not over", overlap.to_owned())];
    let rules = &job.rules;
    if rules.jitter_ms > 0 {
        facts.push(("Put off", format!("by up to {}", limits::written_time(rules.jitter_ms))));
    }
    let told = |at: Timestamp| super::moment::Moment::new(at, zone(&job.trigger), at).exact();
    facts.extend(rules.not_before.map(|at| ("Not before", told(at))));
    facts.extend(rules.not_after.map(|at| ("Not after", told(at))));
    facts.extend(rules.blackouts.iter().map(|it: &Blackout| ("Never", it.to_string())));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_says_would_be_typed_so() {
        let job = super::super::tests::job(Trigger::Cron {
            pattern: "30 2 * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
        });
        let typed = typed(Typed::default(), &job);
        let mut problems = Problems::default();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let new = read(NewJob::new("x", job.script, Trigger::Webhook), &typed, now, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((new.trigger, new.rules), (job.trigger, job.rules));
        assert_eq!((new.misfire, new.overlap), (job.misfire, job.overlap));
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_of_its_field() {
        let typed = Typed::default()
            .with("trigger", "interval")
            .with("trigger.every_ms", "often")
            .with("trigger.start_at", "tomorrow")
            .with("rules.blackouts", "never");
        let mut problems = Problems::default();
        trigger(&typed, Timestamp::UNIX_EPOCH, &mut problems);
        for field in ["trigger.every_ms", "trigger.start_at", "rules.blackouts"] {
            assert!(problems.take(field).is_some(), "{field}");
        }
    }
}
