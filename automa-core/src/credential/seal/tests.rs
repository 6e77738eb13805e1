use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{clock::TestClock, credential::KeyOrigin};

fn clock() -> TestClock {
    TestClock::new(Timestamp::UNIX_EPOCH)
}

fn place(credential: CredentialId, shown: &[(String, String)]) -> Place<'_> {
    Place { credential, version: 3, kind: Kind::UserPass, shown }
}

fn fields(texts: &[(&str, &str)]) -> Vec<(String, SecretString)> {
    texts.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect()
}

fn texts(fields: &[(String, SecretString)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (&**name, value.expose_secret())).collect()
}

/// Sealed in `place`, with the key that does so.
fn sealed(clock: &TestClock, place: Place<'_>) -> (MasterKey, Sealed) {
    let master = MasterKey::generate(clock, KeyOrigin::File);
    let fields = fields(&[("password", "correct horse"), ("pin", "correct horse")]);
    let sealed = Sealed::seal(&master, place, &fields, clock);
    (master, sealed)
}

#[test]
fn what_was_sealed_is_opened_in_its_place_alone() {
    let (clock, shown) = (clock(), [("host".to_owned(), "a".to_owned())]);
    let (one, other) = (CredentialId::generate(&clock), CredentialId::generate(&clock));
    let place = place(one, &shown);
    let (master, sealed) = sealed(&clock, place);
    let opened = sealed.open(&master, place).unwrap();
    assert_eq!(texts(&opened), [("password", "correct horse"), ("pin", "correct horse")]);
    let evil = [("host".to_owned(), "evil".to_owned())];
    let shifted = [("hos".to_owned(), "ta".to_owned())];
    for elsewhere in [
        Place { credential: other, ..place },
        Place { version: 4, ..place },
        Place { kind: Kind::ApiKey, ..place },
        Place { shown: &evil, ..place },
        Place { shown: &shifted, ..place },
        Place { shown: &[], ..place },
    ] {
        let error = sealed.open(&master, elsewhere).unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{elsewhere:?}: {error}");
    }
    let wrong = MasterKey::generate(&clock, KeyOrigin::File);
    assert!(sealed.open(&wrong, place).is_err());
}

#[test]
fn fields_and_keys_are_not_exchanged() {
    let (clock, shown) = (clock(), []);
    let place = place(CredentialId::generate(&clock), &shown);
    let (master, sealed) = sealed(&clock, place);
    let mut swapped = sealed.clone();
    let (first, second) = swapped.fields.split_at_mut(1);
    std::mem::swap(&mut first[0].1, &mut second[0].1);
    assert!(swapped.open(&master, place).is_err(), "two fields of one version");
    let again = Sealed::seal(&master, place, &fields(&[("password", "correct horse")]), &clock);
    assert_ne!(again.fields[0], sealed.fields[0], "nothing is sealed twice in the same way");
    let foreign_field = Sealed { fields: again.fields.clone(), ..sealed.clone() };
    assert!(foreign_field.open(&master, place).is_err(), "a field of another sealing");
    let foreign_key = Sealed { wrapped: again.wrapped, ..sealed };
    assert!(foreign_key.open(&master, place).is_err(), "the data key of another sealing");
}

#[test]
fn every_bit_counts_and_every_byte() {
    let (clock, shown) = (clock(), []);
    let place = place(CredentialId::generate(&clock), &shown);
    let (master, sealed) = sealed(&clock, place);
    let parts: [fn(&mut Sealed) -> &mut Vec<u8>; 2] =
        [|it| &mut it.wrapped, |it| &mut it.fields[0].1];
    for part in parts {
        let length = part(&mut sealed.clone()).len();
        for bit in 0..length * 8 {
            let mut flipped = sealed.clone();
            part(&mut flipped)[bit / 8] ^= 1 << (bit % 8);
            assert!(flipped.open(&master, place).is_err(), "bit {bit}");
        }
        for shorter in 0..length {
            let mut cut = sealed.clone();
            part(&mut cut).truncate(shorter);
            assert!(cut.open(&master, place).is_err(), "{shorter} bytes");
        }
        let mut longer = sealed.clone();
        part(&mut longer).push(0);
        assert!(longer.open(&master, place).is_err());
    }
}

#[test]
fn another_master_key_takes_over_without_the_secret() {
    let (clock, shown) = (clock(), []);
    let place = place(CredentialId::generate(&clock), &shown);
    let (old, sealed) = sealed(&clock, place);
    let new = MasterKey::generate(&clock, KeyOrigin::File);
    let moved = sealed.rewrap(&old, &new, place, &clock).unwrap();
    assert_eq!(moved.fields, sealed.fields);
    assert_eq!(moved.key, new.id());
    assert_eq!(texts(&moved.open(&new, place).unwrap()).len(), 2);
    assert!(moved.open(&old, place).is_err());
    assert!(sealed.rewrap(&new, &old, place, &clock).is_err());
    let elsewhere = Place { version: 9, ..place };
    assert!(sealed.rewrap(&old, &new, elsewhere, &clock).is_err());
}

/// If this fails, the format has changed: what was sealed before can no longer be opened.
#[test]
fn what_was_sealed_once_can_be_opened() {
    let clock = clock();
    let shown = [("username".to_owned(), "ada".to_owned())];
    let id: CredentialId = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
    let place = place(id, &shown);
    let master = MasterKey::new(Zeroizing::new([7; 32]), KeyOrigin::Given);
    assert_eq!(master.id().to_string(), GOLDEN_ID);
    let sealed = Sealed::seal(&master, place, &fields(&[("password", "correct horse")]), &clock);
    let bytes = postcard::to_stdvec(&sealed).unwrap();
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.concat(), GOLDEN_SEALED);
    let read: Sealed = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(texts(&read.open(&master, place).unwrap()), [("password", "correct horse")]);
}

const GOLDEN_ID: &str = "9bfab70c10a45d3d";
const GOLDEN_SEALED: &str = "9bfab70c10a45d3d483cab16c93a1384c5c38ac9419078e53ea6b08c368c48b8f3a1\
     54c187d1e8615b76d6563d8061c19d512bf49ad4649f293fe86297bcadb0b47be29183f2bef993321f81bf66820be6\
     010870617373776f7264359b74a8516a89391beaa27e740c9fcb53e132451fbe9a822c64db85cfda66bf942347f68b\
     cd9d11cbd211107776a6cdbf038ff98eb7";

proptest! {
    #[test]
    fn any_text_is_opened_as_it_was_sealed(values: Vec<String>, version: u32) {
        let clock = clock();
        let place = Place {
            credential: CredentialId::generate(&clock), version, kind: Kind::Custom, shown: &[],
        };
        let names = (0..values.len()).map(|number| format!("field{number}"));
        let fields: Vec<_> =
            names.zip(&values).map(|(name, value)| (name, value.as_str().into())).collect();
        let master = MasterKey::generate(&clock, KeyOrigin::File);
        let sealed = Sealed::seal(&master, place, &fields, &clock);
        let opened = sealed.open(&master, place).unwrap();
        prop_assert_eq!(texts(&opened), texts(&fields));
        for (value, (_, sealed)) in values.iter().zip(&sealed.fields) {
            prop_assert!(value.len() < 4 || !sealed.windows(value.len()).any(|it| it == value.as_bytes()));
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(wrapped: Vec<u8>, field: Vec<u8>) {
        let clock = clock();
        let place = place(CredentialId::generate(&clock), &[]);
        let (master, sealed) = sealed(&clock, place);
        let other = Sealed { wrapped, ..sealed.clone() };
        prop_assert!(other.open(&master, place).is_err());
        let other = Sealed { fields: vec![("password".to_owned(), field)], ..sealed };
        prop_assert!(other.open(&master, place).is_err());
    }
}
