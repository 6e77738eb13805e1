//! A server process of the built program, on a data directory of its own. Killed when dropped.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    Run, User, automa,
    client::{Client, PASSWORD},
    command, command_of, public_dir,
    running::Running,
};

/// A server that may be stopped, killed and started again on the same data.
#[derive(Debug)]
#[must_use = "dropping it kills it"]
pub struct Server {
    user: User,
    running: Option<Running<'static>>,
    url: String,
    setup_link: Option<String>,
    variables: Vec<(&'static str, String)>,
    /// Size of the file system of its own that its data is on, if it is.
    disk_mib: Option<u64>,
    /// Goes last.
    dir: TempDir,
}

impl Server {
    /// Starts a server that has no users yet, as root where the tests may.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_as(User::all()[0], &[("AUTOMA_RATE_LIMIT", "off")])
    }

    /// Starts a server that has no users yet, with these variables in its environment.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_as(user: User, variables: &[(&'static str, &str)]) -> Self {
        let mut server = Self::new(user, variables);
        server.begin(true);
        server
    }

    /// Starts a server whose data is on a small file system in memory, which nobody else sees and
    /// which ends with it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_on_disk_of(mebibytes: u64) -> Self {
        let mut server = Self::new(User::all()[0], &[("AUTOMA_RATE_LIMIT", "off")]);
        server.disk_mib = Some(mebibytes);
        server.begin(true);
        server
    }

    /// Starts a server on data that `prepare` puts into its directory, where there is a user.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_with(prepare: impl FnOnce(&Path)) -> Self {
        let mut server = Self::new(User::all()[0], &[("AUTOMA_RATE_LIMIT", "off")]);
        prepare(&server.data());
        server.begin(false);
        server
    }

    fn new(user: User, variables: &[(&'static str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            user,
            running: None,
            url: String::new(),
            setup_link: None,
            variables: variables.collect(),
            disk_mib: None,
            dir: public_dir(),
        }
    }

    /// Starts the process and reads the lines that it begins with.
    #[track_caller]
    fn begin(&mut self, without_users: bool) {
        let running = Running::start(&mut self.serve_command(), None);
        let line = |what: &str| {
            let line = running.line();
            let found = line.strip_prefix(what).and_then(|rest| rest.strip_suffix('\n'));
            found.unwrap_or_else(|| panic!("{what:?} was expected, not {line:?}")).to_owned()
        };
        self.url = line("listening on ");
        self.setup_link = without_users.then(|| line("set up at "));
        self.running = Some(running);
    }

    /// A command that serves this data on a free port.
    #[must_use]
    pub fn serve_command(&self) -> Command {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = match self.disk_mib {
            None => self.command(&serve),
            Some(mebibytes) => {
                let mut command = command_of(Path::new("/usr/bin/unshare"), self.user);
                // An ordinary user may mount only where they are root: in a namespace of their own.
                command.arg(if geteuid().is_root() { "-m" } else { "-rm" });
                let mount = format!("mount -t tmpfs -o size={mebibytes}m,mode=0777 tmpfs \"$0\"");
                command.args(["sh", "-c", &format!("{mount} && exec \"$@\"")]);
                command.arg(self.dir.path()).arg(automa()).args(serve);
                command.arg("--data").arg(self.data());
                command
            }
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A command of Automa about this data, as the server's user.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.user);
        command.args(args).arg("--data").arg(self.data());
        command
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its data directory, as it is to the server itself.
    ///
    /// # Panics
    ///
    /// When it was ended.
    #[must_use]
    pub fn data_within(&self) -> PathBuf {
        let data = self.data();
        let below = data.strip_prefix("/").unwrap_or(&data);
        Path::new("/proc").join(self.process().pid().to_string()).join("root").join(below)
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The link with which the first admin is made, as it was printed.
    ///
    /// # Panics
    ///
    /// When none was printed.
    #[must_use]
    pub fn setup_link(&self) -> &str {
        self.setup_link.as_deref().expect("it had no users when it started")
    }

    /// The token in that link.
    ///
    /// # Panics
    ///
    /// When none was printed.
    #[must_use]
    pub fn setup_token(&self) -> &str {
        self.setup_link().split_once("/setup?token=").expect("the link has a token").1
    }

    /// Its process.
    ///
    /// # Panics
    ///
    /// When it was ended.
    pub fn process(&self) -> &Running<'static> {
        self.running.as_ref().expect("the server was ended")
    }

    /// Somebody who has not signed in.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url)
    }

    /// Creates the first admin, `admin`, and signs in.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub async fn set_up(&self) -> Client {
        let body = json!({
            "token": self.setup_token(),
            "username": "admin",
            "email": "admin@example.com",
            "password": PASSWORD,
        });
        let client = self.anonymous();
        let tokens = client.post("/api/v1/auth/setup", body).await.json(201);
        client.with_token(tokens["access_token"].as_str().expect("there is a token"))
    }

    /// Adds a user with the usual password; no server may run.
    ///
    /// # Panics
    ///
    /// When that is refused.
    #[track_caller]
    pub fn add_user(&self, name: &str, role: &str) {
        let mut command = self.command(&["user", "add", name, "--role", role, "--password-stdin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Ends it by a signal and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it stays.
    #[track_caller]
    pub fn end_by(&mut self, signal: Signal) -> Run {
        self.process().signal(signal);
        self.end()
    }

    /// Waits for the end of a server that has its signal already.
    ///
    /// # Panics
    ///
    /// When it stays.
    #[track_caller]
    pub fn end(&mut self) -> Run {
        self.running.take().expect("the server was ended").end()
    }

    /// Starts it again on the same data, where there is a user by now.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.running.is_none(), "it still runs");
        self.begin(false);
    }

    /// Starts it again where there is no user yet.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn restart_without_users(&mut self) {
        assert!(self.running.is_none(), "it still runs");
        self.begin(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running
            && std::thread::panicking()
        {
            eprintln!("the server's messages:\n{}", running.errors());
        }
    }
}
