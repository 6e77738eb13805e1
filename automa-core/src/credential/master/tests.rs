use std::{fs, os::unix::fs::PermissionsExt as _};

use proptest::prelude::*;

use super::*;
use crate::clock::TestClock;

fn clock() -> TestClock {
    TestClock::new(Timestamp::UNIX_EPOCH)
}

fn ids(keys: &[MasterKey]) -> Vec<KeyId> {
    keys.iter().map(MasterKey::id).collect()
}

#[test]
fn a_file_of_keys_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(KEY_FILE);
    assert!(read_file(&path).unwrap().is_empty());
    let keys = [0, 1].map(|_| MasterKey::generate(&clock(), KeyOrigin::File));
    // What a crash left behind does not decide who may read it.
    fs::write(path.with_extension("draft"), "junk").unwrap();
    write_file(&path, &keys).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ids(&read_file(&path).unwrap()), ids(&keys));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    for mode in [0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = read_file(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
    }
}

#[test]
fn what_is_no_file_of_keys_is_refused_without_telling_what_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(KEY_FILE);
    let key = "a1".repeat(32);
    for text in ["", "# nothing\n", &key[1..], &format!("{key}0"), &format!("{key}\nx"), "\u{fc}"] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(matches!(error, VaultError::KeyFile { .. }), "{text:?}");
        assert!(!error.to_string().contains("a1a1"), "{error}");
    }
    fs::write(&path, format!("\n# mine\n  {}  \n", key.to_uppercase())).unwrap();
    assert_eq!(read_file(&path).unwrap().len(), 1);
}

#[test]
fn a_passphrase_makes_one_key_with_one_salt() {
    let origin =
        |salt| KeyOrigin::Passphrase { salt: [salt; 16], memory_kib: 64, passes: 1, lanes: 1 };
    let derive = |text: &str, salt| MasterKey::derive(&text.into(), origin(salt)).unwrap().id();
    assert_eq!(derive("correct horse", 1), derive("correct horse", 1));
    assert_ne!(derive("correct horse", 1), derive("correct horse", 2));
    assert_ne!(derive("correct horse", 1), derive("correct horsE", 1));
    let too_much = KeyOrigin::Passphrase { salt: [0; 16], memory_kib: 1, passes: 1, lanes: 1 };
    let error = MasterKey::derive(&"x".into(), too_much).unwrap_err();
    assert_eq!(error, VaultError::Derivation);
    let KeyOrigin::Passphrase { memory_kib, passes, .. } = new_salt(&clock()) else { panic!() };
    assert!((memory_kib, passes) >= (64 * 1024, 3));
}

#[test]
fn a_key_is_given_as_hexadecimal_digits_or_base64() {
    let parse = |text: &str| match KeySource::parse(&text.into()) {
        Ok(KeySource::Bytes(bytes)) => bytes.expose_secret().to_vec(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(parse(&"07".repeat(32)), [7; 32]);
    let base64 = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    assert_eq!(parse(base64), [7; 32]);
    assert_eq!(parse(&format!(" {base64}=\n")), [7; 32]);
    for text in ["", "short", &base64[1..], &format!("{base64}BwcH"), "\u{fc}"] {
        let error = KeySource::parse(&text.into()).unwrap_err();
        assert_eq!(error, VaultError::WeakKey, "{text}");
    }
}

#[test]
fn nothing_of_a_key_is_printed() {
    let key = MasterKey::new(Zeroizing::new([0xab; 32]), KeyOrigin::File);
    assert_eq!(format!("{key:?}"), format!("MasterKey({})", key.id()));
    let sources = [
        KeySource::Bytes(vec![0xab; 32].into()),
        KeySource::Passphrase("correct horse battery".into()),
    ];
    for source in sources {
        let text = format!("{source:?}");
        assert!(!text.contains("171") && !text.contains("horse"), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text: String) {
        let _ = from_hex(&text);
    }

    #[test]
    fn a_key_is_read_as_it_was_written(bytes: [u8; 32]) {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(*from_hex(&hex.concat()).unwrap(), bytes);
    }
}
