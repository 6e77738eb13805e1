//! Lists in pages: some items, and a cursor from which the next page continues.
//!
//! A cursor names the last item of a page, not a number of items to skip: a page costs the same
//! wherever it is, and what is added meanwhile moves nothing.

use std::{fmt, fmt::Write as _, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, newest first unless the list says otherwise.
    pub items: Vec<T>,
    /// Where the next page continues; `None` on the last.
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(item).collect(), next_cursor: self.next_cursor }
    }
}

/// Which page: how many items, after which cursor. The default is the first page of 50.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// The cursor of the page before, `None` for the first page.
    pub cursor: Option<Cursor>,
    /// The most items.
    pub limit: Limit,
}

/// How many items a page has at most: 1 to 200, 50 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

/// A number of items that no page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page has 1 to {most} items, not {0}", most = Limit::MAX)]
pub struct InvalidLimit(u64);

impl Limit {
    /// The most items of any page.
    pub const MAX: u16 = 200;

    /// A limit of `items`.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`] unless it is 1 to 200.
    pub fn new(items: u64) -> Result<Self, InvalidLimit> {
        match u16::try_from(items) {
            Ok(items @ 1..=Self::MAX) => Ok(Self(items)),
            _ => Err(InvalidLimit(items)),
        }
    }

    /// The number of items.
    #[must_use]
    pub fn items(self) -> usize {
        self.0.into()
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

/// Where a list continues, as text that fits a URL and means nothing to a client.
///
/// It carries a checksum over the list's name, so that a cursor that was cut off, mistyped or
/// taken from another list is refused. The sum is no secret: who computes one gets another place
/// in a list he may read anyway, and lists authorise each request by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// A cursor that is none, or one of another list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this cursor does not belong to this list; start again without one")]
pub struct InvalidCursor;

impl Cursor {
    /// Bytes of the checksum, which come first.
    const SUM: usize = 8;
    /// The most bytes of a key, so that a cursor fits in a URL.
    const MAX_KEY: usize = 256;

    /// The place in `list` after the item whose key is `key`, at most 256 bytes.
    pub(crate) fn new(list: &str, key: &[u8]) -> Self {
        debug_assert!(key.len() <= Self::MAX_KEY, "a key of {} bytes in {list}", key.len());
        Self([&checksum(list, key)[..], key].concat())
    }

    /// The key, if this is a cursor of `list`.
    pub(crate) fn key(&self, list: &str) -> Result<&[u8], InvalidCursor> {
        let (sum, key) = self.0.split_at_checked(Self::SUM).ok_or(InvalidCursor)?;
        if sum == checksum(list, key) { Ok(key) } else { Err(InvalidCursor) }
    }
}

/// FNV-1a, 64 bits: every change of a single byte changes it.
fn checksum(list: &str, key: &[u8]) -> [u8; Cursor::SUM] {
    // No text contains 0xff: it keeps the list's name and the key apart.
    let bytes = list.as_bytes().iter().chain(&[0xff]).chain(key);
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    sum.to_be_bytes()
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(")?;
        fmt::Display::fmt(self, f)?;
        f.write_char(')')
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    /// Reads what `Display` wrote. Whether it belongs to a list shows when it is used.
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let sizes = 2 * Self::SUM..=2 * (Self::SUM + Self::MAX_KEY);
        if !sizes.contains(&text.len()) || !text.len().is_multiple_of(2) {
            return Err(InvalidCursor);
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidCursor),
        };
        let pairs = text.as_bytes().chunks_exact(2);
        pairs
            .map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_1_to_200() {
        assert_eq!(Limit::default().items(), 50);
        for items in [1, 50, 200] {
            assert_eq!(Limit::new(items).unwrap().items() as u64, items);
        }
        for items in [0, 201, 70_000, u64::MAX] {
            let error = Limit::new(items).unwrap_err().to_string();
            assert_eq!(error, format!("a page has 1 to 200 items, not {items}"));
        }
    }

    #[test]
    fn a_page_is_json_with_an_opaque_cursor() {
        let page = Page { items: vec![1, 2], next_cursor: Some(Cursor::new("numbers", &[2])) };
        let json = serde_json::to_value(page.clone().map(|item| item * 2)).unwrap();
        assert_eq!(json["items"], serde_json::json!([2, 4]));
        let cursor: Cursor = serde_json::from_value(json["next_cursor"].clone()).unwrap();
        assert_eq!(Some(cursor), page.next_cursor);
    }

    proptest! {
        #[test]
        fn a_cursor_round_trips_through_url_safe_text(list: String, key in bytes()) {
            let text = Cursor::new(&list, &key).to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let cursor: Cursor = text.parse().unwrap();
            prop_assert_eq!(cursor.key(&list), Ok(&key[..]));
        }

        #[test]
        fn a_changed_cursor_is_refused(key in bytes(), place: prop::sample::Index, with: char) {
            let text = Cursor::new("scripts", &key).to_string();
            let place = place.index(text.len());
            let changed = format!("{}{with}{}", &text[..place], &text[place + 1..]);
            prop_assume!(changed != text);
            let refused = changed.parse::<Cursor>().is_ok_and(|cursor| cursor.key("scripts").is_ok());
            prop_assert!(!refused, "{} for {}", changed, text);
        }

        #[test]
        fn a_shortened_or_foreign_cursor_is_refused(key in bytes(), end: prop::sample::Index) {
            let text = Cursor::new("scripts", &key).to_string();
            let short = text[..end.index(text.len())].parse::<Cursor>();
            prop_assert!(!short.is_ok_and(|cursor| cursor.key("scripts").is_ok()));
            let foreign: Cursor = text.parse().unwrap();
            prop_assert_eq!(foreign.key("users"), Err(InvalidCursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text: String) {
            prop_assert!(!text.parse::<Cursor>().is_ok_and(|cursor| cursor.key("scripts").is_ok()));
        }
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..=Cursor::MAX_KEY)
    }
}
