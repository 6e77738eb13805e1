//! Server processes: starting them, how long that takes, and what they need while nothing happens.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hyper::{Method, StatusCode};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tempfile::TempDir;

use super::{
    super::table::{Figure, Row, Table, Target},
    client::Client,
};

/// What a start may take, in microseconds, and what an idle server may use, in MiB.
const START_US: f64 = 50_000.0;
const IDLE_MIB: f64 = 15.0;

/// A process of this program that serves; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    setup_token: Option<String>,
    /// Automa's own data; goes last.
    data: Option<TempDir>,
}

impl Server {
    /// Starts Automa on data of its own.
    pub(super) fn start() -> Result<Self, String> {
        Self::start_on(tempfile::tempdir().map_err(|error| error.to_string())?)
    }

    /// Starts Automa on data of its own, in which there are so many executions already.
    #[expect(clippy::disallowed_methods, reason = "what is measured is this program itself")]
    pub(super) fn start_after(rows: u64) -> Result<Self, String> {
        let data = tempfile::tempdir().map_err(|error| error.to_string())?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut seed = Command::new(program);
        seed.args(["bench-seed", "--rows", &rows.to_string(), "--data"]).arg(place(&data));
        let seeded = seed.stderr(Stdio::null()).status().map_err(|error| error.to_string())?;
        if !seeded.success() {
            return Err(format!("`automa bench-seed --rows {rows}` failed: {seeded}"));
        }
        Self::start_on(data)
    }

    fn start_on(data: TempDir) -> Result<Self, String> {
        let path = place(&data).display().to_string();
        let args = ["serve", "--listen", "127.0.0.1:0", "--data", &path];
        Self::spawn(&args, Some(data), true)
    }

    /// Ends it in order, and starts it again on the same data.
    pub(super) fn restart(mut self) -> Result<Self, String> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).map_err(|error| error.to_string())?;
        self.child.wait().map_err(|error| error.to_string())?;
        let data = self.data.take().ok_or("a server without data")?;
        let path = place(&data).display().to_string();
        Self::spawn(&["serve", "--listen", "127.0.0.1:0", "--data", &path], Some(data), false)
    }

    /// Starts the bare counterpart.
    pub(super) fn start_hello() -> Result<Self, String> {
        Self::spawn(&["bench", "--hello"], None, false)
    }

    #[expect(clippy::disallowed_methods, reason = "what is measured is this program itself")]
    fn spawn(args: &[&str], data: Option<TempDir>, is_new: bool) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(args).env("AUTOMA_RATE_LIMIT", "off").env("AUTOMA_LOG", "error");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let stdout = child.stdout.take();
        // From here on it is killed when something goes wrong.
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, address: unbound, setup_token: None, data };
        let mut lines = BufReader::new(stdout.ok_or("no pipe")?).lines();
        let mut line = |before: &str| {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            let found = line.split_once(before).map(|(_, rest)| rest.to_owned());
            found.ok_or_else(|| format!("the server said {line:?}, not {before:?}"))
        };
        let address = line("listening on http://")?;
        server.address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        server.setup_token = is_new.then(|| line("/setup?token=")).transpose()?;
        Ok(server)
    }

    /// Creates the first admin: an access token.
    pub(super) async fn set_up(&self) -> Result<String, String> {
        let body = json!({
            "token": self.setup_token,
            "username": "bench",
            "email": "bench@example.com",
            "password": "a password for a benchmark",
        });
        let mut client = Client::connect(self.address, None).await?;
        let tokens = client.post("/api/v1/auth/setup", &body, StatusCode::CREATED).await?;
        Ok(tokens["access_token"].as_str().ok_or("no access token")?.to_owned())
    }

    pub(super) async fn is_healthy(&self) -> Result<(), String> {
        let mut client = Client::connect(self.address, None).await?;
        client.answer(Method::GET, "/health", None, StatusCode::OK).await.map(drop)
    }

    /// Memory of the process and all below it, in MiB: what is shared is divided by its users.
    pub(super) fn memory(&self) -> f64 {
        let mut pids = vec![self.child.id()];
        let mut kib = 0.0;
        while let Some(pid) = pids.pop() {
            let sizes = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            let pss = sizes.iter().flat_map(|sizes| sizes.lines()).find_map(|line| {
                line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok()
            });
            kib += pss.unwrap_or(0.0);
            pids.extend(children(pid));
        }
        kib / 1024.0
    }
}

/// The data directory, which is to be made.
fn place(data: &TempDir) -> PathBuf {
    data.path().join("data")
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that this one's threads have started.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads
        .map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// From starting a process until it answers, and its memory then.
pub(super) async fn measure(table: &mut Table, rounds: usize) -> Result<(), String> {
    let (mut hello, mut automa) = (Times::default(), Times::default());
    for _ in 0..rounds {
        hello.add(Server::start_hello).await?;
        automa.add(Server::start).await?;
    }
    let row = Row::new("poem hello: start → healthy", &hello.start, None, None);
    let bare = Some(row.median_us);
    table.rows.push(row);
    let row = Row::new("automa serve: start → healthy", &automa.start, bare, None);
    table.rows.push(row.at_most(START_US));
    let hello = Figure::new("poem hello: idle memory", &hello.memory, "MiB", None);
    let bare = Some(hello.value);
    table.figures.push(hello);
    let idle = Figure::new("automa serve: idle memory, sandbox ready", &automa.memory, "MiB", bare);
    table.figures.push(idle.target(Target::AtMost(IDLE_MIB)));
    Ok(())
}

#[derive(Default)]
struct Times {
    start: Vec<Duration>,
    memory: Vec<f64>,
}

impl Times {
    async fn add(&mut self, start: impl Fn() -> Result<Server, String>) -> Result<(), String> {
        let begun = Instant::now();
        let server = start()?;
        server.is_healthy().await?;
        self.start.push(begun.elapsed());
        // What a start leaves to be done has been done by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.memory.push(server.memory());
        Ok(())
    }
}
