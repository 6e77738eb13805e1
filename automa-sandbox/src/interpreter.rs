//! Interpreters that wait for their script: python, started and confined before it is known what it
//! will run.
//!
//! A prepared sandbox of such a [class](crate::class::Class) has started the interpreter with the
//! script's name, but it stops before it opens it: `site` imports a module of ours
//! (`zygote/sitecustomize.py`) that waits for one message with the run's descriptors, arguments and
//! variables. Everything after that is the interpreter's own: how the script is read and run, its
//! tracebacks, its end. No secret is in the process before, and none ever in `/proc/self/environ`.
//!
//! So only what is the same for all scripts may be read while the interpreter starts: commands that
//! set anything else get another sandbox. Each of them holds about 6 MB while it waits, which counts
//! as memory of the run that takes it.

use std::{collections::BTreeMap, ffi::CString, time::Duration};

use zeroize::Zeroizing;

use crate::{secret::Handed, zygote::plan::LIMITS};

/// How long an interpreter waits for a script before its sandbox is prepared for any program: time in
/// which its files may have been replaced, and its memory is of no use.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// Where `site` finds our module. The module removes the variable with all others.
pub(crate) const MODULES: &str = "PYTHONPATH=/automa/python";

/// The one variable for Python that its commands set by themselves.
pub(crate) const UNBUFFERED: (&str, &str) = ("PYTHONUNBUFFERED", "1");

/// Variables that the interpreter, its loader, its libraries or what is installed for it may read
/// before the script: none of these may be set.
const READ_AT_START: [&str; 10] = [
    "PYTHON",
    "LC_",
    "LD_",
    "LANG",
    "TZ",
    "MALLOC_",
    "GLIBC_",
    "GCONV_",
    "SETUPTOOLS_",
    "COVERAGE_",
];

/// Largest message: it has to fit into the buffer of a socket, whatever the host's settings.
const MAX_MESSAGE: usize = 48 << 10;

/// An interpreter and what it was started with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Interpreter {
    pub(crate) program: CString,
    pub(crate) script: CString,
    /// Limits of the process, which it cannot have changed afterwards.
    pub(crate) limits: [u64; LIMITS.len()],
}

/// Whether an interpreter that was started with the `usual` variables and [`UNBUFFERED`] is as good
/// for a run with `env` as one that is started with these.
pub(crate) fn serves(env: &BTreeMap<String, String>, usual: &[(&str, &str)]) -> bool {
    let is = |(name, value): (&str, &str)| env.get(name).is_some_and(|it| it == value);
    let other = |name: &str| name != UNBUFFERED.0 && !usual.iter().any(|(usual, _)| *usual == name);
    usual.iter().all(|pair| is(*pair))
        && is(UNBUFFERED)
        && !env.keys().any(|name| other(name) && reads(name))
}

/// Whether a variable is read before the script.
pub(crate) fn reads(variable: &str) -> bool {
    READ_AT_START.iter().any(|prefix| variable.starts_with(prefix))
}

/// What a waiting interpreter is told: the number of arguments, these, and the environment, each
/// ended by a zero; what is secret and no variable, it gets otherwise. `None` when it is too long.
pub(crate) fn message(
    args: &[CString],
    env: &[CString],
    secrets: &[Handed],
) -> Option<Zeroizing<Vec<u8>>> {
    let count = format!("{}\0", args.len());
    let strings = args.iter().chain(env).map(CString::as_bytes_with_nul);
    let strings = [count.as_bytes()].into_iter().chain(strings).chain(Handed::variables(secrets));
    let len = strings.clone().map(<[u8]>::len).sum();
    // Of its whole length from the start: what grows leaves copies behind.
    let mut message = Zeroizing::new(Vec::with_capacity(len));
    strings.for_each(|string| message.extend_from_slice(string));
    (len <= MAX_MESSAGE).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: [(&str, &str); 2] = [("HOME", "/home"), ("LANG", "C.UTF-8")];

    fn serves_with(changes: &[(&str, &str)]) -> bool {
        let usual = USUAL.into_iter().chain([UNBUFFERED]).chain(changes.iter().copied());
        serves(&usual.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), &USUAL)
    }

    #[test]
    fn what_is_read_at_the_start_needs_a_start() {
        assert!(serves_with(&[]));
        assert!(serves_with(&[("TOKEN", "secret"), ("AUTOMA_PARAMETERS", "{}")]));
        for (name, value) in [
            ("PYTHONPATH", "/x"),
            ("PYTHONUNBUFFERED", "0"),
            ("PYTHONHASHSEED", "0"),
            ("LANG", "de_DE.UTF-8"),
            ("LANGUAGE", "de"),
            ("LC_ALL", "C"),
            ("LD_PRELOAD", "/x.so"),
            ("TZ", "UTC"),
            ("HOME", "/elsewhere"),
            ("MALLOC_ARENA_MAX", "1"),
            ("GLIBC_TUNABLES", "x"),
        ] {
            assert!(!serves_with(&[(name, value)]), "{name}");
        }
        assert!(!serves(&BTreeMap::new(), &USUAL));
    }

    #[test]
    fn a_message_has_all_strings() {
        let c = |text: &str| CString::new(text).unwrap();
        let secrets = [
            Handed::Variable(b"S=2\0".to_vec().into()),
            Handed::Descriptor(b"elsewhere".to_vec().into()),
        ];
        let message = |env: &str| message(&[c("python3"), c("x.py"), c("")], &[c(env)], &secrets);
        assert_eq!(**message("A=1").unwrap(), b"3\0python3\0x.py\0\0A=1\0S=2\0"[..]);
        assert_eq!(message(&"x".repeat(MAX_MESSAGE)), None);
    }
}
