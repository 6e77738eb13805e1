//! What the large panel of a script's page shows.

use std::sync::Arc;

use automa_core::{
    id::ScriptId,
    page::Page,
    script::{
        Diff, DiffLine, Language, Problem, Version,
        danger::{Warning, warnings},
    },
};
use jiff::Timestamp;

use crate::pages::{listing::Listing, table::Table};

/// Most versions that can be chosen to be compared.
const CHOICES: u32 = 200;

#[derive(Debug)]
pub(super) enum Pane {
    Code(Code),
    Versions(Versions),
    Changes(Changes),
    Settings(Settings),
    Executions(Table),
}

#[derive(Debug)]
pub(super) struct Code {
    pub(super) file: &'static str,
    pub(super) number: u32,
    pub(super) author: String,
    pub(super) at: Timestamp,
    pub(super) message: String,
    pub(super) problems: Arc<[Problem]>,
    pub(super) warnings: Vec<Warning>,
    pub(super) listing: Listing,
}

#[derive(Debug)]
pub(super) struct Versions {
    pub(super) items: Vec<VersionRow>,
    pub(super) next: Option<String>,
}

#[derive(Debug)]
pub(super) struct VersionRow {
    pub(super) number: u32,
    pub(super) author: String,
    pub(super) language: Language,
    pub(super) lines: usize,
    pub(super) at: Timestamp,
    pub(super) message: String,
}

/// What is different between two versions.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) diff: Diff,
    /// The numbers of the versions that can be chosen, newest first.
    pub(super) numbers: Vec<u32>,
}

/// What a version says besides its source.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) rows: Vec<(String, String)>,
    pub(super) content: String,
}

impl Pane {
    pub(super) fn code(version: &Version) -> Self {
        let Version { number, language, author, created_at, source, message, .. } = version;
        Self::Code(Code {
            file: language.file_name(),
            number: *number,
            author: author.clone(),
            at: *created_at,
            message: message.clone(),
            problems: Arc::default(),
            warnings: warnings(*language, source),
            listing: Listing::code(format!("Source of version {number}"), *language, source),
        })
    }

    /// The same with what its language cannot read.
    pub(super) fn with(self, problems: Arc<[Problem]>) -> Self {
        match self {
            Self::Code(code) => Self::Code(Code { problems, ..code }),
            other => other,
        }
    }

    pub(super) fn versions(id: ScriptId, page: Page<Version>) -> Self {
        let next = page.next_cursor.as_ref();
        let next = next.map(|cursor| format!("/scripts/{id}/versions?cursor={cursor}"));
        let row =
            |Version { number, author, language, source, created_at, message, .. }| VersionRow {
                number,
                author,
                language,
                lines: source.lines().count(),
                at: created_at,
                message,
            };
        Self::Versions(Versions { items: page.items.into_iter().map(row).collect(), next })
    }

    pub(super) fn settings(version: &Version) -> Self {
        let rows = version.settings().into_iter().collect();
        Self::Settings(Settings { rows, content: version.content.to_string() })
    }
}

impl Changes {
    pub(super) fn new(diff: Diff, newest: u32) -> Self {
        let least = newest.saturating_sub(CHOICES - 1).max(1);
        let mut numbers: Vec<u32> = (least..=newest).rev().collect();
        numbers.extend([diff.from, diff.to].into_iter().filter(|it| *it < least));
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.dedup();
        Self { diff, numbers }
    }
}

/// How a line of a diff is marked: its class, and a sign that is read too.
pub(super) fn mark(line: &DiffLine) -> (&'static str, &'static str) {
    match (line.old, line.new) {
        (Some(_), Some(_)) => ("same", " "),
        (Some(_), None) => ("gone", "−"),
        (None, _) => ("come", "+"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::script::Setting;

    use super::*;
    use crate::pages::samples;

    pub(in crate::pages::script) fn problems() -> Arc<[Problem]> {
        let message = format!("invalid syntax near {}", samples::HOSTILE);
        [Problem { line: 3, column: Some(7), message }].into()
    }

    pub(in crate::pages::script) fn diff() -> Diff {
        let line = |old, new, text: &str| DiffLine { old, new, text: text.to_owned() };
        Diff {
            from: 7,
            to: 8,
            is_same: false,
            added: 2,
            removed: 1,
            hunks: vec![
                vec![
                    line(Some(3), Some(3), "import os"),
                    line(Some(4), None, samples::HOSTILE),
                    line(None, Some(4), &"a line without a break ".repeat(20)),
                    line(None, Some(5), ""),
                ],
                vec![line(Some(90), Some(91), "end")],
            ],
            omitted: 12,
            settings: vec![
                Setting {
                    name: "limits.wall_ms".to_owned(),
                    before: None,
                    after: Some("30000".to_owned()),
                },
                Setting {
                    name: samples::HOSTILE.to_owned(),
                    before: Some(format!("{:?}", samples::HOSTILE)),
                    after: None,
                },
            ],
        }
    }

    #[test]
    fn versions_can_be_chosen_also_old_ones_that_are_compared() {
        let changes = Changes::new(Diff { from: 1, ..diff() }, 300);
        assert_eq!(changes.numbers.len(), 202);
        assert_eq!(changes.numbers[..2], [300, 299]);
        assert_eq!(changes.numbers[200..], [8, 1]);
        assert_eq!(Changes::new(Diff { from: 1, to: 1, ..diff() }, 1).numbers, [1]);
    }
}
