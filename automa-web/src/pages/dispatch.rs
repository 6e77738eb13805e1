//! Turns in forms: how many of a script run at a time, what goes first, what is tried again. What is
//! left empty is the default.

use std::time::Duration;

use automa_core::execution::{Concurrency, DispatchRules, OnConflict, Retry, State};

use super::{
    form::{Field, Kind, Problems, Typed},
    limits::time,
};

const PRIORITY: &str = "priority";
const LIMIT: &str = "concurrency.limit";
const KEY: &str = "concurrency.key";
const ON_CONFLICT: &str = "concurrency.on_conflict";
const ATTEMPTS: &str = "retry.attempts";
const BACKOFF: &str = "retry.backoff_ms";
const MAX_BACKOFF: &str = "retry.max_backoff_ms";
const FACTOR: &str = "retry.factor";
const JITTER: &str = "retry.jitter";
const ON: &str = "retry.on";

/// The fields of a script's turns.
#[derive(Debug, Clone)]
pub(crate) struct DispatchFields {
    pub(crate) priority: Field,
    /// How many run at the same time.
    pub(crate) concurrency: Vec<Field>,
    pub(crate) retry: Vec<Field>,
}

impl DispatchFields {
    /// Fields with what was typed.
    pub(crate) fn new(typed: &Typed, problems: &mut Problems) -> Self {
        let usual = Retry::default();
        let words =
            |words: &[&str]| Kind::Select(words.iter().map(|it| (*it).to_owned()).collect());
        let conflicts = words(&["queue", "skip", "replace", "allow"]);
        let mut filled = |field: Field| field.filled(typed, problems);
        Self {
            priority: filled(
                Field::line(PRIORITY, "Priority")
                    .placeholder("0")
                    .hint("-100 to 100. Of what one user has waiting, the highest goes first."),
            ),
            concurrency: vec![
                filled(Field::line(LIMIT, "At the same time").placeholder("any number")),
                filled(
                    Field::line(KEY, "For each value of")
                        .placeholder("all together")
                        .hint("A parameter."),
                ),
                filled(
                    Field::new(ON_CONFLICT, "One more", conflicts)
                        .hint("Waits, is skipped, replaces the oldest, or runs all the same."),
                ),
            ],
            retry: vec![
                filled(Field::line(ATTEMPTS, "Attempts").placeholder("1").hint("1 to 10.")),
                filled(Field::line(BACKOFF, "First pause").placeholder(span(usual.backoff_ms))),
                filled(
                    Field::line(MAX_BACKOFF, "Longest pause")
                        .placeholder(span(usual.max_backoff_ms)),
                ),
                filled(
                    Field::line(FACTOR, "Each pause is longer by")
                        .placeholder(usual.factor.to_string())
                        .hint("A factor of 1 to 10."),
                ),
                filled(Field::new(JITTER, "Pauses differ by chance", words(&["yes", "no"]))),
                filled(
                    Field::line(ON, "After")
                        .placeholder(names(&usual.on))
                        .hint("Some of failed, timed_out, out_of_memory, lost."),
                ),
            ],
        }
    }

    /// Whether a field holds anything that counts, so that it should be seen.
    pub(crate) fn touched(&self) -> bool {
        let lines = [&self.priority, &self.concurrency[0], &self.concurrency[1], &self.retry[0]];
        let all = self.concurrency.iter().chain(&self.retry);
        lines.into_iter().any(Field::is_filled) || all.chain([&self.priority]).any(Field::has_error)
    }

    /// What counts, in a few words.
    pub(crate) fn summary(&self) -> String {
        let [at_once, attempts] = [self.concurrency[0].shown(), self.retry[0].shown()];
        let attempts =
            if attempts == "1" { "no retry".to_owned() } else { format!("{attempts} attempts") };
        format!("{at_once} at the same time, {attempts}")
    }
}

/// What a form says about turns; what cannot be read is a problem of its field.
pub(crate) fn read(typed: &Typed, problems: &mut Problems) -> DispatchRules {
    let limit = number(typed, problems, LIMIT);
    let key = Some(typed.line(KEY)).filter(|key| !key.is_empty()).map(str::to_owned);
    if limit.is_none() && key.is_some() {
        problems.add(LIMIT, &"is required with a parameter");
    }
    DispatchRules {
        priority: number(typed, problems, PRIORITY).unwrap_or(0),
        concurrency: limit.map(|limit| Concurrency {
            limit,
            key,
            on_conflict: parsed(typed, problems, ON_CONFLICT).unwrap_or(OnConflict::Queue),
        }),
        retry: retry(typed, problems),
    }
}

fn retry(typed: &Typed, problems: &mut Problems) -> Option<Retry> {
    let usual = Retry::default();
    let attempts = number(typed, problems, ATTEMPTS);
    let mut pause = |name: &str| match typed.line(name) {
        "" => None,
        text => time(text).map_err(|problem| problems.add(name, &problem)).ok(),
    };
    let (backoff, most) = (pause(BACKOFF), pause(MAX_BACKOFF));
    let factor = parsed::<f64>(typed, problems, FACTOR);
    let states = typed.line(ON).split(',').map(str::trim).filter(|word| !word.is_empty());
    let on: Result<Vec<State>, _> = states.map(str::parse).collect();
    let on = on.map_err(|problem| problems.add(ON, &problem)).unwrap_or_default();
    Some(Retry {
        attempts: attempts?,
        backoff_ms: backoff.unwrap_or(usual.backoff_ms),
        max_backoff_ms: most.unwrap_or(usual.max_backoff_ms),
        factor: factor.unwrap_or(usual.factor),
        jitter: typed.line(JITTER) != "no",
        on: if on.is_empty() { usual.on } else { on },
    })
}

/// The form that would ask for these turns.
pub(crate) fn typed(mut typed: Typed, rules: &DispatchRules) -> Typed {
    if rules.priority != 0 {
        typed = typed.with(PRIORITY, rules.priority.to_string());
    }
    if let Some(Concurrency { limit, key, on_conflict }) = &rules.concurrency {
        typed = typed
            .with(LIMIT, limit.to_string())
            .with(KEY, key.clone().unwrap_or_default())
            .with(ON_CONFLICT, on_conflict.name());
    }
    if let Some(retry) = &rules.retry {
        typed = typed
            .with(ATTEMPTS, retry.attempts.to_string())
            .with(BACKOFF, span(retry.backoff_ms))
            .with(MAX_BACKOFF, span(retry.max_backoff_ms))
            .with(FACTOR, retry.factor.to_string())
            .with(JITTER, if retry.jitter { "yes" } else { "no" })
            .with(ON, names(&retry.on));
    }
    typed
}

fn number<T: std::str::FromStr>(typed: &Typed, problems: &mut Problems, name: &str) -> Option<T> {
    let text = typed.line(name);
    if text.is_empty() {
        return None;
    }
    text.parse()
        .map_err(|_| problems.add(name, &format!("`{text}` is not a number that fits")))
        .ok()
}

fn parsed<T: std::str::FromStr<Err: ToString>>(
    typed: &Typed,
    problems: &mut Problems,
    name: &str,
) -> Option<T> {
    let text = typed.line(name);
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|problem| problems.add(name, &problem)).ok()
}

/// A time as one would type it.
fn span(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

fn names(states: &[State]) -> String {
    states.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_read_back_as_they_are_written() {
        let concurrency = Concurrency {
            limit: 2,
            key: Some("region".to_owned()),
            on_conflict: OnConflict::Replace,
        };
        let retry = Retry {
            attempts: 4,
            backoff_ms: 1_500,
            factor: 1.5,
            jitter: false,
            on: vec![State::Lost],
            ..Retry::default()
        };
        let all =
            DispatchRules { priority: -7, concurrency: Some(concurrency), retry: Some(retry) };
        for rules in [DispatchRules::default(), all] {
            let mut problems = Problems::default();
            assert_eq!(read(&typed(Typed::default(), &rules), &mut problems), rules);
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_shown_at_its_field() {
        let bad = Typed::default()
            .with(PRIORITY, "high")
            .with(KEY, "region")
            .with(ATTEMPTS, "many")
            .with(BACKOFF, "soon")
            .with(FACTOR, "x")
            .with(ON, "failed, done");
        let mut problems = Problems::default();
        read(&bad, &mut problems);
        let fields = DispatchFields::new(&bad, &mut problems);
        let all = fields.concurrency.iter().chain(&fields.retry).chain([&fields.priority]);
        assert_eq!(all.filter(|field| field.has_error()).count(), 6);
        assert!(fields.touched() && problems.is_empty());
        let empty = DispatchFields::new(&Typed::default(), &mut problems);
        assert!(!empty.touched());
        assert_eq!(empty.summary(), "any number at the same time, no retry");
    }
}
