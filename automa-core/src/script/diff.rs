//! What is different between two versions, and going back to an old one.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Script, Scripts, Sight, Version, find_seen, find_version, no_version};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    event::Event,
    id::ScriptId,
    store::{
        self,
        change::{Change, Snapshot},
    },
};

/// Lines that stay the same and are shown around those that do not.
const CONTEXT: usize = 3;
/// Most lines that are told.
const LINES_MAX: usize = 5000;
/// Time for the least difference; after it a larger one has to do.
const TIME_MAX: Duration = Duration::from_millis(300);

/// What is different between two versions of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The number of the version that is compared with.
    pub from: u32,
    /// The number of the one that is looked at.
    pub to: u32,
    /// Whether they do the same.
    pub is_same: bool,
    /// Lines of the source that only the second has.
    pub added: usize,
    /// Lines of the source that only the first has.
    pub removed: usize,
    /// Where the sources are different, from the top: lines that belong together, with three around
    /// them. At most 5,000 lines.
    pub hunks: Vec<Vec<DiffLine>>,
    /// Lines that are not told, as there are too many.
    pub omitted: usize,
    /// What else is different, by name: `language`, `limits.wall_ms`, `concurrency.limit`,
    /// `parameters_schema.properties.days.default`.
    pub settings: Vec<Setting>,
}

/// A line of either source, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// Its number in the first, from 1; `None` if it was added.
    pub old: Option<usize>,
    /// Its number in the second, from 1; `None` if it was removed.
    pub new: Option<usize>,
    /// The line, without its end.
    pub text: String,
}

/// A setting that is different. A value is JSON; `None` is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub name: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl Diff {
    /// Compares two versions. Takes half a second at most.
    pub(crate) fn between(from: &Version, to: &Version) -> Self {
        let compared = TextDiff::configure().timeout(TIME_MAX).diff_lines(&from.source, &to.source);
        let (mut added, mut removed, mut told) = (0, 0, 0);
        let mut hunks = Vec::new();
        for group in compared.grouped_ops(CONTEXT) {
            let mut hunk = Vec::new();
            for change in group.iter().flat_map(|op| compared.iter_changes(op)) {
                match change.tag() {
                    ChangeTag::Insert => added += 1,
                    ChangeTag::Delete => removed += 1,
                    ChangeTag::Equal => {}
                }
                told += 1;
                if told <= LINES_MAX {
                    let number = |index: Option<usize>| index.map(|index| index + 1);
                    hunk.push(DiffLine {
                        old: number(change.old_index()),
                        new: number(change.new_index()),
                        text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
                    });
                }
            }
            if !hunk.is_empty() {
                hunks.push(hunk);
            }
        }
        Self {
            from: from.number,
            to: to.number,
            is_same: from.content == to.content,
            added,
            removed,
            hunks,
            omitted: told.saturating_sub(LINES_MAX),
            settings: settings_between(from, to),
        }
    }
}

fn settings_between(from: &Version, to: &Version) -> Vec<Setting> {
    let (mut before, mut after) = (from.settings(), to.settings());
    let names: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
    let mut found: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let (before, after) = (before.remove(&name), after.remove(&name));
            (before != after).then_some(Setting { name, before, after })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

impl Version {
    /// What it says besides its source, by name, as JSON: `limits.wall_ms`, `concurrency.limit`.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        let Self { language, parameters_schema, limits, dispatch, .. } = self;
        let schema = parameters_schema.as_deref().map(serde_json::from_str::<Value>);
        let mut settings = BTreeMap::new();
        for (name, value) in [
            ("language", serde_json::to_value(language)),
            ("limits", serde_json::to_value(limits)),
            ("", serde_json::to_value(dispatch)),
            ("parameters_schema", schema.unwrap_or(Ok(Value::Null))),
        ] {
            flatten(name, &value.unwrap_or_default(), &mut settings);
        }
        settings
    }
}

/// Notes what is in a value, each by its way there. What is `null` says nothing.
fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let below = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&below, value, into);
            }
        }
        Value::Null => {}
        value => {
            into.insert(name.to_owned(), value.to_string());
        }
    }
}

impl Scripts<'_> {
    /// What is different between two versions of a script.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn diff(&self, id: ScriptId, from: u32, to: u32) -> Result<Diff> {
        self.actor.require(Permission::ReadScripts)?;
        let sight = self.sight();
        let compare = move |view: &Snapshot| {
            let (_, from) = find_version(view, &sight, id, Some(from))?;
            let (_, to) = find_version(view, &sight, id, Some(to))?;
            Ok::<_, Error>(Diff::between(&from, &to))
        };
        self.automa.store.read(compare).await
    }

    /// Makes what a version `to` was the newest version again, unless it is what that does already.
    /// Name, description, tags, status and visibility stay.
    ///
    /// `read` is the version that the caller takes for the newest.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::Conflict`] when `read` is not the newest
    /// version; and the store's.
    pub async fn roll_back(&self, id: ScriptId, read: u32, to: u32) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        let (clock, sight) = (&*self.automa.clock, self.sight());
        let (now, author) = (clock.now(), self.actor.name.clone());
        let entry = Entry::new(clock, self.actor, Action::ScriptVersionAdded(id, read + 1));
        let change = move |change: &mut Change| {
            let (old, newest) = find_to_change(change, &sight, id, read)?;
            let version = store::scripts::version(change, id, to)?;
            let version = version.ok_or_else(|| no_version(id, to))?;
            if version.content == newest.content {
                return Ok(old);
            }
            let version = Version {
                number: read + 1,
                author: author.clone(),
                created_at: now,
                message: format!("As version {to}."),
                ..version
            };
            let (language, number) = (version.language, version.number);
            let script = Script { version: number, language, updated_at: now, ..old };
            store::scripts::add_version(change, &version)?;
            store::scripts::put(change, &script)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(script)
        };
        self.automa.store.write(change).await
    }
}

/// A script with its newest version, if that is what was read.
pub(super) fn find_to_change(
    change: &Change,
    sight: &Sight,
    id: ScriptId,
    read: u32,
) -> Result<(Script, Version)> {
    let script = find_seen(change, sight, id)?;
    if script.version != read {
        return Err(Error::Conflict { kind: "script", current: script.version });
    }
    let newest = store::scripts::version(change, id, read)?;
    Ok((script, newest.ok_or_else(|| no_version(id, read))?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Automa,
        actor::Actor,
        clock::TestClock,
        execution::{Concurrency, DispatchRules, LimitsRequest, OnConflict},
        page::PageRequest,
        script::{Language, NewScript},
    };

    fn version(number: u32, new: NewScript) -> Version {
        new.version(ScriptId::MIN, number, "ann".to_owned(), jiff::Timestamp::UNIX_EPOCH)
    }

    fn sourced(number: u32, source: &str) -> Version {
        version(number, NewScript::new("x", Language::Bash, source))
    }

    /// The lines of a diff as `diff -u` writes them.
    fn written(diff: &Diff) -> Vec<String> {
        let sign = |line: &DiffLine| match (line.old, line.new) {
            (Some(_), Some(_)) => ' ',
            (Some(_), None) => '-',
            _ => '+',
        };
        diff.hunks.iter().flatten().map(|it| format!("{}{}", sign(it), it.text)).collect()
    }

    #[test]
    fn lines_that_differ_are_told_with_those_around() {
        let lines: Vec<_> = (1..=20).map(|number| format!("line {number}\n")).collect();
        let old = lines.concat();
        let new = old.replace("line 3\n", "").replace("line 18\n", "line 18\r\nmore\n");
        let diff = Diff::between(&sourced(1, &old), &sourced(2, &new));
        assert_eq!((diff.added, diff.removed, diff.hunks.len()), (2, 2, 2));
        let lines = written(&diff);
        assert_eq!(lines[..4], [" line 1", " line 2", "-line 3", " line 4"]);
        assert_eq!(lines[6 + 3..], ["-line 18", "+line 18", "+more", " line 19", " line 20"]);
        let last = diff.hunks[1].last().unwrap();
        assert_eq!((last.old, last.new), (Some(20), Some(20)));
        assert!(!diff.is_same && diff.settings.is_empty());
    }

    #[test]
    fn settings_that_differ_are_told_by_name() {
        let schema = |default| {
            format!(r#"{{"type":"object","properties":{{"n":{{"default":{default}}}}}}}"#)
        };
        let new = |pids, default: u32, limit: Option<u32>| NewScript {
            parameters_schema: Some(schema(default)),
            limits: LimitsRequest { pids: Some(pids), ..LimitsRequest::default() },
            dispatch: DispatchRules {
                concurrency: limit.map(|limit| Concurrency {
                    limit,
                    key: None,
                    on_conflict: OnConflict::Skip,
                }),
                ..DispatchRules::default()
            },
            ..NewScript::new("x", Language::Bash, "true")
        };
        let diff = Diff::between(&version(1, new(4, 1, None)), &version(2, new(5, 2, Some(3))));
        let told: Vec<_> = diff
            .settings
            .iter()
            .map(|it| (&*it.name, it.before.as_deref(), it.after.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("concurrency.limit", None, Some("3")),
                ("concurrency.on_conflict", None, Some("\"skip\"")),
                ("limits.pids", Some("4"), Some("5")),
                ("parameters_schema.properties.n.default", Some("1"), Some("2")),
            ]
        );
        let same = Diff::between(&version(1, new(4, 1, None)), &version(7, new(4, 1, None)));
        assert!(same.is_same && same.settings.is_empty() && same.hunks.is_empty());
    }

    #[tokio::test]
    async fn what_was_is_made_again_as_a_new_version() {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let automa = Automa::builder().in_memory().clock(clock).open().unwrap();
        let me = Actor::embedder("ann");
        let scripts = automa.scripts(&me);
        let id = scripts.create(NewScript::new("first", Language::Python, "1")).await.unwrap().id;
        scripts.update(id, 1, NewScript::new("second", Language::Bash, "2")).await.unwrap();
        assert!(matches!(
            scripts.roll_back(id, 1, 1).await,
            Err(Error::Conflict { current: 2, .. })
        ));
        let missing = scripts.roll_back(id, 2, 3).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { kind: "version", .. }));
        let script = scripts.roll_back(id, 2, 1).await.unwrap();
        assert_eq!(
            (script.version, script.language, &*script.name),
            (3, Language::Python, "second")
        );
        let versions = scripts.versions(id, PageRequest::default()).await.unwrap().items;
        assert_eq!(versions[0].source, "1");
        assert_eq!(
            (&*versions[0].message, versions[0].content),
            ("As version 1.", versions[2].content)
        );
        // That is what it is already.
        assert_eq!(scripts.roll_back(id, 3, 1).await.unwrap().version, 3);
        let diff = scripts.diff(id, 2, 3).await.unwrap();
        assert_eq!(
            (written(&diff), diff.settings.len()),
            (vec!["-2".to_owned(), "+1".to_owned()], 1)
        );
        assert!(scripts.diff(id, 2, 9).await.is_err());
    }

    proptest! {
        /// Whatever two sources are: a diff is not larger than both, and says how one becomes the other.
        #[test]
        fn any_two_sources_differ_by_what_is_told(
            old in prop::collection::vec("[ab]{0,2}", 0..30),
            new in prop::collection::vec("[ab]{0,2}", 0..30),
        ) {
            let diff = Diff::between(&sourced(1, &old.join("\n")), &sourced(2, &new.join("\n")));
            let lines = || diff.hunks.iter().flatten();
            prop_assert_eq!(lines().filter(|it| it.old.is_none()).count(), diff.added);
            prop_assert_eq!(lines().filter(|it| it.new.is_none()).count(), diff.removed);
            for line in lines() {
                for (number, source) in [(line.old, &old), (line.new, &new)] {
                    if let Some(number) = number {
                        prop_assert_eq!(source.get(number - 1).map_or("", |it| it), &*line.text);
                    }
                }
            }
        }
    }
}
