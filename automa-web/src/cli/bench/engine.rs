//! The core alone, as a program embeds it: the same as through HTTP without a server and its client.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use automa_core::{
    Automa,
    actor::Actor,
    execution::{LimitsRequest, NewExecution, State},
    script::Language,
};

use super::table::{Figure, Row, Table, Target};

const SOURCE: &str = "echo hello\n";

/// Rounds that warm caches and are not counted.
const WARMING: usize = 3;
/// Submissions under way at the same time.
const SUBMITTING: usize = 64;
/// Submissions of one round, all in all.
const SUBMITTED: usize = 640;

/// Measures results in turns with bare ones, then how many submissions are accepted.
pub(super) async fn measure(quick: bool) -> Result<Vec<Table>, String> {
    let (results, rounds) = if quick { (30, 3) } else { (200, 10) };
    let mut table = Table::new(format!(
        "The core embedded (medians of {results} results and {rounds} rounds; bare ones in between)"
    ));
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let starting = Automa::builder().directory(directory.path().join("data")).start();
    let automa = starting.await.map_err(|error| error.to_string())?;
    let measured = async {
        let file = directory.path().join("hello.sh");
        std::fs::write(&file, SOURCE).map_err(|error| error.to_string())?;
        measure_results(&mut table, &automa, &file, results).await?;
        measure_accepted(&mut table, &automa, rounds).await
    };
    let measured = measured.await;
    automa.close_within(Duration::ZERO).await;
    measured.map(|()| vec![table])
}

fn hello() -> NewExecution {
    // The quota is kept, but too large to slow such a run down.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let cpus = u32::try_from(cpus).map_or(1.0, f64::from);
    let limits = LimitsRequest { cpus: Some(cpus), ..LimitsRequest::default() };
    NewExecution { limits, ..NewExecution::code(Language::Bash, SOURCE) }
}

async fn measure_results(
    table: &mut Table,
    automa: &Automa,
    file: &std::path::Path,
    results: usize,
) -> Result<(), String> {
    let runtime = Language::Bash.runtime().map_err(|error| error.to_string())?;
    let me = Actor::embedder("automa bench");
    let executions = automa.executions(&me);
    let (mut bare, mut embedded) = (Vec::new(), Vec::new());
    for round in 0..results + WARMING {
        let by_hand = run_bare(runtime.program(), file)?;
        let begun = Instant::now();
        let accepted = executions.submit(hello()).await.map_err(|error| error.to_string())?;
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        let ended = executions.wait(accepted.id, until).await.map_err(|error| error.to_string())?;
        let elapsed = begun.elapsed();
        if ended.state != State::Succeeded {
            return Err(format!("{ended:?}"));
        }
        if round >= WARMING {
            bare.push(by_hand);
            embedded.push(elapsed);
        }
    }
    let row = Row::new("hello.sh: bare", &bare, None, None);
    let compared = Some(row.median_us);
    table.rows.push(row);
    table.rows.push(Row::new("hello.sh: submit → ended", &embedded, compared, Some(3.5)));
    Ok(())
}

/// Runs the script by its interpreter until it has ended and its output was read.
#[expect(clippy::disallowed_methods, reason = "the bare counterpart")]
fn run_bare(program: &std::path::Path, file: &std::path::Path) -> Result<Duration, String> {
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().and_then(std::process::Child::wait_with_output);
    match output {
        Ok(output) if output.stdout == b"hello\n" => Ok(begun.elapsed()),
        other => Err(format!("hello.sh, bare: {other:?}")),
    }
}

async fn measure_accepted(table: &mut Table, automa: &Automa, rounds: usize) -> Result<(), String> {
    let me = Actor::embedder("automa bench");
    let executions = automa.executions(&me);
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let each = (0..SUBMITTING).map(|_| async {
            let mut took = Vec::new();
            for _ in 0..SUBMITTED / SUBMITTING {
                let asked = Instant::now();
                executions.submit(hello()).await.map_err(|error| error.to_string())?;
                took.push(asked.elapsed());
            }
            Ok::<_, String>(took)
        });
        for took in futures_util::future::join_all(each).await {
            times.extend(took?);
        }
        let submitted = u32::try_from(SUBMITTED).map_or(0.0, f64::from);
        rates.push(submitted / begun.elapsed().as_secs_f64());
    }
    table.rows.push(Row::new("a submission among 64 at a time", &times, None, None));
    let name = "submissions accepted durably, 64 at a time";
    table.figures.push(Figure::new(name, &rates, "/s", None).target(Target::AtLeast(3000.0)));
    Ok(())
}
