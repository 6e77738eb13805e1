//! `automa user`: accounts, from the command line of the server's machine.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use automa_core::{
    Automa,
    actor::{Actor, Role},
    user::NewUser,
};
use clap::Subcommand;
use secrecy::ExposeSecret as _;

use super::{block_on, explain, serve::DATA};

/// Arguments of `automa user`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create an account, while no server runs on the data directory
    Add(Add),
    /// Take an account's password away and print a link for a new one, while no server runs on the
    /// data directory
    Reset(Reset),
}

#[derive(Debug, clap::Args)]
struct Reset {
    /// The account's name or e-mail address
    name: String,
    /// Where the server keeps everything
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// Where the server listens
    #[arg(long, env = "AUTOMA_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    listen: SocketAddr,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The account's name: letters, digits, dots, dashes and underscores
    name: String,
    /// What it may do: viewer, operator or admin
    #[arg(long, value_parser = role, default_value = "operator")]
    role: Role,
    /// Its e-mail address; NAME@localhost unless told
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input: at least 12 characters, one line
    #[arg(long, required = true)]
    password_stdin: bool,
    /// Where the server keeps everything
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
}

fn role(name: &str) -> Result<Role, String> {
    let roles = [Role::Viewer, Role::Operator, Role::Admin];
    let found = roles.into_iter().find(|role| role.to_string() == name);
    found.ok_or_else(|| "must be viewer, operator or admin".to_owned())
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    let done = match args.action {
        Action::Add(add) => block_on(add.run()),
        Action::Reset(reset) => block_on(reset.run()),
    };
    match done.map_err(Into::into).flatten() {
        Ok(said) => {
            // Whoever closed stdout does not want to know.
            let _ = writeln!(io::stdout(), "{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("automa: {}", explain(&*error));
            ExitCode::FAILURE
        }
    }
}

impl Add {
    async fn run(self) -> Result<String, Box<dyn std::error::Error>> {
        let mut password = String::new();
        // A password is never longer: an endless input is no password.
        io::stdin().take(4096).read_to_string(&mut password)?;
        let password = password.lines().next().unwrap_or_default().to_owned();
        let automa = Automa::builder().directory(self.data).open()?;
        let email = self.email.unwrap_or_else(|| format!("{}@localhost", self.name));
        let new =
            NewUser { username: self.name, email, password: password.into(), role: self.role };
        let added = add(&automa, new).await;
        automa.close().await;
        added
    }
}

async fn add(automa: &Automa, new: NewUser) -> Result<String, Box<dyn std::error::Error>> {
    // The setup link is gone once there is an account: nobody could ever make another one.
    if new.role != Role::Admin && automa.setup().is_open()? {
        return Err("there is no account yet, and the first one has to be an admin: add \
                    `--role admin`, or open the setup link that `automa serve` prints"
            .into());
    }
    let actor = Actor::embedder("command line");
    Ok(format!("added {}", automa.users(&actor).create(new).await?.username))
}

impl Reset {
    async fn run(self) -> Result<String, Box<dyn std::error::Error>> {
        let automa = Automa::builder().directory(self.data).open()?;
        let actor = Actor::embedder("command line");
        let users = automa.users(&actor);
        let link = match users.named(&self.name) {
            Ok(user) => users.reset(user.id).await,
            Err(error) => Err(error),
        };
        automa.close().await;
        let token = link?.token;
        Ok(format!("http://{}/reset?token={}", self.listen, token.expose_secret()))
    }
}
