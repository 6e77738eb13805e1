//! `automa audit`: proves that nothing in an audit log was changed, with and without a server.

use std::{
    fs::File,
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use automa_core::{
    Automa,
    actor::Actor,
    audit::{Checkpoint, PublicKey, Verdict, verify_export},
    error::StoreError,
};

use super::{block_on, explain, serve::DATA};

/// Arguments of `automa audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Prove that no entry was changed, removed or moved
    Verify(Verify),
    /// Print the public key that checkpoints are signed with
    Key(Data),
}

/// Where data is kept.
#[derive(Debug, clap::Args)]
struct Data {
    /// Where the server keeps everything, while it does not run
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    data: Data,
    /// Instead, an export in JSON lines: of a server that runs, say, from `/api/v1/audit/export`; `-` is
    /// standard input
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Accept checkpoints of this key only; may be there several times
    #[arg(long, value_name = "KEY")]
    public_key: Vec<PublicKey>,
    /// A text with checkpoints that were kept elsewhere, such as a server's log: each has to be true
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Verify(verify) => verify.run(),
        Command::Key(data) => key(&data.data),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("automa: {problem}");
        ExitCode::from(2)
    })
}

impl Verify {
    /// 0 when all is right, 1 when something is wrong with the log.
    fn run(self) -> Result<ExitCode, String> {
        let kept = match &self.checkpoints {
            None => Vec::new(),
            Some(path) => kept(path)?,
        };
        let verdict = match &self.export {
            Some(path) => of_export(path, &self.public_key, &kept)?,
            None => of_data(&self.data.data, self.public_key, kept)?,
        };
        tell(&verdict).map_err(|error| error.to_string())?;
        Ok(if verdict.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The checkpoints in a text.
fn kept(path: &Path) -> Result<Vec<Checkpoint>, String> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let kept: Vec<_> = Checkpoint::all_in(&String::from_utf8_lossy(&bytes)).collect();
    if kept.is_empty() { Err(format!("{} has no checkpoints", path.display())) } else { Ok(kept) }
}

fn of_export(path: &Path, trusted: &[PublicKey], kept: &[Checkpoint]) -> Result<Verdict, String> {
    let found = if path == Path::new("-") {
        verify_export(io::stdin().lock(), trusted, kept)
    } else {
        File::open(path).and_then(|file| verify_export(BufReader::new(file), trusted, kept))
    };
    found.map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

fn of_data(data: &Path, trusted: Vec<PublicKey>, kept: Vec<Checkpoint>) -> Result<Verdict, String> {
    let automa = open(data)?;
    let me = Actor::embedder("command line");
    let found = block_on(async { automa.audit(&me).verify(trusted, kept).await });
    let found = found.map_err(|error| error.to_string())?;
    found.map_err(|error| explain(&error))
}

fn key(data: &Path) -> Result<ExitCode, String> {
    let me = Actor::embedder("command line");
    let key = open(data)?.audit(&me).public_key().map_err(|error| explain(&error))?;
    writeln!(io::stdout(), "{key}").map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn open(data: &Path) -> Result<Automa, String> {
    if !data.join("automa.redb").exists() {
        return Err(format!("there is no Automa in {}", data.display()));
    }
    Automa::builder().directory(data).open().map_err(|error| match error {
        automa_core::Error::Store(StoreError::InUse { .. }) => format!(
            "a server is running on {}: export its log from /api/v1/audit/export and give that with \
             --export, or ask it at /api/v1/audit/verify",
            data.display()
        ),
        error => explain(&error),
    })
}

/// Says what was found.
fn tell(verdict: &Verdict) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match &verdict.broken {
        None => writeln!(out, "intact: {} entries, up to {}", verdict.entries, verdict.last)?,
        Some(broken) => writeln!(out, "BROKEN: {broken}")?,
    }
    match &verdict.signed {
        None => writeln!(out, "nothing of it has been signed"),
        Some(signed) => {
            let (number, at, key) = (signed.number, signed.at(), signed.key);
            writeln!(out, "signed up to {number} at {at}, with the key {key}\n{signed}")
        }
    }
}
