//! What a key looks like: `sk-`, 43 random letters and digits, and six more by which a typing error
//! shows before anything is looked up.

use crc32fast::hash as crc32;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;

/// What every key begins with.
pub const PREFIX: &str = "sk-";
/// Letters and digits: 62^43 is more than 2^256.
const RANDOM: usize = 43;
/// 62^6 is more than 2^32.
const SUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new key, and its last four characters.
pub(super) fn generate(clock: &dyn Clock) -> (SecretString, String) {
    let mut random = String::with_capacity(RANDOM);
    let mut bytes = [0; 64];
    while random.len() < RANDOM {
        clock.fill(&mut bytes);
        // What is left of 256 would make some more likely than others.
        let fair = bytes.iter().filter(|&&byte| byte < 248).map(|byte| usize::from(byte % 62));
        let letters = fair.map(|place| char::from(ALPHABET[place]));
        random.extend(letters.take(RANDOM - random.len()));
    }
    let sum = sum(&random);
    let ending = sum[SUM - 4..].to_owned();
    (format!("{PREFIX}{random}{sum}").into(), ending)
}

/// Whether text can be a key at all.
pub(super) fn is_whole(text: &str) -> bool {
    let Some(body) = text.strip_prefix(PREFIX) else { return false };
    let known = body.len() == RANDOM + SUM && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
    known && sum(&body[..RANDOM]) == body[RANDOM..]
}

/// By which a key is found. Who measures how long that takes learns something of hashes, from which no
/// key can be made.
pub(super) fn hash(key: &SecretString) -> [u8; 32] {
    Sha256::digest(key.expose_secret()).into()
}

fn sum(random: &str) -> String {
    let mut rest = crc32(random.as_bytes());
    let mut digits = [0; SUM];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::TestClock;

    fn key(seed: u64) -> String {
        let clock = TestClock::with_seed(Timestamp::UNIX_EPOCH, seed);
        generate(&clock).0.expose_secret().to_owned()
    }

    #[test]
    fn a_key_is_recognised_by_its_beginning_and_its_end() {
        let clock = TestClock::new(Timestamp::UNIX_EPOCH);
        let ((first, ending), (second, _)) = (generate(&clock), generate(&clock));
        let first = first.expose_secret();
        assert_ne!(first, second.expose_secret());
        assert_eq!(first.len(), 52);
        assert!(first.starts_with("sk-") && first.ends_with(&ending), "{first}");
        assert!(is_whole(first));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let key = key(1);
        for wrong in ["", "sk-", &key[3..], &key[..51], &format!("{key}0"), &key.to_lowercase()] {
            assert!(!is_whole(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_typing_error_shows(seed: u64, place in 3usize..52, letter in 0usize..62) {
            let right = key(seed);
            prop_assert!(is_whole(&right));
            let mut wrong = right.clone().into_bytes();
            wrong[place] = ALPHABET[letter];
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(is_whole(&wrong), wrong == right);
        }

        #[test]
        fn two_letters_that_changed_places_show(seed: u64, place in 3usize..51) {
            let right = key(seed);
            let mut wrong = right.clone().into_bytes();
            wrong.swap(place, place + 1);
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(is_whole(&wrong), wrong == right);
        }

        #[test]
        fn any_text_is_a_key_or_none(text: String) {
            let _ = is_whole(&text);
            let _ = is_whole(&format!("sk-{text}"));
        }
    }
}
