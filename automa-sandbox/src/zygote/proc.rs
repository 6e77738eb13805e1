//! The proc of a sandbox: its own processes, and for some profiles what tools ask about the machine.
//!
//! Mounted anew in each sandbox, as it shows the processes of a namespace. Where the machine is
//! shown, all that is not in a list is covered by something empty and read-only: what a later kernel
//! or a module adds to proc is hidden until somebody has looked at it.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::ffi::OsStrExt,
    ptr,
};

use crate::sys;

/// What covers a file.
pub(super) const EMPTY_FILE: &CStr = c"/automa/job/parts/file";
/// What covers a directory.
pub(super) const EMPTY_DIR: &CStr = c"/automa/job/parts/directory";

/// The kernel's settings: shown, but not to be changed.
const SETTINGS: &CStr = c"/proc/sys";

/// What a sandbox may see of the machine: processors, memory, load, for `nproc`, `free`, `ps`, `top`
/// and language runtimes; the names of file systems, terminals and groups; its own IPC namespace;
/// and the settings. Links to the reader's own process are not listed.
const SHOWN: [&str; 13] = [
    "cgroups",
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "swaps",
    "sys",
    "sysvipc",
    "tty",
    "uptime",
    "version",
    "vmstat",
];

/// How a proc is mounted.
pub(super) struct Proc {
    options: &'static CStr,
    /// Whether it shows the machine.
    machine: bool,
    covers: Vec<Cover>,
}

/// Something empty over something in proc.
#[derive(Clone)]
pub(super) struct Cover {
    with: &'static CStr,
    over: CString,
}

/// What has to be covered where the machine is shown: all that proc holds here and that is neither
/// listed nor a link nor a process.
pub(super) fn covers() -> io::Result<Vec<Cover>> {
    let mut covers = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_bytes().iter().all(u8::is_ascii_digit) || SHOWN.iter().any(|it| name == *it) {
            continue;
        }
        let kind = match entry.file_type() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            kind => kind?,
        };
        if kind.is_symlink() {
            continue;
        }
        let over = CString::new([b"/proc/", name.as_bytes()].concat())?;
        covers.push(Cover { with: if kind.is_dir() { EMPTY_DIR } else { EMPTY_FILE }, over });
    }
    Ok(covers)
}

impl Proc {
    /// A proc for a profile, as far as the kernel supports its options `subset=pid` and
    /// `hidepid=ptraceable`.
    pub(super) fn new(machine: bool, subset: bool, hidepid: bool, covers: &[Cover]) -> Self {
        let options = match (subset && !machine, hidepid) {
            (true, true) => c"subset=pid,hidepid=ptraceable",
            (false, true) => c"hidepid=ptraceable",
            (true, false) => c"subset=pid,hidepid=2",
            (false, false) => c"hidepid=2",
        };
        Self { options, machine, covers: if machine { covers.to_vec() } else { Vec::new() } }
    }

    /// Mounts it; called by init, allocates nothing.
    pub(super) fn mount(&self) -> io::Result<()> {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        sys::mount_new(c"proc", c"/proc", flags, self.options.as_ptr())?;
        for Cover { with, over } in &self.covers {
            match sys::mount_bind(with, over, 0) {
                // The module that made it is gone.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result?,
            }
        }
        if self.machine {
            sys::mount_bind(SETTINGS, SETTINGS, 0)?;
            sys::remount(SETTINGS, libc::MS_BIND | libc::MS_RDONLY | flags, ptr::null())?;
        }
        Ok(())
    }
}
