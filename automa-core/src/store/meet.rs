//! Finds what is in all of several indexes: they are gone through side by side, newest first, each
//! jumping over what another has already ruled out.
//!
//! That may still be many steps for little, if much fits one index and little all: so there is a limit,
//! and who asks is told how far it got.

use super::{
    change::Snapshot,
    table::{Index, Walk, Walker},
};
use crate::error::StoreError;

/// Keys that are passed one by one before jumping: a jump costs about as much.
const PASSED: usize = 4;

/// How far a search got.
pub(super) enum Found<I> {
    /// The newest that is in all that is named.
    Next(I),
    /// There is none any more.
    End,
    /// None down to this one, which was not looked at.
    Tired(I),
}

/// What is in all of several, newest first.
pub(super) struct Meet<I> {
    named: Vec<AnyOf<I>>,
    oldest: I,
    /// Steps that are left.
    pub(super) steps: usize,
}

impl<I: Copy + Ord + 'static> Meet<I> {
    /// What is in all of `named`, of which there is one at least, and not older than `oldest`.
    pub(super) fn new(named: Vec<AnyOf<I>>, oldest: I, steps: usize) -> Self {
        Self { named, oldest, steps }
    }

    /// The newest, not newer than `at`, that is in all that is named.
    pub(super) fn next(&mut self, at: I) -> Result<Found<I>, StoreError> {
        let (mut candidate, mut agreed) = (at, 0);
        for place in (0..self.named.len()).cycle() {
            if candidate < self.oldest {
                return Ok(Found::End);
            }
            if agreed == self.named.len() {
                return Ok(Found::Next(candidate));
            }
            if self.steps == 0 {
                return Ok(Found::Tired(candidate));
            }
            self.steps -= 1;
            match self.named[place].at_most(candidate)? {
                None => return Ok(Found::End),
                Some(id) if id == candidate => agreed += 1,
                Some(id) => (candidate, agreed) = (id, 1),
            }
        }
        Ok(Found::End)
    }
}

/// What all indexes of a search are opened with.
pub(super) struct Span<'a, I> {
    pub(super) view: &'a Snapshot,
    pub(super) oldest: I,
}

impl<I: Copy + Ord + 'static> Span<'_, I> {
    /// What is in an index below one of `parts`.
    pub(super) fn any_of<P, K>(
        &self,
        parts: &[P],
        index: &Index<K>,
        key: impl Fn(P, I) -> K + Clone + 'static,
        id: fn(K) -> I,
    ) -> Result<AnyOf<I>, StoreError>
    where
        P: Copy + 'static,
        K: for<'a> redb::Key<SelfType<'a> = K> + Copy + Ord + 'static,
    {
        let ids = parts.iter().map(|&part| {
            let key = key.clone();
            let walker = index.walker(self.view)?;
            Ok(Ids::new(walker, self.oldest, move |id| key(part, id), id))
        });
        ids.collect::<Result<_, StoreError>>().map(AnyOf)
    }
}

/// What is in any of several.
pub(super) struct AnyOf<I>(Vec<Ids<I>>);

impl<I: Copy + Ord + 'static> AnyOf<I> {
    /// What is in one.
    pub(super) fn of(ids: Ids<I>) -> Self {
        Self(vec![ids])
    }

    /// Also what is in another.
    pub(super) fn or(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The newest that is not newer than `id`. From one call to the next, `id` never grows.
    fn at_most(&mut self, id: I) -> Result<Option<I>, StoreError> {
        let mut newest = None;
        for ids in &mut self.0 {
            newest = newest.max(ids.at_most(id)?);
        }
        Ok(newest)
    }
}

/// The ids in one part of an index, newest first, among which can be jumped.
pub(super) struct Ids<I> {
    begin: Box<dyn Fn(I) -> Result<Walk<I>, StoreError>>,
    walk: Option<Walk<I>>,
    head: Option<I>,
}

impl<I: Copy + Ord + 'static> Ids<I> {
    pub(super) fn new<K: 'static>(
        walker: Walker<K>,
        oldest: I,
        key: impl Fn(I) -> K + 'static,
        id: fn(K) -> I,
    ) -> Self {
        let begin = move |newest| {
            let walk = walker(key(oldest)..=key(newest))?;
            let ids: Walk<I> = Box::new(walk.map(move |row| row.map(id)));
            Ok(ids)
        };
        Self { begin: Box::new(begin), walk: None, head: None }
    }

    /// As [`AnyOf::at_most`].
    fn at_most(&mut self, id: I) -> Result<Option<I>, StoreError> {
        if self.walk.is_some() {
            for _ in 0..PASSED {
                match self.head {
                    // No more, or not yet come to.
                    None => return Ok(None),
                    Some(head) if head <= id => return Ok(Some(head)),
                    Some(_) => self.step()?,
                }
            }
            if self.head.is_none_or(|head| head <= id) {
                return Ok(self.head);
            }
        }
        self.walk = Some((self.begin)(id)?);
        self.step()?;
        Ok(self.head)
    }

    fn step(&mut self) -> Result<(), StoreError> {
        self.head = self.walk.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }
}
