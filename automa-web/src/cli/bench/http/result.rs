//! From a submission to its result, in one request, against running the script by hand.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use automa_core::script::Language;
use hyper::StatusCode;
use serde_json::json;

use super::{
    super::table::{Row, Table},
    client::Client,
    process::Server,
};

/// A small script, and what it may take against its bare run.
struct Hello {
    name: &'static str,
    language: Language,
    source: &'static str,
    prints: &'static str,
    target: f64,
}

const HELLOS: [Hello; 2] = [
    Hello {
        name: "hello.sh",
        language: Language::Bash,
        source: "echo hello\n",
        prints: "hello\n",
        target: 3.5,
    },
    Hello {
        name: "hello.py",
        language: Language::Python,
        source: "print(sum(i * i for i in range(100)))\n",
        prints: "328350\n",
        target: 1.3,
    },
];

/// Rounds that warm caches and are not counted.
const WARMING: usize = 3;

/// Measures both scripts in turns.
pub(super) async fn measure(
    table: &mut Table,
    server: &Server,
    token: &str,
    rounds: usize,
) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut client = Client::connect(server.address, Some(token)).await?;
    let mut requests = Vec::new();
    let mut commands = Vec::new();
    for hello in &HELLOS {
        let language = hello.language.name();
        let script = json!({ "name": hello.name, "language": language, "source": hello.source });
        let script = client.post("/api/v1/scripts", &script, StatusCode::CREATED).await?;
        // The quota is kept, but too large to slow such a run down.
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        requests.push(json!({ "script_id": script["id"], "limits": { "cpus": cpus } }));
        let file = directory.path().join(hello.name);
        std::fs::write(&file, hello.source).map_err(|error| error.to_string())?;
        let runtime = hello.language.runtime().map_err(|error| error.to_string())?;
        commands.push([runtime.program().to_owned(), file]);
    }
    let mut bare = [Vec::new(), Vec::new()];
    let mut submitted = [Vec::new(), Vec::new()];
    for round in 0..rounds + WARMING {
        for (index, hello) in HELLOS.iter().enumerate() {
            let by_hand = run_bare(hello, &commands[index])?;
            let begun = Instant::now();
            let path = "/api/v1/executions?wait=30";
            let execution = client.post(path, &requests[index], StatusCode::OK).await?;
            let elapsed = begun.elapsed();
            if execution["state"] != "succeeded" || execution["output"] != hello.prints {
                return Err(format!("{}: {execution}", hello.name));
            }
            if round >= WARMING {
                bare[index].push(by_hand);
                submitted[index].push(elapsed);
            }
        }
    }
    for (index, hello) in HELLOS.iter().enumerate() {
        let row = Row::new(&format!("{}: bare", hello.name), &bare[index], None, None);
        let compared = Some(row.median_us);
        table.rows.push(row);
        let name = format!("{}: submit → result", hello.name);
        table.rows.push(Row::new(&name, &submitted[index], compared, Some(hello.target)));
    }
    Ok(())
}

/// Runs a script by its interpreter until it has ended and its output was read.
#[expect(clippy::disallowed_methods, reason = "the bare counterpart")]
fn run_bare(hello: &Hello, argv: &[std::path::PathBuf; 2]) -> Result<Duration, String> {
    let begun = Instant::now();
    let child = Command::new(&argv[0])
        .arg(&argv[1])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let output = child.and_then(std::process::Child::wait_with_output);
    let elapsed = begun.elapsed();
    match output {
        Ok(output) if output.stdout == hello.prints.as_bytes() => Ok(elapsed),
        other => Err(format!("{}, bare: {other:?}", hello.name)),
    }
}
