//! What one sandbox is to do, as one block of bytes in memory that server and slot share: the
//! server writes it, the payload points `execve(2)` straight into it. Nothing secret travels through
//! the arguments of a host process, nothing is allocated to read it, and no file is made for it at
//! each start.
//!
//! The block is a header of 64-bit words followed by tables and NUL-terminated strings; all
//! references are offsets from the start. The last byte is NUL, so every string in it ends.

use std::{
    ffi::{CStr, CString, c_char},
    fs::File,
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::FileExt,
    },
    ptr,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use zeroize::Zeroizing;

use crate::{
    secret::Handed,
    sys::{self, Mapping},
};

/// Resource limits that differ from run to run, in the order of the header's words.
pub(crate) const LIMITS: [u32; 5] = [
    libc::RLIMIT_NOFILE,
    libc::RLIMIT_FSIZE,
    libc::RLIMIT_CPU,
    libc::RLIMIT_NPROC,
    libc::RLIMIT_DATA,
];

/// Leaves a resource limit as it is.
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// Most bytes of a plan: scripts and files, arguments and environment together.
pub(crate) const CAPACITY: usize = 64 << 20;

const MAGIC: u64 = u64::from_be_bytes(*b"automa/1");
/// Set beside a terminal's size, which may be zero.
const TERMINAL_WANTED: u64 = 1 << 32;
/// Instead of the mode of a file: it is to be a descriptor.
const DESCRIPTOR: u64 = 1 << 32;
const WORD: usize = size_of::<u64>();

/// Positions of the header's words.
mod word {
    pub(super) const MAGIC: usize = 0;
    pub(super) const PROGRAM: usize = 1;
    pub(super) const ARGV: usize = 2;
    pub(super) const ENVP: usize = 3;
    pub(super) const TMPFS: usize = 4;
    pub(super) const FILES: usize = 5;
    pub(super) const FILE_COUNT: usize = 6;
    pub(super) const ALARM: usize = 7;
    pub(super) const COLLECTS: usize = 8;
    pub(super) const DIRECTORIES: usize = 9;
    pub(super) const DIRECTORY_COUNT: usize = 10;
    pub(super) const TERMINAL: usize = 11;
    pub(super) const MESSAGE: usize = 12;
    pub(super) const MESSAGE_LEN: usize = 13;
    /// 0 for a plan without secrets, else 1 more than how many of them are files.
    pub(super) const SECRETS: usize = 14;
    pub(super) const LIMITS: usize = 15;
    pub(super) const COUNT: usize = LIMITS + super::LIMITS.len();
}

/// The server's side: what to put into a plan.
pub(crate) struct Contents<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) args: &'a [CString],
    pub(crate) env: &'a [CString],
    /// Options of the tmpfs that holds everything writable; none where it has the right ones.
    pub(crate) tmpfs: &'a CStr,
    /// Absolute path, mode and content of files to make before the program starts.
    pub(crate) files: &'a [(CString, u32, Vec<u8>)],
    pub(crate) secrets: &'a [Handed],
    /// Whether there is a directory for files that its caller is to have.
    pub(crate) collects: bool,
    /// Absolute paths at which the mounts are attached that come with the request.
    pub(crate) directories: &'a [CString],
    /// Columns and rows of the terminal that the program is given instead of pipes.
    pub(crate) terminal: Option<(u16, u16)>,
    /// What to send to an interpreter that waits.
    pub(crate) message: &'a [u8],
    /// Seconds after which init ends the run although the server did not.
    pub(crate) alarm: u32,
    pub(crate) limits: [u64; LIMITS.len()],
}

/// The server's end of the shared memory of one slot.
#[derive(Debug)]
pub(crate) struct PlanFile {
    file: File,
    used: usize,
}

impl PlanFile {
    /// Makes the memory, of which only what is written exists.
    pub(crate) fn new() -> io::Result<Self> {
        let file = File::from(memfd_create(c"automa-plan", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(CAPACITY as u64)?;
        Ok(Self { file, used: 0 })
    }

    /// Writes the plan of the next run. Returns its length.
    ///
    /// # Errors
    ///
    /// `FileTooLarge` when it is longer than [`CAPACITY`].
    pub(crate) fn write(&mut self, contents: &Contents<'_>) -> io::Result<u64> {
        let block = contents.encode();
        if block.len() > CAPACITY {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.used = block.len();
        self.file.write_all_at(&block, 0)?;
        Ok(block.len() as u64)
    }

    /// Wipes the last plan, which may hold secrets, once its run is over.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        const KEPT: usize = 64 << 10;
        // What is small stays allocated for the next run; what is large is given back.
        self.file.write_all_at(&vec![0; self.used.min(KEPT)], 0)?;
        if self.used > KEPT {
            self.file.set_len(KEPT as u64)?;
            self.file.set_len(CAPACITY as u64)?;
        }
        self.used = 0;
        Ok(())
    }
}

impl AsRawFd for PlanFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Contents<'_> {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let variables = Handed::variables(self.secrets);
        let own = self
            .files
            .iter()
            .map(|(path, mode, data)| (path.as_c_str(), u64::from(*mode), data.as_slice()));
        let secret = self.secrets.iter().filter_map(|secret| match secret {
            Handed::Variable(_) => None,
            Handed::File(path, data) => Some((path.as_c_str(), 0o400, data.as_slice())),
            Handed::Descriptor(data) => Some((c"", DESCRIPTOR, data.as_slice())),
        });
        let all: Vec<_> = own.chain(secret).collect();
        let argv = word::COUNT;
        let envp = argv + self.args.len() + 1;
        let files = envp + self.env.len() + variables.clone().count() + 1;
        let directories = files + all.len() * 4;
        let mut words = vec![0u64; directories + self.directories.len()];
        let base = words.len() * WORD;
        // As large as it can become: what grows leaves copies behind.
        let strings = self.args.iter().chain(self.env).chain(self.directories);
        let strings = strings.map(|string| string.as_bytes_with_nul().len()).sum::<usize>();
        let in_files = all.iter().map(|(path, _, data)| path.count_bytes() + 1 + data.len());
        let most = base
            + self.program.count_bytes()
            + self.tmpfs.count_bytes()
            + self.message.len()
            + strings
            + variables.clone().map(<[u8]>::len).sum::<usize>()
            + in_files.sum::<usize>()
            + 3;
        let mut block = Zeroizing::new(Vec::with_capacity(most));
        block.resize(base, 0);
        let mut append = |data: &[u8]| {
            let at = block.len();
            block.extend_from_slice(data);
            at as u64
        };
        words[word::MAGIC] = MAGIC;
        words[word::PROGRAM] = append(self.program.to_bytes_with_nul());
        words[word::ARGV] = (argv * WORD) as u64;
        words[word::ENVP] = (envp * WORD) as u64;
        words[word::TMPFS] = append(self.tmpfs.to_bytes_with_nul());
        words[word::FILES] = (files * WORD) as u64;
        words[word::FILE_COUNT] = all.len() as u64;
        words[word::ALARM] = u64::from(self.alarm);
        words[word::COLLECTS] = u64::from(self.collects);
        words[word::DIRECTORIES] = (directories * WORD) as u64;
        words[word::DIRECTORY_COUNT] = self.directories.len() as u64;
        words[word::TERMINAL] = self
            .terminal
            .map_or(0, |(cols, rows)| TERMINAL_WANTED | u64::from(cols) << 16 | u64::from(rows));
        words[word::MESSAGE] = append(self.message);
        words[word::MESSAGE_LEN] = self.message.len() as u64;
        if !self.secrets.is_empty() {
            let files = self.secrets.iter().filter(|it| matches!(it, Handed::File(..)));
            words[word::SECRETS] = 1 + files.count() as u64;
        }
        words[word::LIMITS..word::COUNT].copy_from_slice(&self.limits);
        for (slot, string) in words[argv..].iter_mut().zip(self.args) {
            *slot = append(string.as_bytes_with_nul());
        }
        let env = self.env.iter().map(CString::as_bytes_with_nul).chain(variables);
        for (slot, string) in words[envp..].iter_mut().zip(env) {
            *slot = append(string);
        }
        for (entry, target) in words[directories..].iter_mut().zip(self.directories) {
            *entry = append(target.as_bytes_with_nul());
        }
        for (entry, (path, mode, data)) in words[files..].chunks_exact_mut(4).zip(all) {
            entry[0] = append(path.to_bytes_with_nul());
            entry[1] = mode;
            entry[2] = append(data);
            entry[3] = data.len() as u64;
        }
        append(&[0]);
        for (place, word) in block.chunks_exact_mut(WORD).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        block
    }
}

/// The slot's side: a plan whose every reference has been checked.
pub(crate) struct Plan<'a> {
    block: &'a mut [u8],
}

impl<'a> Plan<'a> {
    /// Checks the plan at the start of the shared memory, and turns its argument tables into arrays
    /// of pointers in place.
    ///
    /// # Errors
    ///
    /// `EBADMSG` when the block is not a plan of this version or refers outside of itself.
    pub(crate) fn read(memory: &'a mut Mapping, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| invalid())?;
        let block = memory.bytes_mut().get_mut(..len).ok_or_else(invalid)?;
        let mut plan = Self { block };
        plan.check().ok_or_else(invalid)?;
        plan.relocate(word::ARGV).ok_or_else(invalid)?;
        plan.relocate(word::ENVP).ok_or_else(invalid)?;
        Ok(plan)
    }

    fn check(&self) -> Option<()> {
        let bytes = &self.block;
        let strings = [word::PROGRAM, word::TMPFS];
        let valid = bytes.last() == Some(&0)
            && self.word(word::COUNT - 1).is_some()
            && self.word(word::MAGIC)? == MAGIC
            && strings.iter().all(|&at| self.word(at).is_some_and(|off| self.holds(off, 1)));
        valid.then_some(())?;
        self.holds(self.word(word::MESSAGE)?, self.word(word::MESSAGE_LEN)?).then_some(())?;
        for index in 0..self.word(word::FILE_COUNT)? {
            let [path, _, data, len] = self.file_entry(index)?;
            (self.holds(path, 1) && self.holds(data, len)).then_some(())?;
        }
        for index in 0..self.word(word::DIRECTORY_COUNT)? {
            self.directory(index)?;
        }
        Some(())
    }

    /// Replaces the offsets of a table by addresses, up to its terminating zero. The table lies
    /// between the header and the files, whose offsets have been checked and stay as they are.
    fn relocate(&mut self, table: usize) -> Option<()> {
        let base = self.block.as_ptr() as u64;
        let tables = word::COUNT..self.word(word::FILES)? as usize / WORD;
        let mut at = self.word(table)? as usize / WORD;
        loop {
            tables.contains(&at).then_some(())?;
            let offset = self.word(at)?;
            if offset == 0 {
                return Some(());
            }
            self.holds(offset, 1).then_some(())?;
            let entry = at * WORD..(at + 1) * WORD;
            self.block[entry].copy_from_slice(&(base + offset).to_ne_bytes());
            at += 1;
        }
    }

    fn holds(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.block.len() as u64)
    }

    fn word(&self, index: usize) -> Option<u64> {
        let bytes = self.block.get(index.checked_mul(WORD)?..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }

    fn file_entry(&self, index: u64) -> Option<[u64; 4]> {
        let first = self.word(word::FILES)? as usize / WORD + index as usize * 4;
        Some([
            self.word(first)?,
            self.word(first + 1)?,
            self.word(first + 2)?,
            self.word(first + 3)?,
        ])
    }

    fn directory(&self, index: u64) -> Option<&CStr> {
        let first = self.word(word::DIRECTORIES)? as usize / WORD;
        let path = self.word(first.checked_add(index as usize)?)?;
        CStr::from_bytes_until_nul(self.block.get(path as usize..)?).ok()
    }

    /// Address of what the header's word `index` refers to; null never, as `read` has checked it.
    fn address(&self, index: usize) -> *const u8 {
        match self.word(index) {
            Some(offset) => self.block.as_ptr().wrapping_add(offset as usize),
            None => ptr::null(),
        }
    }

    /// Path of the program, NUL-terminated.
    pub(crate) fn program(&self) -> *const c_char {
        self.address(word::PROGRAM).cast()
    }

    /// Arguments with the program's name first: a null-terminated array.
    pub(crate) fn argv(&self) -> *const *const c_char {
        self.address(word::ARGV).cast()
    }

    /// Environment: a null-terminated array of `NAME=value`.
    pub(crate) fn envp(&self) -> *const *const c_char {
        self.address(word::ENVP).cast()
    }

    /// Mount options of the writable tmpfs, NUL-terminated.
    pub(crate) fn tmpfs_options(&self) -> *const c_char {
        self.address(word::TMPFS).cast()
    }

    /// Whether there are any.
    pub(crate) fn has_tmpfs_options(&self) -> bool {
        let first = self.word(word::TMPFS).and_then(|offset| self.block.get(offset as usize));
        first.is_some_and(|byte| *byte != 0)
    }

    /// What an interpreter that waits is told.
    pub(crate) fn message(&self) -> &[u8] {
        let part = |index| self.word(index).unwrap_or(0) as usize;
        let (start, len) = (part(word::MESSAGE), part(word::MESSAGE_LEN));
        &self.block[start..start + len]
    }

    /// Seconds until init ends the run by itself.
    pub(crate) fn alarm(&self) -> u32 {
        self.word(word::ALARM).unwrap_or(0) as u32
    }

    /// Whether to make a directory for files that the caller is to have.
    pub(crate) fn collects(&self) -> bool {
        self.word(word::COLLECTS) == Some(1)
    }

    /// Where to attach the mounts that came with the request, in their order.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &CStr> {
        let count = self.word(word::DIRECTORY_COUNT).unwrap_or(0);
        (0..count).filter_map(|index| self.directory(index))
    }

    /// Columns and rows of the program's terminal, if it is to have one.
    pub(crate) fn terminal(&self) -> Option<(u16, u16)> {
        let word = self.word(word::TERMINAL).filter(|word| word & TERMINAL_WANTED != 0)?;
        Some(((word >> 16) as u16, word as u16))
    }

    /// Resource limits to lower, as `(resource, value)`.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (u32, u64)> {
        let values = (0..LIMITS.len()).filter_map(|index| self.word(word::LIMITS + index));
        LIMITS.into_iter().zip(values).filter(|&(_, value)| value != UNLIMITED)
    }

    /// Files to make: path (NUL-terminated), mode, content.
    pub(crate) fn files(&self) -> impl Iterator<Item = (*const c_char, u32, &[u8])> {
        let files = self.all_files().filter(|(_, mode, _)| *mode != DESCRIPTOR);
        files.map(|(path, mode, data)| {
            (self.block.as_ptr().wrapping_add(path).cast(), mode as u32, data)
        })
    }

    /// What is in files that are nothing but descriptors: from 3 on, in their order.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.all_files().filter(|(_, mode, _)| *mode == DESCRIPTOR);
        files.map(|(_, _, data)| data)
    }

    /// Where the path begins, mode, content.
    fn all_files(&self) -> impl Iterator<Item = (usize, u64, &[u8])> {
        let count = self.word(word::FILE_COUNT).unwrap_or(0);
        (0..count).filter_map(|index| self.file_entry(index)).map(|[path, mode, data, len]| {
            (path as usize, mode, &self.block[data as usize..(data + len) as usize])
        })
    }

    /// Whether secrets are among the files.
    pub(crate) fn has_secret_files(&self) -> bool {
        self.word(word::SECRETS).is_some_and(|word| word > 1)
    }

    /// Forgets everything, if there are secrets, so that nobody else has them while the program runs:
    /// neither the processes that share this memory nor the server. Nothing of it may be read afterwards.
    pub(crate) fn forget(&self) {
        if self.word(word::SECRETS).is_some_and(|word| word > 0) {
            sys::give_back(self.block);
        }
    }
}

fn invalid() -> io::Error {
    // A raw code rather than a message: this runs where nothing may be allocated.
    io::Error::from_raw_os_error(libc::EBADMSG)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(bytes: &[u8]) -> Mapping {
        let file = PlanFile::new().unwrap();
        file.file.write_all_at(bytes, 0).unwrap();
        Mapping::new(&file.file.into(), CAPACITY).unwrap()
    }

    fn c(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    fn sample() -> Vec<u8> {
        Contents {
            program: c"/usr/bin/env",
            args: &[c("env"), c(""), c("päth")],
            env: &[c("A=1")],
            tmpfs: c"size=1",
            files: &[(c("/x"), 0o644, b"hello".to_vec()), (c("/empty"), 0o755, Vec::new())],
            secrets: &[
                Handed::Variable(b"S=2\0".to_vec().into()),
                Handed::File(c("/s"), b"in a file".to_vec().into()),
                Handed::Descriptor(b"at a number".to_vec().into()),
            ],
            collects: true,
            directories: &[c("/data/a"), c("/data/b")],
            message: b"told",
            alarm: 7,
            terminal: Some((132, 0)),
            limits: [64, UNLIMITED, 3, UNLIMITED, UNLIMITED],
        }
        .encode()
        .to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let block = sample();
        let mut memory = memory(&block);
        let plan = Plan::read(&mut memory, block.len() as u64).unwrap();
        assert_eq!(plan.alarm(), 7);
        assert!(plan.collects());
        assert_eq!(plan.directories().collect::<Vec<_>>(), [c"/data/a", c"/data/b"]);
        assert_eq!(plan.terminal(), Some((132, 0)));
        assert_eq!(plan.message(), b"told");
        let limits: Vec<_> = plan.limits().collect();
        assert_eq!(limits, [(libc::RLIMIT_NOFILE, 64), (libc::RLIMIT_CPU, 3)]);
        let files: Vec<_> = plan.files().map(|(_, mode, data)| (mode, data.to_vec())).collect();
        let expected: [(u32, &[u8]); 3] = [(0o644, b"hello"), (0o755, b""), (0o400, b"in a file")];
        assert_eq!(files, expected.map(|(mode, data)| (mode, data.to_vec())));
        assert_eq!(plan.descriptors().collect::<Vec<_>>(), [b"at a number"]);
        assert!(plan.has_secret_files());
        // The tables are pointers into the mapping now, ended by a null.
        let base = plan.block.as_ptr() as u64;
        let argv = plan.word(word::ARGV).unwrap() as usize / WORD;
        let strings: Vec<_> = (0..3)
            .map(|i| (plan.word(argv + i).unwrap() - base) as usize)
            .map(|at| std::ffi::CStr::from_bytes_until_nul(&plan.block[at..]).unwrap())
            .map(|s| s.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(strings, ["env", "", "päth"]);
        assert_eq!(plan.word(argv + 3), Some(0));
    }

    #[test]
    fn a_run_leaves_nothing_of_its_plan() {
        let mut file = PlanFile::new().unwrap();
        for size in [10, 100_000] {
            let files = [(c("/x"), 0o644, vec![b'S'; size])];
            let contents = Contents {
                program: c"/x",
                args: &[],
                env: &[],
                tmpfs: c"",
                files: &files,
                secrets: &[],
                collects: false,
                directories: &[],
                message: &[],
                alarm: 1,
                terminal: None,
                limits: [UNLIMITED; LIMITS.len()],
            };
            let len = file.write(&contents).unwrap() as usize;
            file.clear().unwrap();
            let shared = file.file.try_clone().unwrap().into();
            let mut mapping = Mapping::new(&shared, CAPACITY).unwrap();
            assert!(mapping.bytes_mut()[..len].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_plan_with_secrets_can_be_forgotten_while_it_is_shared() {
        let block = sample();
        let file = PlanFile::new().unwrap();
        file.file.write_all_at(&block, 0).unwrap();
        let shared = file.file.try_clone().unwrap().into();
        let mut memory = Mapping::new(&shared, CAPACITY).unwrap();
        Plan::read(&mut memory, block.len() as u64).unwrap().forget();
        let mut left = vec![1; block.len()];
        file.file.read_exact_at(&mut left, 0).unwrap();
        assert!(left.iter().all(|&byte| byte == 0));
    }

    proptest! {
        /// However its words refer to each other, everything that is read lies inside the block.
        #[test]
        fn references_never_lead_outside(
            changes in prop::collection::vec((0usize..48, 0u64..400), 1..6),
        ) {
            let mut block = sample();
            for (index, value) in changes {
                if let Some(word) = block.chunks_exact_mut(WORD).nth(index) {
                    word.copy_from_slice(&value.to_ne_bytes());
                }
            }
            let len = block.len();
            let mut memory = memory(&block);
            let Ok(plan) = Plan::read(&mut memory, len as u64) else { return Ok(()) };
            let inside = plan.block.as_ptr_range();
            let inside = inside.start as u64..inside.end as u64;
            for table in [word::ARGV, word::ENVP] {
                let first = plan.word(table).unwrap() as usize / WORD;
                let pointers = (first..).map_while(|at| plan.word(at).filter(|&it| it != 0));
                prop_assert!(pointers.into_iter().all(|pointer| inside.contains(&pointer)));
            }
            for (path, _, data) in plan.files() {
                prop_assert!(inside.contains(&(path as u64)) && data.len() <= len);
            }
        }

        /// A damaged block is refused or read within its bounds; it never makes init crash.
        #[test]
        fn damage_never_panics(at in 0usize..512, value: u8, cut in 0usize..512) {
            let mut block = sample();
            let len = block.len();
            block[at % len] = value;
            block.truncate(len - cut % (len / 2));
            let mut memory = memory(&block);
            if let Ok(plan) = Plan::read(&mut memory, block.len() as u64) {
                prop_assert!(plan.files().all(|(_, _, data)| data.len() <= block.len()));
                prop_assert!(plan.limits().count() <= LIMITS.len());
                prop_assert!(plan.directories().count() <= block.len());
            }
        }
    }
}
