//! What part of the list was asked for: read from an address, and written into others.

use std::time::Duration;

use automa_core::{
    execution::{Filter, State},
    id::ScriptId,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::super::{self as pages, form::Typed};
use crate::{filters::duration, htmx::encoded, problem::Problem};

/// The filters of a list. Its addresses have what is asked for and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) states: Vec<State>,
    pub(super) script: Option<ScriptId>,
    /// Who asked for them.
    pub(super) by: Option<String>,
    /// The first day, and the last.
    pub(super) from: Option<Date>,
    pub(super) until: Option<Date>,
    /// How long they took at least.
    pub(super) took: Option<Duration>,
}

/// One of the filters, as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The list without it.
    pub(super) without: Asked,
}

impl Asked {
    /// Reads what an address asks for. What is empty asks for nothing.
    pub(super) fn read(query: &Typed) -> Result<Self, Problem> {
        let states = query.all("state").filter(|name| !name.is_empty());
        let states = states.map(|name| pages::named(name, "state", pages::state));
        let states: Option<Vec<_>> = states.collect::<Result<_, _>>()?;
        let by = query.line("by");
        let day = |name| pages::named(query.line(name), "day", |it| it.parse().ok());
        let took = |text: &str| humantime::parse_duration(text).ok();
        let asked = Self {
            states: Vec::new(),
            script: pages::named(query.line("script"), "script", |id| id.parse().ok())?,
            by: (!by.is_empty()).then(|| by.to_owned()),
            from: day("from")?,
            until: day("until")?,
            took: pages::named(query.line("took"), "duration", took)?,
        };
        Ok(asked.in_states(&states.unwrap_or_default()))
    }

    /// The same in other states; each once, in their order.
    fn in_states(self, states: &[State]) -> Self {
        let states = State::ALL.into_iter().filter(|state| states.contains(state));
        Self { states: states.collect(), ..self }
    }

    /// The same in any state.
    pub(super) fn in_any_state(&self) -> Self {
        Self { states: Vec::new(), ..self.clone() }
    }

    /// What there is in its states.
    pub(super) fn only_states(&self) -> Self {
        Self { states: self.states.clone(), ..Self::default() }
    }

    /// The same with one state more, or less.
    pub(super) fn toggled(&self, state: State) -> Self {
        let mut states = self.states.clone();
        if self.states.contains(&state) {
            states.retain(|it| *it != state);
        } else {
            states.push(state);
        }
        self.clone().in_states(&states)
    }

    pub(super) fn is_filtered(&self) -> bool {
        *self != Self::default()
    }

    /// Whether more is asked for than states.
    pub(super) fn has_more(&self) -> bool {
        self.in_any_state().is_filtered()
    }

    /// The address of the list.
    pub(super) fn path(&self) -> String {
        let mut pairs = Vec::new();
        pairs.extend(self.states.iter().map(|state| format!("state={state}")));
        pairs.extend(self.script.map(|id| format!("script={id}")));
        pairs.extend(self.by.as_ref().map(|name| format!("by={}", encoded(name))));
        pairs.extend(self.from.map(|day| format!("from={day}")));
        pairs.extend(self.until.map(|day| format!("until={day}")));
        pairs.extend(self.took.map(|it| format!("took={}", took(it))));
        if pairs.is_empty() {
            "/executions".to_owned()
        } else {
            format!("/executions?{}", pairs.join("&"))
        }
    }

    pub(super) fn filter(&self) -> Filter {
        let begin = |day: Date| {
            let midnight = TimeZone::UTC.to_ambiguous_zoned(day.at(0, 0, 0, 0)).compatible();
            midnight.map_or(Timestamp::MAX, |midnight| midnight.timestamp())
        };
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Filter {
            states: self.states.clone(),
            script: self.script,
            requested_by: self.by.clone(),
            created_from: self.from.map(begin),
            created_until: self.until.map(|day| day.tomorrow().map_or(Timestamp::MAX, begin)),
            min_wall_ms: self.took.map(millis),
            ..Filter::default()
        }
    }

    /// What is asked for besides states, each with the list that goes without it.
    pub(super) fn parts(&self, script: Option<&str>) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut part = |name, value: Option<String>, without| {
            parts.extend(value.map(|value| Part { name, value, without }));
        };
        let same = || self.clone();
        let named = self.script.map(|id| script.map_or_else(|| id.to_string(), str::to_owned));
        part("Script", named, Self { script: None, ..same() });
        part("Started by", self.by.clone(), Self { by: None, ..same() });
        part("From", self.from.map(|it| it.to_string()), Self { from: None, ..same() });
        part("Until", self.until.map(|it| it.to_string()), Self { until: None, ..same() });
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        let least = self.took.map(|it| format!("{} or more", duration(millis(it))));
        part("Took", least, Self { took: None, ..same() });
        parts
    }
}

/// A duration in an address: without spaces.
pub(super) fn took(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::pages::samples;

    fn read(query: &[(&str, &str)]) -> Result<Asked, Problem> {
        let typed = query.iter().fold(Typed::default(), |it, (name, value)| it.with(name, *value));
        Asked::read(&typed)
    }

    #[test]
    fn filters_are_in_the_address() {
        let id = samples::script_id();
        assert_eq!(Asked::default().path(), "/executions");
        assert_eq!(
            Asked::default().toggled(State::Lost).toggled(State::Failed).path(),
            "/executions?state=failed&state=lost"
        );
        let all = read(&[
            ("state", "lost"),
            ("script", &id.to_string()),
            ("by", " eve & adam "),
            ("from", "2026-01-31"),
            ("until", "2026-02-28"),
            ("took", "90s"),
        ]);
        let all = all.unwrap();
        assert_eq!(
            all.path(),
            format!(
                "/executions?state=lost&script={id}&by=eve%20%26%20adam&from=2026-01-31&\
                 until=2026-02-28&took=1m30s"
            )
        );
        let filter = all.filter();
        assert_eq!(filter.created_from, Some("2026-01-31T00:00:00Z".parse().unwrap()));
        assert_eq!(filter.created_until, Some("2026-03-01T00:00:00Z".parse().unwrap()));
        assert_eq!(filter.min_wall_ms, Some(90_000));
        let parts = all.parts(Some("nightly"));
        let told: Vec<_> = parts.iter().map(|it| format!("{} {}", it.name, it.value)).collect();
        assert_eq!(
            told,
            [
                "Script nightly",
                "Started by eve & adam",
                "From 2026-01-31",
                "Until 2026-02-28",
                "Took 1 min 30 s or more"
            ]
        );
        assert!(parts.iter().all(|part| part.without != all && part.without.is_filtered()));
    }

    #[test]
    fn what_is_empty_asks_for_nothing_and_what_is_wrong_is_told() {
        let empty = [("state", ""), ("script", ""), ("by", " "), ("from", ""), ("took", "")];
        assert_eq!(read(&empty).unwrap(), Asked::default());
        for (name, value) in [
            ("state", "odd"),
            ("script", "1"),
            ("from", "yesterday"),
            ("until", "2026-02-30"),
            ("took", "long"),
        ] {
            let problem = read(&[(name, value)]).unwrap_err();
            assert!(problem.to_string().contains(value), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn an_address_asks_for_what_it_was_made_of(
            states in prop::collection::vec(prop::sample::select(&State::ALL), 0..4),
            by in option::of("\\PC{1,20}"),
            days in (option::of(0i32..20_000), option::of(0i32..20_000)),
            took in option::of(0u64..100_000_000),
        ) {
            let day = |days: i32| Date::constant(1990, 1, 1) + jiff::Span::new().days(days);
            let asked = Asked {
                by: by.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()),
                from: days.0.map(day),
                until: days.1.map(day),
                took: took.map(Duration::from_millis),
                ..Asked::default()
            };
            let asked = asked.in_states(&states);
            let path = asked.path();
            let query = path.split_once('?').map_or("", |(_, query)| query);
            let typed = poem::Request::builder()
                .uri(format!("/?{query}").parse().unwrap())
                .finish()
                .params::<Typed>()
                .unwrap();
            prop_assert_eq!(Asked::read(&typed).unwrap(), asked);
            prop_assert!(!path.contains(' '));
        }
    }
}
