//! Reading a history of a million executions against one of ten thousand: each from a server of its
//! own, in turns.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};

use super::{
    super::table::{Figure, Row, Table, Target},
    client::Client,
    process::Server,
    rate::{READING, connect, count},
};

/// Executions in each history, the first to compare with.
const ROWS: [u64; 3] = [10_000, 100_000, 1_000_000];

/// What is asked for: what it is called, and its path.
const LISTS: [(&str, &str); 4] = [
    ("newest 50", "/api/v1/executions?limit=50"),
    ("50 that failed", "/api/v1/executions?limit=50&state=failed&state=timed_out"),
    ("50 of one person that failed", "/api/v1/executions?limit=50&state=failed&requested_by=ada"),
    ("50 that took a minute", "/api/v1/executions?limit=50&min_wall_ms=60000"),
];

/// Pages that are looked at, one after the other.
const LOOKS: usize = 100;

/// One history.
struct History {
    name: String,
    server: Server,
    token: String,
    start: Duration,
    /// Requests per second of each list.
    rates: [Vec<f64>; LISTS.len()],
    overview: Vec<Duration>,
}

impl History {
    async fn make(rows: u64) -> Result<Self, String> {
        // The time of a start is that of the second: the first makes its files.
        let server = Server::start_after(rows)?;
        let token = server.set_up().await?;
        let begun = Instant::now();
        let server = server.restart()?;
        server.is_healthy().await?;
        let name = match rows {
            1_000_000.. => format!("{} M", rows / 1_000_000),
            _ => format!("{} k", rows / 1000),
        };
        let start = begun.elapsed();
        let (rates, overview) = ([const { Vec::new() }; LISTS.len()], Vec::new());
        Ok(Self { name, server, token, start, rates, overview })
    }
}

/// Measures histories up to a million executions, when in a hurry up to a tenth of that.
pub(super) async fn measure(
    table: &mut Table,
    windows: usize,
    in_a_hurry: bool,
) -> Result<(), String> {
    let mut histories = Vec::new();
    for rows in &ROWS[..ROWS.len() - usize::from(in_a_hurry)] {
        histories.push(History::make(*rows).await?);
    }
    for _ in 0..windows {
        for (list, (_, path)) in LISTS.iter().enumerate() {
            for history in &mut histories {
                let token = Some(history.token.as_str());
                let mut readers = connect(&history.server, token, READING).await?;
                let asked = (Method::GET, *path, None, StatusCode::OK);
                history.rates[list].push(count(&mut readers, &asked).await?);
            }
        }
    }
    for _ in 0..LOOKS {
        for history in &mut histories {
            let mut browser = Client::of_page(history.server.address, &history.token).await?;
            let begun = Instant::now();
            browser.answer(Method::GET, "/", None, StatusCode::OK).await?;
            history.overview.push(begun.elapsed());
        }
    }
    report(table, &histories);
    Ok(())
}

fn report(table: &mut Table, histories: &[History]) {
    let (mut start, mut overview) = (None, None);
    for history in histories {
        let name = format!("start → healthy, {} executions", history.name);
        let row = Row::new(&name, &[history.start], start, None);
        start.get_or_insert(row.median_us);
        table.rows.push(row);
    }
    for history in histories {
        let name = format!("overview page, {} executions", history.name);
        let row = Row::new(&name, &history.overview, overview, None);
        overview.get_or_insert(row.median_us);
        table.rows.push(row);
    }
    for (list, (what, _)) in LISTS.iter().enumerate() {
        let mut first = None;
        for history in histories {
            let name = format!("{what}, of {}", history.name);
            let figure = Figure::new(&name, &history.rates[list], "/s", first);
            let is_first = first.replace(first.unwrap_or(figure.value)).is_none();
            let target = Target::RatioAtLeast(0.95);
            table.figures.push(if is_first || list > 0 { figure } else { figure.target(target) });
        }
    }
    for history in histories {
        let name = format!("memory while reading, {} executions", history.name);
        table.figures.push(Figure::new(&name, &[history.server.memory()], "MiB", None));
    }
}
