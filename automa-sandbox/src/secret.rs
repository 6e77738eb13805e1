//! Secrets: what a program is given and nobody else keeps.
//!
//! They travel with everything else that is to be run, in memory that server and slot share
//! (`zygote/plan.rs`), and in the message to an interpreter that waits. Both are wiped as soon as the
//! program has them, so that while it runs they are in its own memory only: not in that of its init, its
//! slot, the zygote or the server. Everything that held them on the way is overwritten when it is freed.

use std::ffi::CString;

use zeroize::Zeroizing;

use crate::{
    command::{MAX_STRING, c_string},
    error::Error,
    zygote,
};

/// Most secrets of one program.
pub const MAX_SECRETS: usize = 32;

/// How a program is given a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The variable has the value, without zero bytes. Everything that the program starts inherits it,
    /// and it can be read in `/proc/self/environ` within the sandbox.
    Variable,
    /// The variable has the path of a file that only its owner can read (mode 0400), on the
    /// temporary file system of the sandbox. It counts against its limit, and is gone with it.
    ///
    /// Such a file system is memory, which a host with swap may write there: encrypt that.
    File,
    /// The variable has the number of a descriptor that is open for reading, from 3 on: a sealed file
    /// without a name (`memfd_create(2)`), which what the program starts does not have unless it is
    /// given. It can be read once from its beginning, as a file, or as often as one likes by opening
    /// `/dev/fd/N` anew.
    Descriptor,
}

/// A secret as it was given to a command.
pub(crate) struct Secret {
    pub(crate) variable: String,
    pub(crate) delivery: Delivery,
    pub(crate) value: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { variable, delivery, .. } = self;
        f.debug_struct("Secret").field("variable", variable).field("delivery", delivery).finish()
    }
}

/// A secret as it goes into a plan.
pub(crate) enum Handed {
    /// `NAME=value`, ended by a zero.
    Variable(Zeroizing<Vec<u8>>),
    /// The path and the content of a file.
    File(CString, Zeroizing<Vec<u8>>),
    /// The content of a file that is a descriptor.
    Descriptor(Zeroizing<Vec<u8>>),
}

impl Handed {
    /// Those that are variables, each ended by a zero.
    pub(crate) fn variables(all: &[Self]) -> impl Iterator<Item = &[u8]> + Clone {
        all.iter().filter_map(|secret| match secret {
            Self::Variable(pair) => Some(pair.as_slice()),
            Self::File(..) | Self::Descriptor(_) => None,
        })
    }
}

/// Everything as the kernel wants it, or what is wrong with it. Adds variables to `env`, which hold
/// paths and numbers.
pub(crate) fn prepare(secrets: &[Secret], env: &mut Vec<CString>) -> Result<Vec<Handed>, Error> {
    if secrets.len() > MAX_SECRETS {
        let problem = format!("a program is given at most {MAX_SECRETS} secrets");
        return Err(Error::InvalidCommand(problem));
    }
    let mut handed: Vec<Handed> = Vec::with_capacity(secrets.len());
    let mut next_descriptor = 3;
    for (index, Secret { variable, delivery, value }) in secrets.iter().enumerate() {
        check_name(variable)?;
        let is_set = |pair: &CString| {
            pair.to_bytes().split(|&b| b == b'=').next() == Some(variable.as_bytes())
        };
        if env.iter().any(is_set) || secrets[..index].iter().any(|it| it.variable == *variable) {
            let problem = format!("`{variable}` is the name of another variable");
            return Err(Error::InvalidCommand(problem));
        }
        let mut set = |to: &str| {
            env.push(c_string("an environment variable", &format!("{variable}={to}"))?);
            Ok::<_, Error>(())
        };
        handed.push(match delivery {
            Delivery::Variable => Handed::Variable(pair(variable, value)?),
            Delivery::File => {
                let path = format!("{}/{variable}", zygote::SECRET_DIR);
                set(&path)?;
                Handed::File(c_string("a file name", &path)?, value.clone())
            }
            Delivery::Descriptor => {
                set(&next_descriptor.to_string())?;
                next_descriptor += 1;
                Handed::Descriptor(value.clone())
            }
        });
    }
    Ok(handed)
}

/// Names are those of shells: they are names of files as well.
fn check_name(name: &str) -> Result<(), Error> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(Error::InvalidCommand(format!("`{name}` cannot be the name of a secret's variable")))
}

/// `NAME=value`, ended by a zero.
fn pair(name: &str, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let len = name.len() + value.len() + 2;
    if len as u64 > MAX_STRING.0 {
        let problem = format!(
            "the secret `{name}` is longer than {MAX_STRING}, the most that Linux passes on in a variable"
        );
        return Err(Error::InvalidCommand(problem));
    }
    if value.contains(&0) {
        let problem = format!(
            "the secret `{name}` contains a zero byte, which no variable can: give it as a file"
        );
        return Err(Error::InvalidCommand(problem));
    }
    let mut pair = Zeroizing::new(Vec::with_capacity(len));
    pair.extend_from_slice(name.as_bytes());
    pair.push(b'=');
    pair.extend_from_slice(value);
    pair.push(0);
    Ok(pair)
}
