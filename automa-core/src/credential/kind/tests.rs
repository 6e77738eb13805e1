use proptest::prelude::*;

use super::*;

fn data(fields: &[(&str, &str)]) -> Data {
    fields.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect()
}

/// What is wrong, as `field: reason`.
fn faults(kind: Kind, fields: &[(&str, &str)]) -> Vec<String> {
    let errors = kind.check(data(fields)).map(drop).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

/// A key that nothing uses, and the same with a passphrase.
const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABbm90IGEgcmVhbCBrZXk=
-----END OPENSSH PRIVATE KEY-----";
const OPENSSH_LOCKED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0bm90IGEgcmVhbCBrZXk=
-----END OPENSSH PRIVATE KEY-----";
const OLD_LOCKED: &str = "-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,00000000000000000000000000000000

AAAAAAAAAAAAAAAA
-----END RSA PRIVATE KEY-----";

#[test]
fn each_type_takes_what_it_is_made_of_and_nothing_else() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        let missing = faults(kind, &[]);
        let required: Vec<_> = kind.fields().iter().filter(|field| field.required).collect();
        assert_eq!(missing.len(), required.len(), "{kind}: {missing:?}");
        assert!(required.iter().any(|field| field.secret), "{kind} has nothing to keep");
        let other = faults(kind, &[("colour", "red")]).pop().unwrap();
        assert!(other.starts_with("data.colour: is no field of"), "{other}");
    }
    let parts = Kind::DbConnection
        .check(data(&[
            ("engine", "postgresql"),
            ("host", "db.example.com"),
            ("password", "p"),
            ("port", ""),
        ]))
        .unwrap();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(parts.shown, [pair("engine", "postgresql"), pair("host", "db.example.com")]);
    assert_eq!(parts.secret.len(), 1);
}

#[test]
fn a_field_that_is_wrong_is_told_without_what_it_says() {
    let cases: [(Kind, &str, &str); 12] = [
        (Kind::ApiKey, "key", "tell\nnobody"),
        (Kind::ApiKey, "key", "tell\0nobody"),
        (Kind::ApiKey, "url", "ftp://tell.example.com"),
        (Kind::ApiKey, "url", "https://tell:nobody@example.com"),
        (Kind::ApiKey, "url", "https://"),
        (Kind::DbConnection, "engine", "tell"),
        (Kind::DbConnection, "host", "tell nobody"),
        (Kind::DbConnection, "port", "0"),
        (Kind::DbConnection, "port", "65536"),
        (Kind::Custom, "object", "[\"tell nobody\"]"),
        (Kind::Custom, "object", "{\"tell\": nobody}"),
        (Kind::Custom, "object", "{}"),
    ];
    for (kind, field, value) in cases {
        let faults = faults(kind, &[(field, value)]);
        let begin = format!("data.{field}: ");
        let fault = faults.iter().find(|it| it.starts_with(&begin));
        let fault = fault.unwrap_or_else(|| panic!("{value:?} is taken: {faults:?}"));
        assert!(!fault.contains("tell") && !fault.contains("nobody"), "{fault}");
    }
    let long = "x".repeat(FIELD_MAX + 1);
    assert_eq!(faults(Kind::ApiKey, &[("key", &long)]), ["data.key: must have at most 64 KiB"]);
    assert!(faults(Kind::ApiKey, &[("key", &long[1..])]).is_empty());
    assert!(faults(Kind::Custom, &[("object", " {\"a\": [1, {\"b\": null}]} ")]).is_empty());
}

#[test]
fn a_private_key_is_told_from_what_people_paste_instead() {
    let key = |text: &str| faults(Kind::SshKey, &[("private_key", text)]);
    assert!(key(OPENSSH).is_empty(), "{:?}", key(OPENSSH));
    for (text, part) in [
        ("ssh-ed25519 AAAA ada@example.com", "public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "public key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "puttygen"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "must be a private key"),
        ("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----", "must be a private key"),
        (&OPENSSH.replace("b3Blbn", "AAAAAA"), "must be a private key"),
        (&OPENSSH[..100], "must be a private key"),
        ("hunter2", "must be a private key"),
    ] {
        let faults = key(text);
        assert!(faults.len() == 1 && faults[0].contains(part), "{text}: {faults:?}");
    }
    let parts = Kind::SshKey
        .check(data(&[("private_key", &format!("  {}  \r\n", OPENSSH.replace('\n', "\r\n")))]))
        .unwrap();
    assert_eq!(parts.secret[0].1.expose_secret(), format!("{OPENSSH}\n"));
}

#[test]
fn an_encrypted_key_comes_with_its_passphrase_and_no_other_does() {
    let with = |key: &str, passphrase: &str| {
        faults(Kind::SshKey, &[("private_key", key), ("passphrase", passphrase)])
    };
    let pkcs8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    for locked in [OPENSSH_LOCKED, OLD_LOCKED, pkcs8] {
        assert!(with(locked, "sesame").is_empty(), "{:?}", with(locked, "sesame"));
        assert!(with(locked, "")[0].contains("is encrypted"), "{:?}", with(locked, ""));
    }
    assert!(with(OPENSSH, "sesame")[0].contains("is not encrypted"));
}

#[test]
fn a_json_object_says_the_fields_of_a_type() {
    let read = |kind: Kind, json: &str| kind.data_of_json(serde_json::from_str(json).unwrap());
    let data =
        read(Kind::DbConnection, r#"{"host": "a", "port": 5432, "database": null}"#).unwrap();
    let texts: Vec<_> = data.iter().map(|(name, it)| (&**name, it.expose_secret())).collect();
    assert_eq!(texts, [("database", ""), ("host", "a"), ("port", "5432")]);
    let error = read(Kind::ApiKey, r#"{"key": ["tell"], "url": {}}"#).unwrap_err().to_string();
    assert_eq!(error, "data.key: must be text; data.url: must be text");
    let data = read(Kind::Custom, r#"{"object": [1], "a": "b"}"#).unwrap();
    assert_eq!(data[OBJECT].expose_secret(), r#"{"a":"b","object":[1]}"#);
}

proptest! {
    #[test]
    fn any_text_is_checked_without_a_panic(text: String, at in 0usize..6, bytes: Vec<u8>) {
        let kind = Kind::ALL[at];
        for field in kind.fields() {
            let _ = kind.check(data(&[(field.name, &text)]));
        }
        let pem = pem::encode(&pem::Pem::new("OPENSSH PRIVATE KEY", bytes));
        let _ = key_file::read(&pem);
        let _ = key_file::is_encrypted(&pem);
        let _ = text.parse::<Kind>();
    }
}
