//! `automa vault`: the master key, from the command line of the server's machine.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use automa_core::{
    Automa,
    actor::Actor,
    credential::{KeySource, MasterKeys, VaultError},
};
use clap::Subcommand;
use secrecy::SecretString;

use super::{block_on, explain, serve::DATA};

/// Arguments of `automa vault`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put a new master key in place of the current one, while no server runs on the data directory;
    /// or finish what was begun
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    keys: KeyArgs,
    /// Where the server keeps everything
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
}

/// Which master key secrets are sealed by: of the environment, because everybody can see the arguments of
/// a process. Without any, that in the file `master.key` of the data directory.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KeyArgs {
    /// 32 bytes, as 64 hexadecimal digits or base64
    #[arg(long = "master-key", env = "AUTOMA_MASTER_KEY", hide = true, hide_env_values = true)]
    key: Option<String>,
    /// The one before, while secrets may still be sealed by it
    #[arg(
        long = "master-key-old",
        env = "AUTOMA_MASTER_KEY_OLD",
        hide = true,
        hide_env_values = true
    )]
    key_old: Option<String>,
    /// At least 16 characters, of which the key is computed
    #[arg(
        long = "master-passphrase",
        env = "AUTOMA_MASTER_PASSPHRASE",
        hide = true,
        hide_env_values = true
    )]
    passphrase: Option<String>,
    /// The one before, while secrets may still be sealed by it
    #[arg(
        long = "master-passphrase-old",
        env = "AUTOMA_MASTER_PASSPHRASE_OLD",
        hide = true,
        hide_env_values = true
    )]
    passphrase_old: Option<String>,
}

impl KeyArgs {
    /// What they say.
    ///
    /// # Errors
    ///
    /// [`VaultError::WeakKey`]; and where two of a kind are given.
    pub(super) fn keys(self) -> Result<MasterKeys, Box<dyn std::error::Error>> {
        let source = |key: Option<String>, passphrase: Option<String>, end: &str| match (
            key.map(SecretString::from),
            passphrase.map(SecretString::from),
        ) {
            (None, None) => Ok(None),
            (Some(key), None) => match KeySource::parse(&key) {
                Ok(key) => Ok(Some(key)),
                Err(error @ VaultError::WeakKey) => Err(format!("AUTOMA_MASTER_KEY{end}: {error}")),
                Err(error) => Err(error.to_string()),
            },
            (None, Some(passphrase)) => Ok(Some(KeySource::Passphrase(passphrase))),
            (Some(_), Some(_)) => Err(format!(
                "AUTOMA_MASTER_KEY{end} and AUTOMA_MASTER_PASSPHRASE{end} are both set, and there is \
                     one master key: unset one"
            )),
        };
        let current = source(self.key, self.passphrase, "")?.unwrap_or_default();
        let former = source(self.key_old, self.passphrase_old, "_OLD")?;
        Ok(MasterKeys { current, former })
    }
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    let Action::Rotate(rotate) = args.action;
    match block_on(rotate.run()).map_err(Into::into).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("automa: {}", explain(&*error));
            ExitCode::FAILURE
        }
    }
}

impl Rotate {
    async fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let keys = self.keys.keys()?;
        let from_file = matches!(keys.current, KeySource::File);
        let automa = Automa::builder().directory(self.data).master_keys(keys).open()?;
        let me = Actor::embedder("command line");
        let credentials = automa.credentials(&me);
        if from_file && !credentials.rotation().await?.running {
            credentials.rotate().await?;
        }
        let mut wrapped = 0;
        credentials
            .finish_rotation(|done| {
                wrapped = done;
                eprintln!("automa: {done} secrets are sealed by the new key");
            })
            .await?;
        let key = credentials.rotation().await?.current.map(|key| key.id.to_string());
        automa.close().await;
        let key = key.unwrap_or_else(|| "made with the first credential".to_owned());
        writeln!(io::stdout(), "the master key is {key}; {wrapped} secrets were moved to it")?;
        Ok(())
    }
}
