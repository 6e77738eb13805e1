use std::{fs, path::Path};

use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::{
    Automa,
    credential::{Data, KEY_FILE, KeySource, Kind, MasterKeys, NewCredential, open::open},
    id::CredentialId,
};

fn me() -> Actor {
    Actor::embedder("test")
}

fn opened(directory: &Path) -> Automa {
    Automa::builder().directory(directory).open().unwrap()
}

async fn seal(automa: &Automa, text: &str) -> CredentialId {
    let data = Data::from([("key".to_owned(), SecretString::from(text))]);
    let new = NewCredential::new(text, Kind::ApiKey, data);
    automa.credentials(&me()).create(new).await.unwrap().credential.id
}

/// That each credential can be opened and says what its name does.
fn assert_opens(automa: &Automa, ids: &[CredentialId]) {
    for &id in ids {
        let opened = automa.store.look(|view| open(view, &automa.vault, id, automa.now())).unwrap();
        assert_eq!(opened.value().expose_secret(), opened.name);
    }
}

fn keys_in_file(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join(KEY_FILE)).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// One step of what the task does.
async fn batch(automa: &Automa) -> u64 {
    let (vault, clock) = (Arc::clone(&automa.vault), Arc::clone(&automa.clock));
    let entry = Entry::new(&*clock, &me(), Action::MasterKeyRotated);
    let at = clock.now();
    let change = move |change: &mut Change| one_batch(change, &vault, &*clock, (at, &entry), 7);
    automa.store.write(change).await.unwrap()
}

#[tokio::test]
async fn another_key_takes_over_and_the_old_one_leaves_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let automa = opened(directory.path());
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(seal(&automa, &format!("secret {number}")).await);
    }
    let (me, old) = (me(), keys_in_file(directory.path()));
    let credentials = automa.credentials(&me);
    let before = credentials.rotation().await.unwrap();
    assert!(!before.running && before.can_begin);
    let begun = credentials.rotate().await.unwrap();
    assert!(begun.running && (begun.total, begun.left) == (20, 20));
    assert_ne!(begun.current.as_ref().map(|key| key.id), before.current.map(|key| key.id));
    assert_eq!(keys_in_file(directory.path()).len(), 2);
    assert!(matches!(credentials.rotate().await, Err(Error::CannotRotate(_))));
    ids.push(seal(&automa, "made meanwhile").await);
    batch(&automa).await;
    assert_opens(&automa, &ids);
    assert_eq!(credentials.rotation().await.unwrap().left, 13);
    let mut told = Vec::new();
    credentials.finish_rotation(|done| told.push(done)).await.unwrap();
    assert_eq!(told.last(), Some(&13));
    let after = credentials.rotation().await.unwrap();
    assert_eq!((after.running, after.left, after.current), (false, 0, begun.current));
    let new = keys_in_file(directory.path());
    assert!(new.len() == 1 && new != old, "{} keys", new.len());
    assert_opens(&automa, &ids);
    automa.close().await;
    assert_opens(&opened(directory.path()), &ids);
}

#[tokio::test]
async fn wherever_a_rotation_is_cut_off_everything_opens_and_the_next_start_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    // A hundred times: after the file, after the store, after each batch, before the file is tidied.
    for round in 0..100 {
        let automa = opened(directory.path());
        assert_opens(&automa, &ids);
        if round < 30 {
            ids.push(seal(&automa, &format!("secret {round}")).await);
        }
        let rotation = automa.credentials(&me()).rotation().await.unwrap();
        if rotation.running {
            for _ in 0..round % 4 {
                batch(&automa).await;
            }
        } else if round % 3 == 0 {
            let used = automa.store.look(store::credentials::keys).unwrap().unwrap().used;
            automa.vault.add_key(&used, &*automa.clock).unwrap();
        } else {
            automa.credentials(&me()).rotate().await.unwrap();
        }
        assert_opens(&automa, &ids);
        // As a crash leaves it: nothing is told to end.
        drop(automa);
    }
    let automa = opened(directory.path());
    automa.credentials(&me()).finish_rotation(|_| {}).await.unwrap();
    automa.credentials(&me()).rotate().await.unwrap();
    automa.credentials(&me()).finish_rotation(|_| {}).await.unwrap();
    assert_eq!(keys_in_file(directory.path()).len(), 1);
    assert_opens(&automa, &ids);
}

#[tokio::test]
async fn a_key_that_is_given_anew_replaces_the_former_one() {
    let directory = tempfile::tempdir().unwrap();
    let automa = opened(directory.path());
    let ids = [seal(&automa, "one").await, seal(&automa, "two").await];
    automa.close().await;
    let keys = MasterKeys { current: KeySource::Bytes(vec![7; 32].into()), former: None };
    let builder = || Automa::builder().directory(directory.path()).master_keys(keys.clone());
    let automa = builder().open().unwrap();
    let me = me();
    automa.credentials(&me).finish_rotation(|_| {}).await.unwrap();
    assert!(matches!(automa.credentials(&me).rotate().await, Err(Error::CannotRotate(_))));
    assert!(!directory.path().join(KEY_FILE).exists(), "it holds nothing that is needed");
    automa.close().await;
    assert_opens(&builder().open().unwrap(), &ids);
}

#[tokio::test]
async fn a_damaged_secret_does_not_keep_the_others_from_a_new_key() {
    let directory = tempfile::tempdir().unwrap();
    let automa = opened(directory.path());
    let ids = [seal(&automa, "one").await, seal(&automa, "two").await];
    let damage = move |change: &mut Change| {
        let mut secret = store::credentials::version(change, ids[0], 1)?.unwrap();
        secret.shown = vec![("url".to_owned(), "https://evil.example.com".to_owned())];
        store::credentials::put_version(change, ids[0], &secret)
    };
    automa.store.write(damage).await.unwrap();
    automa.credentials(&me()).rotate().await.unwrap();
    automa.credentials(&me()).finish_rotation(|_| {}).await.unwrap();
    assert!(!automa.credentials(&me()).rotation().await.unwrap().running);
    assert_opens(&automa, &ids[1..]);
    let damaged = automa.store.look(|view| open(view, &automa.vault, ids[0], automa.now()));
    assert!(matches!(damaged.unwrap_err(), Error::Vault(_)));
}
