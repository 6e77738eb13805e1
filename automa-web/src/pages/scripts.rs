//! `/scripts`: the list, searched and filtered.

mod asked;
pub(super) mod form;
pub(super) mod reviews;
pub(super) mod trash;

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    page::{Cursor, PageRequest},
    script::{Found, Hit, Language, Place as Part, Script, Sort},
};
use poem::{
    Request, Response, handler,
    web::{Data, Query},
};

use self::asked::Asked;
use super::{
    form::Typed,
    frame::{Frame, Place},
    listing::Listing,
    overview::HELLO,
    table,
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "scripts/list.html")]
struct ListPage {
    frame: Frame,
    may_write: bool,
    may_run: bool,
    asked: Asked,
    rows: Vec<Found>,
    first: bool,
    next: Option<String>,
    /// Shown while there is no script.
    example: Listing,
}

impl ListPage {
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn language(&self, script: &Script) -> &'static str {
        table::language(script.language)
    }

    /// The orders that can be chosen; best matches first, else newest first, is none of them.
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn sorts(&self) -> [(Sort, &'static str); 3] {
        [
            (Sort::Name, "By name"),
            (Sort::Updated, "Last changed first"),
            (Sort::Created, "Newest first"),
        ]
    }

    /// Where something was found, if the row does not show that anyway.
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn snippet<'a>(&self, found: &'a Found) -> Option<Snippet<'a>> {
        let hit = found.hit.as_ref().filter(|hit| hit.place == Part::Source)?;
        Some(Snippet::of(hit))
    }
}

/// A line of a source, with what was found in it.
#[derive(Debug)]
struct Snippet<'a> {
    line: u32,
    before: &'a str,
    found: &'a str,
    after: &'a str,
}

impl<'a> Snippet<'a> {
    fn of(Hit { line, text, mark, .. }: &'a Hit) -> Self {
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
        let (before, after) = (part(0..mark.start), part(mark.end..text.len()));
        Self { line: *line, before, found: part(mark.clone()), after }
    }
}

/// Shows a page of the list.
#[handler]
pub(super) async fn show_list(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&query)?;
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    if !query.is_filled() && cursor.is_none() {
        // A form sends what is empty, too: an address that is kept has only what counts.
        return Ok(see_other(&asked.path()));
    }
    let first = cursor.is_none();
    let page = PageRequest { cursor, ..PageRequest::default() };
    let page = automa.scripts(&caller.actor).search(asked.search(&caller), page).await?;
    let path = asked.path();
    let next = |cursor: Cursor| {
        format!("{path}{}cursor={cursor}", if path.contains('?') { '&' } else { '?' })
    };
    render(&ListPage {
        frame: super::frame(request, &caller, "Scripts", Place::Scripts),
        may_write: caller.actor.require(Permission::WriteScripts).is_ok(),
        may_run: caller.actor.require(Permission::Execute).is_ok(),
        rows: page.items,
        first,
        next: page.next_cursor.map(next),
        asked,
        example: Listing::code("Example", Language::Bash, HELLO),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let list = |rows: Vec<Found>, first: bool, may: bool, asked: &[(&str, &str)]| {
            let typed =
                asked.iter().fold(Typed::default(), |it, (name, value)| it.with(name, *value));
            let page = ListPage {
                frame: samples::frame("Scripts", Place::Scripts),
                may_write: may,
                may_run: may,
                asked: Asked::read(&typed).unwrap(),
                rows,
                first,
                next: (!first).then(|| format!("/scripts?cursor={}", samples::cursor())),
                example: Listing::code("Example", Language::Bash, HELLO),
            };
            page.render().unwrap()
        };
        let found = || {
            let rows = samples::scripts().into_iter();
            rows.map(|script| Found { script, hit: Some(samples::hit()) }).collect::<Vec<_>>()
        };
        let plain = || found().into_iter().map(|it| Found { hit: None, ..it }).collect::<Vec<_>>();
        let asked = &[
            ("q", samples::HOSTILE),
            ("tag", samples::HOSTILE),
            ("language", "bash"),
            ("status", "draft"),
            ("mine", "yes"),
        ];
        vec![
            ("scripts", list(plain(), true, true, &[])),
            ("scripts-viewer", list(plain(), false, false, &[])),
            ("scripts-none", list(vec![], true, true, &[])),
            ("scripts-found", list(found(), true, true, asked)),
            ("scripts-no-match", list(vec![], true, true, asked)),
        ]
    }
}
