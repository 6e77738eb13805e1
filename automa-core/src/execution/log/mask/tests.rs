use proptest::{prelude::*, sample::Index};

use super::{Forms, Mask, MaskError, Masker, Patterns, SECRET_MIN, forms};

/// What comes of `pieces`.
fn masked<'a>(masker: &mut Masker, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, |bytes| out.extend(bytes));
        assert!(masker.held.len() < masker.patterns.longest);
    }
    masker.finish(|bytes| out.extend(bytes));
    out
}

fn masker(secrets: &[&str]) -> Masker {
    let [masker, _] = Mask::new(secrets).unwrap().maskers().unwrap();
    masker
}

fn mask(secrets: &[&str], text: &str) -> String {
    String::from_utf8(masked(&mut masker(secrets), [text.as_bytes()])).unwrap()
}

/// Looks for each pattern at each place, and gives stars for those that overlap.
fn reference(patterns: &Forms, text: &[u8]) -> Vec<u8> {
    let mut places: Vec<_> = (0..text.len())
        .flat_map(|at| patterns.iter().map(move |pattern| (at, pattern)))
        .filter(|(at, pattern)| text[*at..].starts_with(pattern.as_slice()))
        .map(|(at, pattern)| (at, at + pattern.len()))
        .collect();
    places.sort_unstable();
    let (mut out, mut at) = (Vec::new(), 0);
    for (from, to) in places {
        if from >= at {
            out.extend(&text[at..from]);
            out.extend(b"***");
        }
        at = at.max(to);
    }
    out.extend(&text[at..]);
    out
}

#[test]
fn secrets_become_stars() {
    assert_eq!(
        mask(&["hunter22"], "user hunter22, again hunter22hunter22!"),
        "user ***, again ******!"
    );
    assert_eq!(mask(&["aaaa"], "aaa aaaaa aaaaaaaaab"), "aaa *** ***b");
    assert_eq!(mask(&["abcdef", "defghi"], "xabcdefghix"), "x***x");
    assert_eq!(mask(&["secret", "secretkey"], "secretke secretkey"), "***ke ***");
    assert_eq!(mask(&["p\u{e4}ssw\u{f6}rd"], "p\u{e4}ssw\u{f6}rd p\u{e4}ss"), "*** p\u{e4}ss");
}

#[test]
fn secrets_in_other_forms_become_stars() {
    let secret = "p/ss w\"rd+\u{e9}";
    for form in [
        "702f7373207722 72642bc3a9",
        "702F73732077 2272642BC3A9",
        "cC9zcyB3InJkK8Op",
        "p%2Fss%20w%22rd%2B%C3%A9",
        "p%2fss+w%22rd%2b%c3%a9",
        "p/ss%20w%22rd%2B%C3%A9",
        "p/ss%20w%22rd+%C3%A9",
        r#"p/ss w\"rd+é"#,
        r#"p\/ss w\"rd+é"#,
        r#"p/ss w\"rd+\u00e9"#,
        r#"p\/ss w\"rd+\u00e9"#,
    ] {
        let form = form.replace(if form.starts_with("702") { " " } else { "\0" }, "");
        assert_eq!(mask(&[secret], &format!("<{form}>")), "<***>", "{form}");
    }
    assert_eq!(mask(&["caf\u{e9}"], r"caf\u00E9 caf\u00e9"), "*** ***");
    assert_eq!(mask(&["word"], "%77%6f%72%64 %77%6F%72%64"), "*** ***");
    assert_eq!(mask(&["a<b&c>"], r"a\u003cb\u0026c\u003e"), "***");
    assert_eq!(mask(&["tab\there\u{1}\r\n\\x\u{8}\u{c}"], r"tab\there\u0001\r\n\\x\b\f"), "***");
    assert_eq!(mask(&["emoji\u{1f600}"], r"emoji\ud83d\ude00"), "***");
}

/// Made with bash and Python.
#[test]
fn secrets_in_quotes_become_stars() {
    let secret = "it's $5 \"now\" \\o/";
    for form in [
        // set -x and shlex.quote
        r#"'it'\''s $5 "now" \o/'"#,
        r#"'it'"'"'s $5 "now" \o/'"#,
        // declare -p, printf %q and repr
        r#""it's \$5 \"now\" \\o/""#,
        r#"it\'s\ \$5\ \"now\"\ \\o/"#,
        r#"'it\'s $5 "now" \\o/'"#,
    ] {
        let masked = mask(&[secret], &format!("<{form}>"));
        let bare = masked.trim_matches(['<', '>', '\'', '"']);
        assert_eq!(bare, "***", "{form}");
    }
    assert_eq!(mask(&["one\ntwo"], r"$'one\ntwo'"), "$'***'");
    assert_eq!(mask(&["#a~b=c"], r"\#a\~b\=c \#a~b=c #a~b=c"), r"*** \*** ***");
}

/// Made with coreutils.
#[test]
fn base64_is_found_at_every_place() {
    for (text, left) in [
        ("aHVudGVyMjI=", "***"),                   // hunter22
        ("aHVudGVyMjI", "***"),                    //
        ("dTpodW50ZXIyMg==", "dTp***"),            // u:hunter22
        ("dXNlOmh1bnRlcjIy", "dXNlOm***"),         // use:hunter22
        ("dXNlcjpodW50ZXIyMg==", "dXNlcjp***"),    // user:hunter22
        ("eGh1bnRlcjIyCg==", "eG***Cg=="),         // xhunter22, newline
        ("YWJodW50ZXIyMmFi", "YWJ***mFi"),         // abhunter22ab
        ("YWJjaHVudGVyMjJhYmM=", "YWJj***JhYmM="), // abchunter22abc
        ("YWJjZGh1bnRlcjIyYWJj", "YWJjZG***YWJj"), // abcdhunter22abc
    ] {
        assert_eq!(mask(&["hunter22"], text), left, "{text}");
    }
    // ab???>>>cd in both alphabets.
    assert_eq!(mask(&["???>>>"], "YWI/Pz8+Pj5jZA=="), "YWI***5jZA==");
    assert_eq!(mask(&["???>>>"], "YWI_Pz8-Pj5jZA"), "YWI***5jZA");
    let long = "0123456789".repeat(9);
    let wrapped = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2\n\
                   Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\n";
    assert_eq!(mask(&[&long], wrapped), "***\n***\n");
}

#[test]
fn white_space_around_a_secret_does_not_matter() {
    let file = "hunter22\n";
    for (text, left) in [
        ("hunter22\n", "***\n"),
        ("hunter22,", "***,"),
        ("aHVudGVyMjIK", "***"),
        ("aHVudGVyMjI=", "***"),
        (r#""hunter22\n""#, r#""***""#),
        ("hunter22%0A", "***%0A"),
    ] {
        let masked = mask(&[file], text);
        assert!(masked == left || masked == left.replace("%0A", ""), "{text}: {masked}");
    }
    let key = "-----BEGIN KEY-----\r\nQUJDREVGR0g\r\n}\r\n-----END KEY-----\r\n";
    assert_eq!(mask(&[key], "  QUJDREVGR0g\n}\n"), "  ***\n}\n");
    assert_eq!(mask(&[key], key), "***\r\n");
}

#[test]
fn short_secrets_are_not_masked() {
    for secret in ["", "abc", " ab \n", "\n\n\n\n\n"] {
        let mask = Mask::new([secret]).unwrap();
        assert!(mask.is_empty() && mask.maskers().is_none(), "{secret:?}");
    }
    assert!(!Mask::new(["abcd"]).unwrap().is_empty());
    for secret in ["abcd", "\u{0}\u{1}\u{2}\u{3}", "a\nb\nc\nd", "1234567"] {
        let forms = forms::forms(secret.as_bytes());
        assert!(forms.iter().all(|form| form.len() >= SECRET_MIN), "{forms:?}");
    }
}

#[test]
fn bytes_that_cannot_become_a_secret_are_not_held_back() {
    let mut masker = masker(&["hunter22"]);
    let mut push = |text: &str| {
        let mut out = Vec::new();
        masker.push(text.as_bytes(), |bytes| out.extend(bytes));
        String::from_utf8(out).unwrap()
    };
    assert_eq!(push("password: "), "password: ");
    assert_eq!(push("hunt"), "");
    assert_eq!(push("er2"), "");
    assert_eq!(push("2"), "***", "as soon as it is whole");
    assert_eq!(push("\n"), "\n");
    assert_eq!(push("huh"), "hu");
    assert_eq!(push("hunter2x"), "hhunter2x");
}

#[test]
fn nothing_shows_secrets() {
    let mask = Mask::new(["hunter22"]).unwrap();
    let mut masker = masker(&["hunter22"]);
    masker.push(b"hunter", |_| ());
    assert_eq!(format!("{mask:?} {masker:?}"), "Mask(secrets) Masker { held: 6, .. }");
    assert_eq!(format!("{:?}", Mask::default()), "Mask(nothing)");
}

#[test]
fn secrets_that_are_too_large_are_refused() {
    let secret: Vec<u8> = (0..90_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(Mask::new([secret]).unwrap_err(), MaskError);
}

#[test]
fn secrets_are_found_wherever_they_are_cut() {
    let secrets = ["hunter22", "aabaabaac", "22hunter", "xabcd", "abcd", "dxyz"];
    let text = b"a hunter22 aHVudGVyMjI= aabaabaabaac xabcdxyz hunter22hunter aabaaba";
    let mut masker = masker(&secrets);
    let whole = masked(&mut masker, [&text[..]]);
    assert_eq!(whole, b"a *** *** aab*** *** *** aabaaba");
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            assert_eq!(masked(&mut masker, pieces), whole, "cut at {first} and {second}");
        }
    }
    let bytes = text.iter().map(std::slice::from_ref);
    assert_eq!(masked(&mut masker, bytes), whole);
}

fn check(secrets: &[Vec<u8>], text: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let mut patterns: Forms = secrets.iter().flat_map(|secret| forms::forms(secret)).collect();
    patterns.sort_unstable_by(|a, b| a.as_slice().cmp(b));
    patterns.dedup();
    if patterns.is_empty() {
        return Ok(());
    }
    let mut masker = Masker::new(Patterns::new(&patterns).unwrap().into());
    let (mut pieces, mut rest) = (Vec::new(), text);
    for cut in cuts {
        let (piece, left) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = left;
    }
    pieces.push(rest);
    prop_assert_eq!(masked(&mut masker, pieces), reference(&patterns, text));
    Ok(())
}

proptest! {
    /// Few letters: secrets overlap themselves, each other, and the cuts.
    #[test]
    fn exactly_the_secrets_are_masked(
        secrets in proptest::collection::vec("[ab]{4,9}".prop_map(String::into_bytes), 1..5),
        text in "[abc]{0,200}",
        cuts in proptest::collection::vec(0..20_usize, 0..20),
    ) {
        check(&secrets, text.as_bytes(), &cuts)?;
    }

    /// Any bytes, much of one letter, and now and then a form of a secret or the beginning of one.
    #[test]
    fn other_bytes_stay_as_they_are(
        secrets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
        text in proptest::collection::vec(
            (any::<u8>(), any::<Index>(), any::<Index>(), 0..12_u8),
            0..80,
        ),
        cuts in proptest::collection::vec(0..500_usize, 0..20),
    ) {
        let forms: Vec<_> = secrets.iter().flat_map(|secret| forms::forms(secret)).collect();
        let mut bytes = Vec::new();
        for (byte, index, len, choice) in text {
            match choice {
                0 | 1 if !forms.is_empty() => {
                    let form = index.get(&forms);
                    let len = if choice == 0 { form.len() } else { len.index(form.len()) };
                    bytes.extend(&form[..len]);
                }
                2 => bytes.extend([byte].repeat(len.index(300))),
                _ => bytes.push(byte),
            }
        }
        check(&secrets, &bytes, &cuts)?;
    }
}
