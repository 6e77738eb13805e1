//! What the way through HTTP costs: a real server process with everything on (sandbox, durability,
//! authentication), each figure beside the same thing done bare.

mod burst;
mod client;
mod hello;
mod history;
mod live;
mod process;
mod rate;
mod result;

pub(super) use hello::serve as serve_hello;

use super::table::Table;
use process::Server;

/// How often things are measured.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    /// Submissions that are waited for, for each script.
    results: usize,
    /// Starts of a server.
    starts: usize,
    /// Lines of a log.
    lines: usize,
    /// Bursts of submissions.
    bursts: usize,
    /// Windows of time in which requests are counted.
    windows: usize,
}

const FULL: Rounds = Rounds { results: 200, starts: 20, lines: 300, bursts: 5, windows: 10 };
const QUICK: Rounds = Rounds { results: 30, starts: 5, lines: 60, bursts: 2, windows: 3 };

/// Measures everything; each part has a server with data of its own.
pub(super) async fn measure(quick: bool) -> Result<Vec<Table>, String> {
    let rounds = if quick { QUICK } else { FULL };
    let mut table = Table::new(format!(
        "Through HTTP (medians of {} results, {} lines, {} starts, {} windows; bare ones in between)",
        rounds.results, rounds.lines, rounds.starts, rounds.windows
    ));
    process::measure(&mut table, rounds.starts).await?;
    let server = Server::start()?;
    let token = server.set_up().await?;
    result::measure(&mut table, &server, &token, rounds.results).await?;
    live::measure(&mut table, &server, &token, rounds.lines).await?;
    rate::measure_list(&mut table, &server, &token, rounds.windows).await?;
    burst::measure(&mut table, &server, &token, rounds.bursts).await?;
    // Last of all, as what was accepted keeps the server busy for long.
    rate::measure_accepted(&mut table, &server, &token, rounds.windows).await?;
    drop(server);
    let mut history = Table::new(format!(
        "A long history through HTTP (medians of {} windows; ratios to the shortest)",
        rounds.windows
    ));
    history::measure(&mut history, rounds.windows, quick).await?;
    Ok(vec![table, history])
}
