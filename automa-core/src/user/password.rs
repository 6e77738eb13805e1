//! How passwords are kept: as Argon2id hashes, each with a salt of its own.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{
        self,
        phc::{Output, PasswordHash, Salt},
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::PASSWORD_MAX;
use crate::{
    blocking,
    clock::Clock,
    error::{Error, Result, StoreError},
};

/// How many are hashed at a time. Each takes 19 MiB and a thread for some 25 ms: a burst of
/// sign-ins waits, instead of taking all of both.
const AT_A_TIME: u32 = 2;
/// Memory of one hash, in KiB.
const MEMORY: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes of that memory.
const LANES: u32 = 1;

/// What is stored of a password: the algorithm, its parameters, the salt and the hash, as a string
/// in the PHC format.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hash {
    phc: String,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

/// What became of a check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Wrong,
    Right {
        /// The same password by the parameters of today, if its hash has others.
        renewed: Option<Hash>,
    },
}

/// Hashes and checks passwords, away from the threads of the async runtime. Clones share its
/// limits.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    /// How many hashes were computed.
    #[cfg(test)]
    computed: Arc<std::sync::atomic::AtomicU64>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_A_TIME as usize)),
            #[cfg(test)]
            computed: Arc::default(),
        }
    }

    /// What to store of a password.
    ///
    /// # Errors
    ///
    /// [`Error::Hashing`].
    pub(crate) async fn hash(&self, clock: &dyn Clock, password: &SecretString) -> Result<Hash> {
        let (salt, password) = (draw(clock), password.clone());
        self.compute(move || hash(&password, &salt)).await
    }

    /// Compares a password with what is stored of one. Without anything stored it does the same
    /// work and finds it wrong, so that the time it takes does not tell which names exist.
    ///
    /// # Errors
    ///
    /// [`Error::Hashing`].
    pub(crate) async fn check(
        &self,
        clock: &dyn Clock,
        password: &SecretString,
        stored: Option<&Hash>,
    ) -> Result<Checked> {
        let (salt, decoy) = (draw(clock), draw(clock));
        // Nobody has a password this long: its hashing is spared, not that of any.
        let possible = password.expose_secret().len() <= PASSWORD_MAX;
        let password = if possible { password.clone() } else { SecretString::default() };
        let (known, stored) = (stored.is_some() && possible, stored.cloned());
        let check = move || {
            let stored = match &stored {
                Some(hash) => PasswordHash::new(&hash.phc).map_err(password_hash::Error::from)?,
                None => no_password(&salt, &decoy)?,
            };
            match argon2()?.verify_password(password.expose_secret().as_bytes(), &stored) {
                Ok(()) if known => {}
                Ok(()) | Err(password_hash::Error::PasswordInvalid) => return Ok(Checked::Wrong),
                Err(error) => return Err(error),
            }
            let renewed = (!is_current(&stored)?).then(|| hash(&password, &salt)).transpose()?;
            Ok(Checked::Right { renewed })
        };
        self.compute(check).await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> password_hash::Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        // Nothing closes the semaphore.
        let permit = permit.map_err(|_| StoreError::Closed)?;
        #[cfg(test)]
        self.computed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The permit goes along: the work goes on when nobody waits for it any more.
        blocking::run(move || {
            let _permit = permit;
            work().map_err(Error::Hashing)
        })
        .await
    }

    /// How many hashes were computed so far.
    #[cfg(test)]
    pub(crate) fn computed(&self) -> u64 {
        self.computed.load(std::sync::atomic::Ordering::Relaxed)
    }
}

fn draw<const N: usize>(clock: &dyn Clock) -> [u8; N] {
    let mut bytes = [0; N];
    clock.fill(&mut bytes);
    bytes
}

fn argon2() -> password_hash::Result<Argon2<'static>> {
    let params = Params::new(MEMORY, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &SecretString, salt: &[u8; 16]) -> password_hash::Result<Hash> {
    let hash = argon2()?.hash_password_with_salt(password.expose_secret().as_bytes(), salt)?;
    Ok(Hash { phc: hash.to_string() })
}

/// A hash as of today that no password is known to have.
fn no_password(salt: &[u8; 16], hash: &[u8; 32]) -> password_hash::Result<PasswordHash> {
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2()?.params().try_into()?,
        salt: Some(Salt::new(salt)?),
        hash: Some(Output::new(hash)?),
    })
}

/// Whether a hash was made as one would be made today.
fn is_current(hash: &PasswordHash) -> password_hash::Result<bool> {
    let today = no_password(&[0; 16], &[0; 32])?;
    Ok((hash.algorithm, hash.version, &hash.params)
        == (today.algorithm, today.version, &today.params))
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;
    use crate::{
        clock::TestClock,
        store::record::{Record, golden::assert_bytes},
    };

    fn clock() -> TestClock {
        TestClock::new("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    const RIGHT: Checked = Checked::Right { renewed: None };

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_only() {
        let (passwords, clock) = (Passwords::new(), clock());
        let hash = passwords.hash(&clock, &secret("correct horse")).await.unwrap();
        assert!(hash.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.phc);
        assert!(!format!("{hash:?}").contains("argon2"));
        let again = passwords.hash(&clock, &secret("correct horse")).await.unwrap();
        assert_ne!(hash, again, "each has its own salt");
        let long = "x".repeat(PASSWORD_MAX + 1);
        for (password, expected) in [
            ("correct horse", RIGHT),
            ("correct horsE", Checked::Wrong),
            ("", Checked::Wrong),
            (&long, Checked::Wrong),
        ] {
            let checked = passwords.check(&clock, &secret(password), Some(&hash)).await.unwrap();
            assert_eq!(checked, expected, "{password:?}");
        }
    }

    #[tokio::test]
    async fn each_check_computes_one_hash_whether_or_not_there_is_one() {
        let (passwords, clock) = (Passwords::new(), clock());
        let hash = passwords.hash(&clock, &secret("correct horse")).await.unwrap();
        let long = "x".repeat(PASSWORD_MAX + 1);
        for stored in [Some(&hash), None] {
            for password in ["wrong horse", &long] {
                let before = passwords.computed();
                let checked = passwords.check(&clock, &secret(password), stored).await.unwrap();
                assert_eq!(checked, Checked::Wrong);
                assert_eq!(passwords.computed(), before + 1);
            }
        }
        let (decoy, real) = (no_password(&[1; 16], &[2; 32]).unwrap(), &hash.phc);
        let real = PasswordHash::new(real).unwrap();
        assert_eq!((decoy.algorithm, decoy.version), (real.algorithm, real.version));
        assert_eq!(decoy.params, real.params, "a decoy costs what a hash costs");
    }

    #[tokio::test]
    async fn who_comes_while_as_many_as_may_are_hashing_waits() {
        let (passwords, clock) = (Passwords::new(), clock());
        let busy = passwords.permits.acquire_many(AT_A_TIME).await.unwrap();
        let password = secret("correct horse");
        let mut hashing = std::pin::pin!(passwords.hash(&clock, &password));
        let polled = std::future::poll_fn(|cx| Poll::Ready(hashing.as_mut().poll(cx))).await;
        assert!(polled.is_pending() && passwords.computed() == 0);
        drop(busy);
        hashing.await.unwrap();
        assert_eq!(passwords.computed(), 1);
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_renewed() {
        let (passwords, clock) = (Passwords::new(), clock());
        let params = Params::new(64, 1, 1, None).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let weak = weak.hash_password_with_salt(b"correct horse", &[7; 16]).unwrap();
        let weak = Hash { phc: weak.to_string() };
        let checked = passwords.check(&clock, &secret("correct horse"), Some(&weak)).await;
        let Checked::Right { renewed: Some(renewed) } = checked.unwrap() else {
            panic!("not renewed")
        };
        assert!(renewed.phc.contains("m=19456,t=2,p=1"), "{}", renewed.phc);
        let checked = passwords.check(&clock, &secret("correct horse"), Some(&renewed)).await;
        assert_eq!(checked.unwrap(), RIGHT);
        let checked = passwords.check(&clock, &secret("wrong horse"), Some(&weak)).await;
        assert_eq!(checked.unwrap(), Checked::Wrong);
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error_and_no_wrong_password() {
        let (passwords, clock) = (Passwords::new(), clock());
        for phc in ["", "$", "$argon2id$v=19$m=19456,t=2,p=1", "$md5$v=19$m=1$c2FsdHNhbHQ$aGFzaA"] {
            let damaged = Hash { phc: phc.to_owned() };
            let checked = passwords.check(&clock, &secret("x"), Some(&damaged)).await;
            assert!(!matches!(checked, Ok(Checked::Right { .. })), "{phc}: {checked:?}");
        }
    }

    /// If this fails, the stored format has changed: add a version, do not change the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        assert_bytes(&Hash { phc: "$a".to_owned() }, "01022461");
        assert!(Hash::decode(&[1, 5, 0]).is_err());
    }
}
