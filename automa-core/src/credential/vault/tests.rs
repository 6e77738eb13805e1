use std::fs;

use secrecy::SecretString;

use crate::{
    Automa, Error,
    actor::Actor,
    credential::{
        Data, KEY_FILE, KeySource, Kind, MasterKeys, NewCredential, VaultError, open::open,
    },
    id::CredentialId,
};

fn me() -> Actor {
    Actor::embedder("test")
}

fn given(byte: u8) -> KeySource {
    KeySource::Bytes(vec![byte; 32].into())
}

fn keys(current: KeySource) -> MasterKeys {
    MasterKeys { current, former: None }
}

fn opened(directory: &std::path::Path, keys: MasterKeys) -> Automa {
    Automa::builder().directory(directory).master_keys(keys).open().unwrap()
}

async fn seal(automa: &Automa) -> Result<CredentialId, Error> {
    let data = Data::from([("key".to_owned(), SecretString::from("correct horse"))]);
    let new = NewCredential::new("c", Kind::ApiKey, data);
    Ok(automa.credentials(&me()).create(new).await?.credential.id)
}

fn read(automa: &Automa, id: CredentialId) -> Result<(), Error> {
    automa.store.look(|view| open(view, &automa.vault, id, automa.now()).map(drop))
}

#[tokio::test]
async fn the_first_key_is_made_in_a_file_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let automa = opened(directory.path(), MasterKeys::default());
    let key = fs::read(directory.path().join(KEY_FILE)).unwrap();
    let id = seal(&automa).await.unwrap();
    automa.close().await;
    let automa = opened(directory.path(), MasterKeys::default());
    read(&automa, id).unwrap();
    assert_eq!(fs::read(directory.path().join(KEY_FILE)).unwrap(), key);
    let stored = fs::read(directory.path().join("automa.redb")).unwrap();
    let raw: Vec<_> = key.rsplit(|&byte| byte == b'\n').nth(1).unwrap().to_vec();
    assert!(!stored.windows(64).any(|it| it == raw), "the key is not in the store");
    assert!(!stored.windows(13).any(|it| it == b"correct horse"));
}

#[tokio::test]
async fn without_the_right_key_nothing_is_opened_sealed_or_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let automa = opened(directory.path(), MasterKeys::default());
    let id = seal(&automa).await.unwrap();
    automa.close().await;
    let path = directory.path().join(KEY_FILE);
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    for keys in [MasterKeys::default(), keys(given(7))] {
        let automa = opened(directory.path(), keys.clone());
        for error in [read(&automa, id).unwrap_err(), seal(&automa).await.unwrap_err()] {
            let text = error.to_string();
            assert!(matches!(error, Error::Vault(VaultError::WrongKey { .. })), "{text}");
            assert!(text.contains("master.key"), "{text}");
        }
        // All the rest goes on.
        assert_eq!(automa.credentials(&me()).get(id).unwrap().credential.name, "c");
        automa.close().await;
        let started = Automa::builder().directory(directory.path()).master_keys(keys).start().await;
        assert!(matches!(started.unwrap_err(), Error::Vault(VaultError::WrongKey { .. })));
        assert!(!path.exists(), "no other key takes its place");
    }
    fs::rename(directory.path().join("elsewhere"), &path).unwrap();
    read(&opened(directory.path(), MasterKeys::default()), id).unwrap();
}

#[tokio::test]
async fn a_key_that_is_given_takes_over_and_the_former_one_still_opens() {
    let directory = tempfile::tempdir().unwrap();
    let automa = opened(directory.path(), keys(given(1)));
    let old = seal(&automa).await.unwrap();
    automa.close().await;
    assert!(!directory.path().join(KEY_FILE).exists());
    let both = MasterKeys { current: given(2), former: Some(given(1)) };
    let automa = opened(directory.path(), both.clone());
    let new = seal(&automa).await.unwrap();
    read(&automa, old).and(read(&automa, new)).unwrap();
    automa.close().await;
    for one in [1, 2] {
        let automa = opened(directory.path(), keys(given(one)));
        assert!(read(&automa, new).is_err(), "both are needed");
        automa.close().await;
    }
    let automa = opened(directory.path(), both);
    read(&automa, old).and(read(&automa, new)).unwrap();
}

#[tokio::test]
async fn a_passphrase_opens_what_it_sealed_and_another_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let right = || keys(KeySource::Passphrase("correct horse battery".into()));
    let automa = opened(directory.path(), right());
    let id = seal(&automa).await.unwrap();
    automa.close().await;
    let wrong = keys(KeySource::Passphrase("correct horse batterY".into()));
    let automa = opened(directory.path(), wrong);
    let error = read(&automa, id).unwrap_err().to_string();
    assert!(error.contains("AUTOMA_MASTER_PASSPHRASE"), "{error}");
    automa.close().await;
    read(&opened(directory.path(), right()), id).unwrap();
}

#[tokio::test]
async fn weak_keys_are_refused() {
    let weak = [
        (KeySource::Bytes(vec![1; 31].into()), VaultError::WeakKey),
        (KeySource::Passphrase("correct horse".into()), VaultError::WeakPassphrase),
    ];
    for (source, expected) in weak {
        let automa = Automa::builder().in_memory().master_keys(keys(source)).open().unwrap();
        let error = seal(&automa).await.unwrap_err();
        assert!(matches!(&error, Error::Vault(found) if *found == expected), "{error}");
    }
}
