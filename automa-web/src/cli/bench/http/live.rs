//! How long a line is on its way from the script that prints it to a client that watches the log.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use automa_core::script::Language;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::table::{Row, Table},
    client::Client,
    process::Server,
};

/// What a line may take, in microseconds.
const TARGET_US: f64 = 500.0;

/// Lines of one run.
const LINES: usize = 30;

/// A script that prints what time it is, with pauses. The clock is the one that sandboxes share
/// with the host.
fn clock() -> String {
    format!(
        "import time\nfor _ in range({LINES}):\n    time.sleep(0.01)\n    \
         print(time.time_ns(), flush=True)\n"
    )
}

/// Time since a line was printed.
#[expect(clippy::disallowed_methods, reason = "the one clock that processes have in common")]
fn since(line: &str) -> Result<Duration, String> {
    let printed: u64 = line.trim().parse().map_err(|_| format!("not a time: {line:?}"))?;
    let printed = SystemTime::UNIX_EPOCH + Duration::from_nanos(printed);
    // Negative only when the clock was set meanwhile.
    Ok(SystemTime::now().duration_since(printed).unwrap_or_default())
}

/// Runs the script in turns bare, read through its pipe, and as an execution, read by events.
pub(super) async fn measure(
    table: &mut Table,
    server: &Server,
    token: &str,
    lines: usize,
) -> Result<(), String> {
    let mut submitter = Client::connect(server.address, Some(token)).await?;
    let mut reader = Client::connect(server.address, Some(token)).await?;
    let (mut bare, mut watched) = (Vec::new(), Vec::new());
    while watched.len() < lines {
        run_bare(&mut bare)?;
        let body = json!({ "language": "python", "source": clock() });
        let execution = submitter.post("/api/v1/executions", &body, StatusCode::ACCEPTED).await?;
        let id = execution["id"].as_str().ok_or("an execution without an id")?;
        let before = watched.len();
        watch(&mut reader, id, &mut watched).await?;
        if watched.len() == before {
            return Err("no line was seen live".to_owned());
        }
    }
    let row = Row::new("a line: print → pipe read directly", &bare, None, None);
    let compared = Some(row.median_us);
    table.rows.push(row);
    let row = Row::new("a line: print → HTTP client", &watched, compared, None);
    table.rows.push(row.at_most(TARGET_US));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the bare counterpart")]
fn run_bare(delays: &mut Vec<Duration>) -> Result<(), String> {
    let runtime = Language::Python.runtime().map_err(|error| error.to_string())?;
    let mut command = Command::new(runtime.program());
    command.arg("-c").arg(clock()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    for line in BufReader::new(child.stdout.take().ok_or("no pipe")?).lines() {
        delays.push(since(&line.map_err(|error| error.to_string())?)?);
    }
    child.wait().map(drop).map_err(|error| error.to_string())
}

/// Follows a log to its end and notes how old each line is, except those from before.
async fn watch(client: &mut Client, id: &str, delays: &mut Vec<Duration>) -> Result<(), String> {
    let path = format!("/api/v1/executions/{id}/log/stream");
    let answer = client.send(Method::GET, &path, None).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("{path}: {}", answer.status()));
    }
    let opened = std::time::Instant::now();
    let mut body = answer.into_body();
    let mut unread = String::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("{path}: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        unread.push_str(&String::from_utf8_lossy(&data));
        while let Some((event, rest)) = unread.split_once("\n\n") {
            note(event, opened, delays)?;
            unread = rest.to_owned();
        }
    }
    Ok(())
}

/// Notes the lines of one event.
fn note(event: &str, opened: std::time::Instant, delays: &mut Vec<Duration>) -> Result<(), String> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("event:") != Some("log") {
        return Ok(());
    }
    let data = field("data:").ok_or("an event without data")?;
    let window: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
    for line in window["lines"].as_array().into_iter().flatten() {
        let delay = since(line["text"].as_str().unwrap_or_default())?;
        if delay < opened.elapsed() {
            delays.push(delay);
        }
    }
    Ok(())
}
