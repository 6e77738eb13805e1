//! Requests per second: submissions accepted durably, and reading the list of executions.

use std::{
    fs::File,
    io::Write,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::table::{Figure, Row, Table, Target},
    client::Client,
    process::Server,
};

/// Clients that submit at the same time, and clients that read.
const SUBMITTING: usize = 64;
pub(super) const READING: usize = 8;

/// How long requests are counted at a time.
const WINDOW: Duration = Duration::from_millis(500);

/// Size of a record that is written by hand: about that of an execution.
const RECORD: usize = 300;

/// Executions on a page.
const PAGE: usize = 50;

/// Accepted submissions, against records that a program appends to a file and syncs one by one,
/// and against requests that say hello.
pub(super) async fn measure_accepted(
    table: &mut Table,
    server: &Server,
    token: &str,
    windows: usize,
) -> Result<(), String> {
    let hello = Server::start_hello()?;
    let mut greeters = connect(&hello, None, SUBMITTING).await?;
    let mut submitters = connect(server, Some(token), SUBMITTING).await?;
    let body = json!({ "language": "bash", "source": "echo hello" });
    let body = Bytes::from(body.to_string());
    let submission = (Method::POST, "/api/v1/executions", Some(&body), StatusCode::ACCEPTED);
    let (mut synced, mut greeted, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
    let mut times = Vec::new();
    for _ in 0..windows {
        synced.push(append_and_sync().map_err(|error| error.to_string())?);
        greeted.push(count(&mut greeters, &HELLO).await?);
        accepted.push(count_and_time(&mut submitters, &submission, &mut times).await?);
    }
    table.rows.push(Row::new("a submission among those of 64 clients", &times, None, None));
    let bare = Figure::new("records of 300 bytes appended and synced by hand", &synced, "/s", None);
    let compared = Some(bare.value);
    table.figures.push(bare);
    table.figures.push(Figure::new("poem hello, 64 clients", &greeted, "/s", None));
    let name = "submissions accepted durably, 64 clients";
    let figure = Figure::new(name, &accepted, "/s", compared);
    table.figures.push(figure.target(Target::AtLeast(3000.0)));
    Ok(())
}

/// The newest executions, against requests that say hello.
pub(super) async fn measure_list(
    table: &mut Table,
    server: &Server,
    token: &str,
    windows: usize,
) -> Result<(), String> {
    let hello = Server::start_hello()?;
    let mut greeters = connect(&hello, None, READING).await?;
    let mut readers = connect(server, Some(token), READING).await?;
    let path = format!("/api/v1/executions?limit={PAGE}");
    let page = readers[0].answer(Method::GET, &path, None, StatusCode::OK).await?;
    let page: Value = serde_json::from_slice(&page).map_err(|error| error.to_string())?;
    if page["items"].as_array().map(Vec::len) != Some(PAGE) {
        return Err(format!("there are not {PAGE} executions to read"));
    }
    let list = (Method::GET, path.as_str(), None, StatusCode::OK);
    let (mut greeted, mut read) = (Vec::new(), Vec::new());
    for _ in 0..windows {
        greeted.push(count(&mut greeters, &HELLO).await?);
        read.push(count(&mut readers, &list).await?);
    }
    let bare = Figure::new("poem hello, 8 clients", &greeted, "/s", None);
    let compared = Some(bare.value);
    table.figures.push(bare);
    let list = Figure::new("newest 50 executions, 8 clients", &read, "/s", compared);
    table.figures.push(list.target(Target::RatioAtLeast(0.1)));
    Ok(())
}

/// A request and the status that it is answered with.
pub(super) type Asked<'a> = (Method, &'a str, Option<&'a Bytes>, StatusCode);

const HELLO: Asked<'static> = (Method::GET, "/health", None, StatusCode::OK);

pub(super) async fn connect(
    server: &Server,
    token: Option<&str>,
    clients: usize,
) -> Result<Vec<Client>, String> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(Client::connect(server.address, token).await?);
    }
    Ok(connected)
}

/// All clients send the request again and again for a while: requests per second.
pub(super) async fn count(clients: &mut [Client], asked: &Asked<'_>) -> Result<f64, String> {
    count_and_time(clients, asked, &mut Vec::new()).await
}

/// The same; `times` gets how long each request took.
async fn count_and_time(
    clients: &mut [Client],
    asked: &Asked<'_>,
    times: &mut Vec<Duration>,
) -> Result<f64, String> {
    let begun = Instant::now();
    let each = clients.iter_mut().map(async |client| {
        let mut took = Vec::new();
        while begun.elapsed() < WINDOW {
            let (method, path, body, status) = asked.clone();
            let asked = Instant::now();
            client.answer(method, path, body, status).await?;
            took.push(asked.elapsed());
        }
        Ok::<_, String>(took)
    });
    let mut answered = 0;
    for took in futures_util::future::join_all(each).await {
        let took = took?;
        answered += u32::try_from(took.len()).unwrap_or(u32::MAX);
        times.extend(took);
    }
    Ok(f64::from(answered) / begun.elapsed().as_secs_f64())
}

/// One program, one file, one record at a time: records per second.
fn append_and_sync() -> std::io::Result<f64> {
    let mut file: File = tempfile::tempfile()?;
    let begun = Instant::now();
    let mut written = 0_u32;
    while begun.elapsed() < WINDOW {
        file.write_all(&[b'x'; RECORD])?;
        file.sync_data()?;
        written += 1;
    }
    Ok(f64::from(written) / begun.elapsed().as_secs_f64())
}
