//! Ranges of bytes (RFC 9110, 14), and bodies that are sent in pieces.

use std::{
    io,
    ops::{Bound, Range},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use poem::web::headers::Range as Ranges;

use crate::blocking;

/// The bytes of `len` that are asked for, none of which may exist; `None` if it is several ranges.
pub(crate) fn only_range(ranges: &Ranges, len: u64) -> Option<Range<u64>> {
    let mut ranges = ranges.satisfiable_ranges(len);
    let Some((from, to)) = ranges.next() else { return Some(0..0) };
    if ranges.next().is_some() {
        return None;
    }
    let from = match from {
        Bound::Included(from) => from,
        Bound::Excluded(from) => from.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match to {
        Bound::Included(to) => to.saturating_add(1),
        Bound::Excluded(to) => to,
        Bound::Unbounded => len,
    };
    Some(from.min(len)..to.min(len))
}

/// The bytes of a range, of which `read` gives the beginning each time: read where that may block.
pub(crate) fn pieces<R>(
    range: Range<u64>,
    read: R,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    R: Fn(Range<u64>) -> io::Result<Vec<u8>> + Clone + Send + 'static,
{
    let end = range.end;
    stream::try_unfold(range.start, move |at| {
        let read = read.clone();
        async move {
            if at >= end {
                return Ok(None);
            }
            let piece = blocking::run(move || read(at..end)).await.map_err(io::Error::other)??;
            let next = at + u64::try_from(piece.len()).unwrap_or(u64::MAX);
            // A file that is shorter than it says would be read for ever.
            Ok((!piece.is_empty()).then_some((Bytes::from(piece), next)))
        }
    })
}

#[cfg(test)]
mod tests {
    use poem::{
        http::{HeaderMap, HeaderValue, header},
        web::headers::HeaderMapExt as _,
    };

    use super::*;

    fn of(range: &str, len: u64) -> Option<Range<u64>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
        only_range(&headers.typed_get::<Ranges>().unwrap(), len)
    }

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        assert_eq!(of("bytes=0-4", 10), Some(0..5));
        assert_eq!(of("bytes=4-", 10), Some(4..10));
        assert_eq!(of("bytes=4-100", 10), Some(4..10));
        assert_eq!(of("bytes=-3", 10), Some(7..10));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=5-2"] {
            assert!(of(beyond, 10).is_some_and(|range| range.is_empty()), "{beyond}");
        }
        assert_eq!(of("bytes=0-1, 4-5", 10), None);
    }
}
