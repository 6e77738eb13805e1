//! Every page, drawn with every sample.

use std::{collections::BTreeSet, fs};

use super::samples;

fn all() -> Vec<(&'static str, String)> {
    [
        super::setup::tests::samples(),
        super::sign_in::tests::samples(),
        super::errors::tests::samples(),
        super::docs::tests::samples(),
        super::overview::tests::samples(),
        super::scripts::tests::samples(),
        super::script::tests::samples(),
        super::bindings::tests::samples(),
        super::scripts::form::tests::samples(),
        super::scripts::reviews::tests::samples(),
        super::scripts::trash::tests::samples(),
        super::code::tests::samples(),
        super::disk::tests::samples(),
        super::profile::tests::samples(),
        super::reset::tests::samples(),
        super::users::tests::samples(),
        super::users::form::tests::samples(),
        super::api_keys::tests::samples(),
        super::tiers::tests::samples(),
        super::audit::tests::samples(),
        super::security::tests::samples(),
        super::jobs::tests::samples(),
        super::jobs::job::tests::samples(),
        super::jobs::form::tests::samples(),
        super::jobs::calendar::tests::samples(),
        super::agents::tests::samples(),
        super::credentials::tests::samples(),
        super::credentials::form::tests::samples(),
        super::credentials::show::tests::samples(),
        super::executions::tests::samples(),
        super::execution::tests::samples(),
    ]
    .concat()
}

/// The tags of a page, without what stands between them.
fn tags(page: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        // A `>` in a quoted value does not end a tag.
        let mut quote = None;
        let end = rest.find(|c| match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                false
            }
            (Some(open), c) if open == c => {
                quote = None;
                false
            }
            (None, '>') => true,
            _ => false,
        });
        let end = end.expect("a tag that ends");
        tags.push(&rest[..=end]);
        rest = &rest[end + 1..];
    }
    tags
}

fn name(tag: &str) -> &str {
    let tag = tag.trim_start_matches("</").trim_start_matches('<');
    tag.split([' ', '>', '/', '\n']).next().unwrap()
}

/// Values of an attribute in all tags.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    let value = |tag: &'a str| {
        let (_, rest) = tag.split_once(&start)?;
        Some(rest.split_once('"').unwrap().0)
    };
    tags(page).into_iter().filter_map(value).collect()
}

#[test]
fn every_tag_is_closed_in_order() {
    const VOID: [&str; 6] = ["!doctype", "meta", "link", "input", "br", "img"];
    for (sample, page) in all() {
        let mut open = Vec::new();
        for tag in tags(&page) {
            let name = name(tag);
            if VOID.contains(&name) || tag.ends_with("/>") {
                continue;
            }
            if tag.starts_with("</") {
                assert_eq!(open.pop(), Some(name), "{sample}: {tag}\n{page}");
            } else {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{sample}: {open:?}");
    }
}

#[test]
fn nothing_hostile_is_more_than_text() {
    for (sample, page) in all() {
        let scripts = || tags(&page).into_iter().filter(|tag| tag.starts_with("<script"));
        let ours = |tag: &str| tag.starts_with("<script src=\"/static/");
        assert!(scripts().count() == 2 && scripts().all(ours), "{sample}");
        // What was typed stays as it is in its field, which keeps its direction to itself.
        let shown = tags(&page).iter().fold(page.clone(), |shown, tag| shown.replace(tag, ""));
        let typed = values_of_texts(&page);
        let shown = typed.iter().fold(shown, |shown, text| shown.replace(text, ""));
        assert!(!shown.contains('\u{202e}') && !shown.contains('\u{7}'), "{sample} turns its text");
        for tag in tags(&page) {
            // Every other part stands between quotes.
            let names = tag.split('"').step_by(2).collect::<String>();
            assert!(!names.contains(" on") && !names.contains(" style"), "{sample}: {tag}");
        }
        assert!(!page.contains("<style"), "{sample}");
    }
}

/// What stands in text areas.
fn values_of_texts(page: &str) -> Vec<&str> {
    let areas = page.split("<textarea").skip(1);
    let text = |area: &'_ str| area.split_once("</textarea>").map(|(text, _)| text.len());
    areas
        .filter_map(|area| Some(&area[area.find('>')? + 1..text(area)?]))
        .filter(|text| !text.is_empty())
        .collect()
}

#[test]
fn ids_are_unique_and_what_refers_to_them_finds_them() {
    for (sample, page) in all() {
        let ids = values(&page, "id");
        let unique: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{sample}: {ids:?}");
        for attribute in ["for", "aria-labelledby", "aria-describedby", "popovertarget"] {
            for value in values(&page, attribute) {
                for id in value.split(' ') {
                    assert!(unique.contains(id), "{sample}: {attribute}={id}");
                }
            }
        }
    }
}

#[test]
fn every_input_has_a_label_and_every_picture_is_in_the_sprite() {
    let sprite = include_str!("../../../static/icons.svg");
    for (sample, page) in all() {
        let labels = values(&page, "for");
        for tag in tags(&page) {
            if tag.starts_with("</") {
                continue;
            }
            let named = ["input", "textarea", "select"].contains(&name(tag));
            let silent = ["type=\"hidden\"", "type=\"radio\"", " hidden readonly"]
                .iter()
                .any(|it| tag.contains(it));
            if named && !silent {
                let id = tag.split_once(" id=\"").unwrap().1.split_once('"').unwrap().0;
                assert!(labels.contains(&id), "{sample}: {tag}");
            }
        }
        for reference in values(&page, "href").into_iter().filter(|it| it.contains("icons.")) {
            let id = reference.split_once('#').unwrap().1;
            assert!(sprite.contains(&format!("<symbol id=\"{id}\"")), "{sample}: {reference}");
            assert!(reference.starts_with("/static/icons."), "{reference}");
        }
    }
}

#[test]
fn no_link_is_dead() {
    let routes = concat!(include_str!("../pages.rs"), include_str!("../server.rs"));
    let patterns: Vec<Vec<&str>> = routes
        .split(".at(\"")
        .skip(1)
        .map(|it| it.split_once('"').unwrap().0.split('/').collect())
        .collect();
    for (sample, page) in all() {
        for attribute in ["href", "action", "hx-get", "data-events", "data-changes"] {
            for value in values(&page, attribute) {
                let path = value.split(['?', '#']).next().unwrap();
                if path.is_empty() || path.starts_with("/static/") {
                    continue;
                }
                let path: Vec<_> = path.split('/').collect();
                let fits = |pattern: &Vec<&str>| {
                    pattern.len() == path.len()
                        && pattern.iter().zip(&path).all(|(a, b)| a == b || a.starts_with(':'))
                };
                assert!(patterns.iter().any(fits), "{sample}: {attribute}={value}");
            }
        }
    }
}

#[test]
fn the_sheet_has_no_rule_without_a_user() {
    let sheet = include_str!("../../../static/app.css");
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (_, page) in all() {
        for value in values(&page, "class") {
            used.extend(value.split_whitespace().map(str::to_owned));
        }
    }
    let script = include_str!("../../../static/app.js");
    let mut unused = BTreeSet::new();
    let rules = sheet.split("*/").map(|it| it.split("/*").next().unwrap()).collect::<String>();
    let selectors = rules.split('}').filter_map(|rule| rule.rsplit_once('{')).map(|(it, _)| it);
    for selector in selectors {
        for class in selector.split('.').skip(1) {
            let class: String = class
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
                .collect();
            // Colours of logs come and go with what scripts write.
            let log = class.len() == 2 && class.starts_with(['a', 'b']);
            let number = class.starts_with(|c: char| c.is_ascii_digit());
            let known = used.contains(&class)
                || script.contains(&class)
                || log
                || number
                || class.is_empty();
            if !known {
                unused.insert(class);
            }
        }
    }
    assert_eq!(unused, BTreeSet::new());
}

/// Writes every sample into the folder `PAGES`, to be looked at in a browser.
#[test]
#[ignore = "for the eyes"]
fn write_all() {
    #[expect(clippy::disallowed_methods, reason = "said by whoever looks at the pages")]
    let folder = std::env::var("PAGES").expect("PAGES names a folder");
    for (sample, page) in all() {
        fs::write(format!("{folder}/{sample}.html"), page).unwrap();
    }
    assert!(samples::HOSTILE.contains("script"));
}
