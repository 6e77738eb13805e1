//! Warnings of what would do harm outside of a sandbox: they inform, and prevent nothing.
//!
//! The sandbox is what protects. A warning tells whoever reads the script, or moves it elsewhere,
//! where to look. It goes by the words of commands, so that text which only mentions one, in a
//! comment or an `echo`, is passed over; who wants to hide a command can.

mod python;
mod shell;

use super::Language;

/// Most warnings that are told.
const MOST: usize = 50;

/// Something in a source that one should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line it begins in, from 1.
    pub line: u32,
    /// What it would do.
    pub message: &'static str,
}

/// What in a source would do harm outside of a sandbox, from the top; at most 50.
#[must_use]
pub fn warnings(language: Language, source: &str) -> Vec<Warning> {
    let mut found = match language {
        Language::Bash => shell::warnings(source),
        Language::Python => python::warnings(source),
    };
    found.sort_by_key(|warning| warning.line);
    found.dedup();
    found.truncate(MOST);
    found
}

/// Directories without which a system is none.
const SYSTEM: [&str; 14] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "root", "sbin", "srv", "sys",
    "usr", "var",
];

/// Whether a path is the root, a home, or a directory of the system as a whole.
fn is_vital(path: &str) -> bool {
    let path = path.trim_end_matches(['*', '.']);
    if let Some(rest) = path.strip_prefix('/') {
        let name = rest.trim_matches('/');
        return name.is_empty() || SYSTEM.contains(&name);
    }
    matches!(path.trim_end_matches('/'), "~" | "$HOME" | "${HOME}")
}

/// Whether a path is a disk rather than one of the harmless devices.
fn is_disk(path: &str) -> bool {
    let Some(name) = path.strip_prefix("/dev/") else { return false };
    ["sd", "hd", "vd", "xvd", "nvme", "mmcblk", "disk/", "mapper/", "md", "loop", "dm-"]
        .iter()
        .any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests;
