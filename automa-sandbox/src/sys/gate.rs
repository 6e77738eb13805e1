//! A gate between two processes that share memory: one waits, the other lets it pass.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Where a child stands who is to pass a gate. The kernel stores `LEFT` when the child has exec'd
/// or ended, and wakes who waits for it (`CLONE_CHILD_CLEARTID`, clone(2)).
mod at {
    pub(super) const LEFT: u32 = 0;
    pub(super) const WAY: u32 = 1;
    pub(super) const GATE: u32 = 2;
    pub(super) const OPEN: u32 = 3;
}

/// Hands one value from a process to a child that shares its memory (`CLONE_VM`), once.
pub(crate) struct Gate<T> {
    child: AtomicU32,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: `value` is written by `open` only, before the word says `OPEN`, and read only after that;
// `open` stores it once, as one process alone opens the gate.
unsafe impl<T: Send + Sync> Sync for Gate<T> {}

impl<T> Gate<T> {
    pub(crate) fn new() -> Self {
        Self { child: AtomicU32::new(at::WAY), value: UnsafeCell::new(None) }
    }

    /// Lets the child pass, and gives it `value`. For the parent, once; a second value is dropped.
    pub(crate) fn open(&self, value: T) {
        if matches!(self.child.load(Ordering::Acquire), at::LEFT | at::OPEN) {
            return;
        }
        // SAFETY: the word is neither `OPEN` nor was it: nobody reads `value` yet, and the parent,
        // which is one thread, is the only one to write.
        unsafe { *self.value.get() = Some(value) };
        // A child that has ended meanwhile stays so: it has nothing to pass any more.
        let open = |child| (child != at::LEFT).then_some(at::OPEN);
        let _ = self.child.fetch_update(Ordering::AcqRel, Ordering::Acquire, open);
        wake(&self.child);
    }

    /// Waits for the gate to open. For the child.
    pub(crate) fn pass(&self) -> Option<&T> {
        let before = (at::WAY, at::GATE);
        let (ok, fail) = (Ordering::AcqRel, Ordering::Acquire);
        if self.child.compare_exchange(before.0, before.1, ok, fail).is_ok() {
            wake(&self.child);
        }
        wait_while(&self.child, at::GATE);
        // SAFETY: the word is `OPEN`, so `value` was written before and is not written again.
        unsafe { (*self.value.get()).as_ref() }
    }

    /// Waits until the child stands at the gate; `false` when it has ended instead. For the parent.
    pub(crate) fn is_reached(&self) -> bool {
        wait_while(&self.child, at::WAY);
        self.child.load(Ordering::Acquire) != at::LEFT
    }

    /// Whether the gate was opened, or nobody is left to pass it.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.child.load(Ordering::Acquire), at::LEFT | at::OPEN)
    }

    /// Waits until the child has exec'd or ended. For the parent.
    pub(super) fn wait_left(&self) {
        loop {
            match self.child.load(Ordering::Acquire) {
                at::LEFT => return,
                value => wait_while(&self.child, value),
            }
        }
    }

    /// What the kernel clears.
    pub(super) fn word(&self) -> *mut u32 {
        self.child.as_ptr()
    }
}

/// Waits until the word has another value (`futex(2)`). Not `FUTEX_PRIVATE_FLAG`, as the kernel's
/// own wake-up at the end of a child is not either.
fn wait_while(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        // SAFETY: the word is live and aligned; without a time limit nothing else is read. Why it
        // returned does not matter: the value tells.
        unsafe {
            let none = ptr::null::<libc::timespec>();
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, none);
        }
    }
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word is live and aligned.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
