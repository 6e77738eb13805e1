//! A burst of small scripts, durable and waited for, against the same scripts run by hand, as many
//! at a time.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use automa_core::script::Language;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;

use super::{
    super::table::{Figure, Table, Target},
    process::Server,
    rate::connect,
};

/// Executions of one burst.
const BURST: usize = 200;

/// Measures bursts, in turns.
pub(super) async fn measure(
    table: &mut Table,
    server: &Server,
    token: &str,
    rounds: usize,
) -> Result<(), String> {
    // As many as a server runs at a time.
    let at_a_time = std::thread::available_parallelism().map_or(1, usize::from);
    let source = "echo hello\n";
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = directory.path().join("hello.sh");
    std::fs::write(&file, source).map_err(|error| error.to_string())?;
    let runtime = Language::Bash.runtime().map_err(|error| error.to_string())?;
    let mut clients = connect(server, Some(token), BURST).await?;
    let body = json!({ "language": "bash", "source": source, "limits": { "cpus": at_a_time } });
    let body = Bytes::from(body.to_string());
    let (mut bare, mut executed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(run_bare(runtime.program(), &file, at_a_time)?);
        let begun = Instant::now();
        let each = clients.iter_mut().map(async |client| {
            let path = "/api/v1/executions?wait=60";
            client.answer(Method::POST, path, Some(&body), StatusCode::OK).await
        });
        for answer in futures_util::future::join_all(each).await {
            let answer = answer?;
            if !String::from_utf8_lossy(&answer).contains("\"succeeded\"") {
                return Err(String::from_utf8_lossy(&answer).into_owned());
            }
        }
        executed.push(per_second(begun));
    }
    let name = format!("200 × hello.sh by hand, {at_a_time} at a time");
    let figure = Figure::new(&name, &bare, "/s", None);
    let compared = Some(figure.value);
    table.figures.push(figure);
    let figure =
        Figure::new("burst of 200 × hello.sh until all have ended", &executed, "/s", compared);
    table.figures.push(figure.target(Target::RatioAtLeast(0.6)));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn per_second(begun: Instant) -> f64 {
    BURST as f64 / begun.elapsed().as_secs_f64()
}

/// Runs them by hand, each with its output read: how many in a second.
#[expect(clippy::disallowed_methods, reason = "the bare counterpart")]
fn run_bare(program: &Path, file: &Path, at_a_time: usize) -> Result<f64, String> {
    let start = || -> std::io::Result<Child> {
        let mut command = Command::new(program);
        command.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn()
    };
    let begun = Instant::now();
    let running = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_a_time)
            .map(|worker| {
                scope.spawn(move || {
                    for _ in (worker..BURST).step_by(at_a_time) {
                        let output = start()?.wait_with_output()?;
                        if output.stdout != b"hello\n" {
                            return Err(std::io::Error::other(format!("{output:?}")));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for worker in running {
        let worked = worker.map_err(|_| "a worker panicked".to_owned())?;
        worked.map_err(|error: std::io::Error| error.to_string())?;
    }
    Ok(per_second(begun))
}
