//! Masking: known secrets become `***` before a byte is stored.

use std::{collections::HashMap, fmt, mem, sync::Arc};

use aho_corasick::{
    Anchored,
    automaton::{Automaton, StateID},
    nfa::contiguous::NFA,
};
use zeroize::Zeroizing;

use self::{filter::Filter, forms::Forms};

mod filter;
mod forms;

pub use self::forms::SECRET_MIN;

/// Most bytes that all forms of all secrets of a [`Mask`] may have together (4 MiB). The forms of a
/// secret have 15 to 60 times its own size.
pub const PATTERNS_MAX: usize = 4 * 1024 * 1024;

const STARS: &[u8] = b"***";

/// Secrets that must not get into a log. Cheap to clone; without secrets, masking costs nothing.
///
/// Each place where a secret occurs becomes `***`; so do places that overlap, as one. Besides the
/// secret itself, without white space around it, these are looked for:
///
/// - each line of at least 8 bytes of a secret that has several (keys are printed indented);
/// - hexadecimal, in lower and upper case;
/// - base64, standard and URL alphabet, with and without padding, alone (also wrapped at 64 or 76
///   characters) and at any place in something longer. There, characters that hold bits of the
///   secret and of its neighbour stay: at most 4 bits at either end;
/// - URL encoded, as the usual libraries do it, and each byte so; `%2F` as well as `%2f`;
/// - in a JSON string, as the usual libraries write it;
/// - in quotes of shells and Python, and with backslashes before what is special to a shell.
///
/// Secrets of less than [`SECRET_MIN`] bytes are not looked for: `1`, `on` or `abc` occur in any
/// text, and to mask them would destroy the log and tell the secret by where the stars are.
///
/// This prevents accidents. It cannot prevent a script from telling a secret it knows: reversed, a
/// letter a line, or over the network.
#[derive(Clone, Default)]
pub struct Mask(Option<Arc<Patterns>>);

/// The secrets are too large to be looked for: their forms have more than [`PATTERNS_MAX`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secrets are too large to be masked in a log: about 70 KiB together are possible")]
#[non_exhaustive]
pub struct MaskError;

impl Mask {
    /// A mask for `secrets`.
    ///
    /// # Errors
    ///
    /// [`MaskError`], upon which an execution should be refused rather than run unmasked.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, MaskError> {
        let mut patterns = Forms::new();
        let mut size = 0;
        for secret in secrets {
            let forms = forms::forms(secret.as_ref());
            size += forms.iter().map(|form| form.len()).sum::<usize>();
            if size > PATTERNS_MAX {
                return Err(MaskError);
            }
            patterns.extend(forms);
        }
        if patterns.is_empty() {
            return Ok(Self(None));
        }
        patterns.sort_unstable_by(|a, b| a.as_slice().cmp(b));
        patterns.dedup();
        Ok(Self(Some(Arc::new(Patterns::new(&patterns)?))))
    }

    /// Whether nothing is masked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A text with stars where secrets were.
    pub(in crate::execution) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let Some(patterns) = &self.0 else { return text.to_vec() };
        let mut masker = Masker::new(Arc::clone(patterns));
        let mut out = Vec::with_capacity(text.len());
        masker.push(text, |bytes| out.extend_from_slice(bytes));
        masker.finish(|bytes| out.extend_from_slice(bytes));
        out
    }

    /// A masker for each stream, if there is anything to mask.
    pub(super) fn maskers(&self) -> Option<[Masker; 2]> {
        let masker = Masker::new(Arc::clone(self.0.as_ref()?));
        Some([masker.clone(), masker])
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Mask(nothing)" } else { "Mask(secrets)" })
    }
}

/// All forms of all secrets, as a machine that reads byte after byte.
struct Patterns {
    machine: NFA,
    start: StateID,
    filter: Filter,
    /// How many of the bytes read last each state of the machine but the start stands for.
    depths: HashMap<StateID, Depth>,
    /// Bytes of the longest pattern.
    longest: usize,
}

/// What a state of the machine knows of the bytes read last.
#[derive(Clone, Copy)]
struct Depth {
    /// How many of them are the beginning of a pattern, or a whole one.
    read: u32,
    /// How many of them are the beginning of a pattern that is not complete.
    pending: u32,
}

impl Patterns {
    /// `patterns` are different.
    fn new(patterns: &[Zeroizing<Vec<u8>>]) -> Result<Self, MaskError> {
        let bytes = patterns.iter().map(|pattern| pattern.as_slice());
        let machine = NFA::builder().prefilter(false).build(bytes).map_err(|_| MaskError)?;
        let start = machine.start_state(Anchored::No).map_err(|_| MaskError)?;
        let filter = Filter::new(patterns);
        let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
        let mut new = Self { machine, start, filter, depths: HashMap::new(), longest };
        new.depths = new.walk(patterns);
        Ok(new)
    }

    /// The state after bytes that are the beginning of a pattern stands for just these bytes, since
    /// no longer beginning can be at the end of what was read. So walking all patterns shows how
    /// many bytes each state stands for.
    fn walk(&self, patterns: &[Zeroizing<Vec<u8>>]) -> HashMap<StateID, Depth> {
        let mut depths = HashMap::new();
        let mut whole = Vec::new();
        for pattern in patterns {
            let mut state = self.start;
            for (read, &byte) in (0..).zip(pattern.iter()) {
                if read > 0 {
                    depths.insert(state, Depth { read, pending: read });
                }
                state = self.step(state, byte);
            }
            whole.push((pattern, state));
        }
        // A pattern that begins no longer one waits for nothing but what its end may begin. That may
        // be a shorter pattern, whose turn was before.
        whole.sort_by_key(|(pattern, _)| pattern.len());
        for (pattern, state) in whole {
            if !depths.contains_key(&state) {
                let end = pattern[1..].iter().fold(self.start, |state, &b| self.step(state, b));
                let pending = depths.get(&end).map_or(0, |depth: &Depth| depth.pending);
                let read = u32::try_from(pattern.len()).unwrap_or(u32::MAX);
                depths.insert(state, Depth { read, pending });
            }
        }
        depths
    }

    fn step(&self, state: StateID, byte: u8) -> StateID {
        self.machine.next_state(Anchored::No, state, byte)
    }

    /// How many of the bytes read last `state` stands for, and how many of them are pending.
    fn depth(&self, state: StateID) -> (usize, usize) {
        if state == self.start {
            return (0, 0);
        }
        let wide = |depth: u32| usize::try_from(depth).unwrap_or(self.longest);
        // All states are there.
        let known = self.depths.get(&state).map(|depth| (wide(depth.read), wide(depth.pending)));
        known.unwrap_or((self.longest, self.longest))
    }

    /// Reads `bytes`, says where matches end, in order, and how long the longest is that ends there.
    fn read(
        &self,
        mut state: StateID,
        bytes: &[u8],
        mut found: impl FnMut(usize, usize),
    ) -> StateID {
        let mut at = 0;
        loop {
            let piece = &bytes[at..bytes.len().min(at + self.filter.span())];
            for &byte in piece {
                state = self.step(state, byte);
                at += 1;
                if self.machine.is_special(state) && self.machine.is_match(state) {
                    let pattern = |index| self.machine.match_pattern(state, index);
                    let len = |index| self.machine.pattern_len(pattern(index));
                    let longest = (0..self.machine.match_len(state)).map(len).max();
                    found(at, longest.unwrap_or(0));
                }
            }
            if at == bytes.len() {
                return state;
            }
            // Patterns that are being read began here at the earliest. If none can, and none can
            // for a while, the machine need not read that while. It may read a few bytes again,
            // but fewer than any pattern has: more would be a beginning that the filter sees.
            if let Some(begin) = at.checked_sub(self.depth(state).0) {
                let next = self.filter.next(bytes, begin);
                if next > begin {
                    (state, at) = (self.start, next);
                }
            }
        }
    }
}

/// Masks one stream.
#[derive(Clone)]
pub(super) struct Masker {
    patterns: Arc<Patterns>,
    state: StateID,
    /// Bytes held back, because a secret may begin there.
    held: Vec<u8>,
    /// How many of them belong to a secret for which stars were given already.
    starred: usize,
    /// Secrets in the others: from, to; they do not overlap.
    marks: Vec<(usize, usize)>,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Masker {
    fn new(patterns: Arc<Patterns>) -> Self {
        let state = patterns.start;
        Self { patterns, state, held: Vec::new(), starred: 0, marks: Vec::new() }
    }

    /// Reads on, and gives `out` all bytes that no secret can begin with any more.
    pub(super) fn push(&mut self, bytes: &[u8], out: impl FnMut(&[u8])) {
        let before = self.held.len();
        let (starred, marks) = (&mut self.starred, &mut self.marks);
        self.state = self.patterns.read(self.state, bytes, |end, len| {
            let end = before + end;
            mark(starred, marks, end.saturating_sub(len), end);
        });
        let (_, pending) = self.patterns.depth(self.state);
        let mut held = mem::take(&mut self.held);
        let ready = (before + bytes.len()).saturating_sub(pending);
        self.give(&held, bytes, ready, out);
        if ready < before {
            held.drain(..ready);
            held.extend(bytes);
        } else {
            held.clear();
            held.extend(&bytes[ready - before..]);
        }
        self.held = held;
    }

    /// At the end, gives what was held back.
    pub(super) fn finish(&mut self, out: impl FnMut(&[u8])) {
        let held = mem::take(&mut self.held);
        self.give(&held, &[], held.len(), out);
        self.state = self.patterns.start;
    }

    /// Gives the first `ready` of `held` and `bytes`, and keeps marks for the others.
    fn give(&mut self, held: &[u8], bytes: &[u8], ready: usize, mut out: impl FnMut(&[u8])) {
        let mut plain = |from: usize, to: usize, stars: &[u8]| {
            let (a, b) = (from.min(held.len()), to.min(held.len()));
            for piece in [&held[a..b], &bytes[from - a..to - b], stars] {
                if !piece.is_empty() {
                    out(piece);
                }
            }
        };
        let mut at = self.starred.min(ready);
        self.starred -= at;
        let mut given = 0;
        for &(from, to) in self.marks.iter().take_while(|(from, _)| *from < ready) {
            plain(at, from, STARS);
            at = to.min(ready);
            self.starred = to - at;
            given += 1;
        }
        plain(at, ready, &[]);
        self.marks.drain(..given);
        for (from, to) in &mut self.marks {
            *from -= ready;
            *to -= ready;
        }
    }
}

/// Adds a secret, which ends after all others.
fn mark(starred: &mut usize, marks: &mut Vec<(usize, usize)>, mut from: usize, to: usize) {
    while let Some((before, _)) = marks.pop_if(|(_, end)| *end > from) {
        from = from.min(before);
    }
    if from < *starred {
        *starred = to;
    } else {
        marks.push((from, to));
    }
}

#[cfg(test)]
mod tests;
