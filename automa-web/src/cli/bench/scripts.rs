//! Finding scripts: 10,000 of them, with sources of some two kilobytes.

use std::time::{Duration, Instant};

use automa_core::{
    Automa,
    actor::Actor,
    page::PageRequest,
    script::{Language, NewScript, Search},
};
use futures_util::{StreamExt as _, stream};

use super::table::{Row, Table};

/// How many scripts there are.
const SCRIPTS: usize = 10_000;
/// How many are created at the same time.
const CREATING: usize = 256;
/// What a search should not exceed, in microseconds.
const TARGET: f64 = 20_000.0;
/// Words that sources are made of.
const WORDS: [&str; 16] = [
    "curl",
    "backup",
    "table",
    "region",
    "export",
    "daily",
    "printf",
    "archive",
    "--verbose",
    "customer",
    "echo",
    "while",
    "status",
    "$directory",
    "restore",
    "report",
];

/// Measures searches of several kinds.
pub(super) async fn measure(quick: bool) -> Result<Vec<Table>, String> {
    let rounds = if quick { 10 } else { 100 };
    let automa = Automa::builder().in_memory().open().map_err(|error| error.to_string())?;
    let me = Actor::embedder("automa bench");
    let scripts = automa.scripts(&me);
    let mut creating = stream::iter((0..SCRIPTS).map(script))
        .map(|new| scripts.create(new))
        .buffer_unordered(CREATING);
    while let Some(created) = creating.next().await {
        created.map_err(|error| error.to_string())?;
    }
    let search = async |text: &str| {
        let search = Search { text: text.to_owned(), ..Search::default() };
        let begun = Instant::now();
        let found = scripts.search(search, PageRequest::default()).await;
        found.map(|_| begun.elapsed()).map_err(|error| error.to_string())
    };
    let title = format!("Finding scripts among {SCRIPTS} (medians of {rounds} rounds)");
    let mut table = Table::new(title);
    let first = search("nowhere").await?;
    table.rows.push(Row::new("first search, which reads all sources", &[first], None, None));
    for (name, text) in [
        ("a word in every source", "printf"),
        ("two words in few", "customer needle-77"),
        ("a word in one name", "script-4711"),
        ("a word that is nowhere", "nowhere"),
        ("no word: the newest", ""),
    ] {
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..rounds {
            times.push(search(text).await?);
        }
        table.rows.push(Row::new(name, &times, None, None).at_most(TARGET));
    }
    automa.close().await;
    Ok(vec![table])
}

/// One of them: its words are others than those of its neighbours.
fn script(number: usize) -> NewScript {
    let word = |at: usize| WORDS[(number * 7 + at * at + at) % WORDS.len()];
    let lines =
        (0..60).map(|line| [word(line), word(line + 1), word(line + 2), "file-", "\n"].join(" "));
    let source = format!(
        "#!/usr/bin/env bash\nprintf start\n{}# needle-{}\n",
        lines.collect::<Vec<_>>().concat(),
        number % 100
    );
    NewScript {
        description: format!("Does what number {number} does, every day."),
        tags: vec![word(0).to_owned(), format!("team-{}", number % 20)],
        ..NewScript::new(format!("script-{number}"), Language::Bash, source)
    }
}
