//! Which passwords are accepted: long ones that are on no attacker's first page.
//!
//! There are no rules about kinds of characters: they make passwords harder to remember and hardly
//! harder to guess. What is refused is what guessing programs try first: the 10,000 most common
//! passwords, also with digits and signs around them, runs of the keyboard, repetitions, and the
//! user's own names.

use super::{PASSWORD_MAX, PASSWORD_MIN};

/// Common passwords in lower case, one a line, in order; `common.LICENSE` says where they are from.
const COMMON: &str = include_str!("strength/common.txt");
/// So many characters around a common password do not make it another one.
const PADDING: usize = 10;
/// Fewest different characters.
const DIFFERENT: usize = 5;
/// Fewest characters besides the user's names.
const BESIDES: usize = 8;
/// What fingers run along; also backwards.
const RUNS: [&str; 5] = [
    "012345678901234567890123456789",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
    "qwertzuiopasdfghjklyxcvbnmqwertzuiop",
    "1q2w3e4r5t6y7u8i9o0p",
];

/// Tells what is wrong with a password of who has these names.
pub(super) fn check(password: &str, username: &str, email: &str) -> Result<(), &'static str> {
    if password.chars().count() < PASSWORD_MIN {
        return Err("must have at least 12 characters");
    }
    if password.len() > PASSWORD_MAX {
        return Err("must have at most 1024 bytes");
    }
    let lower = password.to_lowercase();
    if besides_names(&lower, username, email) < BESIDES {
        return Err("must have at least 8 characters besides your name, your e-mail address and \
                    `automa`");
    }
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT || repeats(&lower) || is_run(&lower) {
        return Err("must not be a repetition or a run of keys: it would be guessed at once");
    }
    if is_common(&lower) {
        return Err("must not be a common password, also with digits around it: four or five \
                    words that do not belong together are a good one");
    }
    Ok(())
}

/// How many characters there are besides those of the user's names.
fn besides_names(lower: &str, username: &str, email: &str) -> usize {
    let email = email.to_lowercase();
    let local = email.split('@').next().unwrap_or_default();
    let mut rest = lower.to_owned();
    for name in [&*email, &username.to_lowercase(), local, "automa"] {
        // A shorter one is part of many words.
        if name.chars().count() > 2 {
            rest = rest.replace(name, "");
        }
    }
    rest.chars().count()
}

/// Whether it is something short again and again.
fn repeats(lower: &str) -> bool {
    let chars: Vec<char> = lower.chars().collect();
    let unit = |length: &usize| {
        chars.len().is_multiple_of(*length)
            && chars.iter().zip(chars.iter().cycle().skip(*length)).all(|(a, b)| a == b)
    };
    (1..PASSWORD_MIN.min(chars.len() / 2 + 1)).any(|length| unit(&length))
}

fn is_run(lower: &str) -> bool {
    let backwards: String = lower.chars().rev().collect();
    RUNS.iter().any(|run| run.contains(lower) || run.contains(&backwards))
}

/// Whether it is a common password, maybe with something other than letters around it.
fn is_common(lower: &str) -> bool {
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    let padding = lower.chars().count() - core.chars().count();
    is_listed(lower) || (padding <= PADDING && is_listed(core))
}

fn is_listed(word: &str) -> bool {
    // Lines are of different lengths: any place in the text leads to the line around it.
    let (mut from, mut to) = (0, COMMON.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let start = COMMON[..middle].rfind('\n').map_or(0, |end| end + 1);
        let end = COMMON[middle..].find('\n').map_or(COMMON.len(), |end| middle + end);
        match COMMON[start..end].cmp(word) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = end + 1,
            std::cmp::Ordering::Greater => to = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_ada(password: &str) -> Result<(), &'static str> {
        check(password, "Ada.Lovelace", "ada@example.com")
    }

    #[test]
    fn the_list_is_sorted_and_every_entry_of_it_is_found() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.len() >= 10_000 - 100, "{}", lines.len());
        assert!(lines.is_sorted_by(|a, b| a < b));
        for line in lines {
            assert!(is_listed(line), "{line}");
        }
        for word in ["", "a", "zzzzzzzzzzzz", "correct horse", "\u{10ffff}"] {
            assert!(!is_listed(word), "{word}");
        }
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        for password in [
            "eleven char",
            "äöüäöüäöüäö",
            "Password1234",
            "!!Dragon-1987!!",
            "1234567890123",
            "Qwertyuiop123",
            "qwertyuiopasdf",
            "poiuytrewqmnbv",
            "zyxwvutsrqponm",
            "aaaaaaaaaaaaaaaaaaaa",
            "abababababababab",
            "hunter2hunter2",
            "correct correct ",
            "ada.lovelace1815",
            "Automa-2026-Ada",
            "ada@example.com2026",
        ] {
            assert!(of_ada(password).is_err(), "{password}");
        }
        assert!(of_ada(&"äb1c, ".repeat(200)).is_err(), "too long");
    }

    #[test]
    fn what_is_hard_to_guess_is_accepted_whatever_it_is_made_of() {
        for password in [
            "correct horse",
            "correct horse battery staple",
            "tide lamp orbit quill",
            "ада лавлейс машина",
            "7Jc!x0-pLq2v",
            "dragon 0391827465 1029",
            "the programs of ada.lovelace",
            "horse battery horse battery horse",
        ] {
            assert_eq!(of_ada(password), Ok(()), "{password}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_judged(password in "\\PC{0,40}", name in "\\PC{0,9}") {
            let judged = check(&password, &name, &format!("{name}@b"));
            prop_assert!(judged.is_err() || password.chars().count() >= PASSWORD_MIN);
        }

        #[test]
        fn a_common_password_is_refused_with_anything_but_letters_around_it(
            place in any::<prop::sample::Index>(),
            before in "[0-9!. ]{0,4}",
            after in "[0-9!?_]{0,6}",
            upper: bool,
        ) {
            let words: Vec<&str> =
                COMMON.lines().filter(|it| it.bytes().all(|b| b.is_ascii_lowercase())).collect();
            let word = place.get(&words);
            let word = if upper { word.to_uppercase() } else { (*word).to_owned() };
            prop_assert!(of_ada(&[&*before, &word, &after].concat()).is_err());
        }
    }
}
