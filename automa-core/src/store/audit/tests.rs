use ed25519_dalek::SigningKey;
use jiff::SignedDuration;
use redb::TableDefinition;

use super::*;
use crate::{
    actor::Actor,
    audit::{self},
    clock::{Clock, TestClock},
    store::Store,
};

const RAW: TableDefinition<'_, AuditId, &[u8]> = TableDefinition::new("audit");
const RAW_CHAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_chain");
const RAW_CHECKPOINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_checkpoints");

/// A store with six entries, and checkpoints at the third and the last.
struct World {
    store: Store,
    clock: TestClock,
    key: SigningKey,
}

impl World {
    async fn new() -> Self {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let world = Self {
            store: Store::in_memory().unwrap(),
            clock,
            key: SigningKey::from_bytes(&[7; 32]),
        };
        for number in 1..=6 {
            world.add().await;
            if number % 3 == 0 {
                world.sign().await;
            }
        }
        world
    }

    async fn add(&self) {
        self.clock.advance(SignedDuration::from_secs(1));
        let entry = Entry::new(&self.clock, &Actor::embedder("ada"), Action::RetentionChanged);
        self.change(move |change| add(change, &entry)).await;
    }

    async fn sign(&self) {
        let (key, now) = (self.key.clone(), self.clock.now());
        let sign = move |change: &mut Change| {
            let (number, hash) = head(change)?;
            put_checkpoint(change, &Checkpoint::sign(&key, number, hash, now))
        };
        self.change(sign).await;
    }

    async fn change(
        &self,
        change: impl Fn(&mut Change) -> Result<(), StoreError> + Send + 'static,
    ) {
        self.store.write(change).await.unwrap();
    }

    fn verdict(&self, kept: &[Checkpoint]) -> Verdict {
        let trusted = [PublicKey::of(&self.key)];
        self.store.look(|view| verify(view, &trusted, kept)).unwrap()
    }

    fn broken(&self) -> Broken {
        self.verdict(&[]).broken.expect("it was tampered with")
    }

    fn ids(&self) -> Vec<AuditId> {
        self.store.look(|view| AUDIT.keys(view)).unwrap()
    }
}

#[tokio::test]
async fn a_chain_that_nobody_touched_is_whole() {
    let world = World::new().await;
    let verdict = world.verdict(&[]);
    assert_eq!((verdict.entries, verdict.first, verdict.last), (6, 1, 6));
    assert_eq!((verdict.checkpoints, verdict.broken), (2, None));
    assert_eq!(verdict.signed.unwrap().number, 6);
    world.add().await;
    assert_eq!(world.verdict(&[verdict.signed.unwrap()]).broken, None);
}

/// Each byte of each record is changed, one at a time, in all tables that matter.
#[tokio::test]
async fn a_change_of_any_byte_shows() {
    let world = World::new().await;
    let mut tried = 0;
    for id in world.ids() {
        tried += world.tamper(RAW, id).await;
    }
    for number in 1..=6 {
        tried += world.tamper(RAW_CHAIN, number).await;
    }
    for number in [3, 6] {
        tried += world.tamper(RAW_CHECKPOINTS, number).await;
    }
    assert!(tried > 700, "{tried}");
    assert_eq!(world.verdict(&[]).broken, None, "all was put back");
}

impl World {
    /// Changes each byte of a record, which has to show each time. Tells how many there are.
    async fn tamper<K>(&self, table: TableDefinition<'static, K, &'static [u8]>, key: K) -> usize
    where
        K: for<'a> redb::Key<SelfType<'a> = K> + Copy + Send + Sync + 'static,
    {
        let read = move |view: &Snapshot| {
            let table = view.open(table)?;
            Ok::<_, StoreError>(table.get(key)?.unwrap().value().to_vec())
        };
        let bytes = self.store.look(read).unwrap();
        let put = async |bytes: Vec<u8>| {
            let put = move |change: &mut Change| {
                change.open_mut(table)?.insert(key, bytes.as_slice())?;
                Ok(())
            };
            self.change(put).await;
        };
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1 << (place % 8);
            put(other).await;
            assert!(self.verdict(&[]).broken.is_some(), "byte {place} of {}", bytes.len());
        }
        put(bytes.clone()).await;
        bytes.len()
    }
}

#[tokio::test]
async fn removing_moving_and_adding_entries_shows() {
    // One is removed, from the log alone or also from the chain.
    let world = World::new().await;
    let third = world.ids()[2];
    world.change(move |change| AUDIT.remove(change, third).map(drop)).await;
    assert_eq!(world.broken(), Broken::Missing(3));
    world.change(|change| CHAIN.remove(change, 3).map(drop)).await;
    assert_eq!(world.broken(), Broken::Missing(3));

    // Two change places.
    let world = World::new().await;
    let swap = |change: &mut Change| {
        let (one, two) = (CHAIN.get(change, 4)?.unwrap(), CHAIN.get(change, 5)?.unwrap());
        CHAIN.put(change, 4, &two)?;
        CHAIN.put(change, 5, &one)
    };
    world.change(swap).await;
    assert_eq!(world.broken(), Broken::Changed(4));

    // One is added without the chain.
    let world = World::new().await;
    let entry = Entry::new(&world.clock, &Actor::embedder("eve"), Action::RetentionChanged);
    world.change(move |change| AUDIT.insert(change, entry.id, &entry)).await;
    assert_eq!(world.broken(), Broken::Foreign(1));

    // One is hidden from who looks for its actor.
    let world = World::new().await;
    let second = world.ids()[1];
    world.change(move |change| BY.remove(change, (facet(ACTOR, "ada"), second))).await;
    assert_eq!(world.broken(), Broken::Hidden(2));
}

#[tokio::test]
async fn cutting_the_end_off_shows_as_far_as_it_was_signed() {
    let world = World::new().await;
    let kept = world.verdict(&[]).signed.unwrap();
    let ids = world.ids();
    let cut = move |change: &mut Change| {
        for (number, id) in (1..).zip(&ids).skip(3) {
            let entry = AUDIT.get(change, *id)?.unwrap();
            facets(&entry).into_iter().try_for_each(|it| BY.remove(change, (it, *id)))?;
            AUDIT.remove(change, *id)?;
            CHAIN.remove(change, number)?;
        }
        Ok(())
    };
    world.change(cut).await;
    assert_eq!(world.broken(), Broken::Cut { last: 3, signed: 6 });
    // The checkpoint is gone, too: only one that was kept elsewhere tells.
    world.change(|change| CHECKPOINTS.remove(change, 6).map(drop)).await;
    assert_eq!(world.verdict(&[]).broken, None);
    assert_eq!(world.verdict(&[kept]).broken, Some(Broken::Cut { last: 3, signed: 6 }));
    // And what is written instead is another past.
    for _ in 0..3 {
        world.add().await;
    }
    world.sign().await;
    assert_eq!(world.verdict(&[]).broken, None);
    assert_eq!(world.verdict(&[kept]).broken, Some(Broken::Rewritten(6)));
}

#[tokio::test]
async fn a_past_that_somebody_else_signed_shows() {
    let world = World::new().await;
    let forger = SigningKey::from_bytes(&[8; 32]);
    let (key, now) = (forger.clone(), world.clock.now());
    let forge = move |change: &mut Change| {
        let (number, hash) = head(change)?;
        put_checkpoint(change, &Checkpoint::sign(&key, number, hash, now))
    };
    world.change(forge).await;
    let expected = Broken::WrongKey { number: 6, key: PublicKey::of(&forger) };
    assert_eq!(world.broken(), expected);
}

#[tokio::test]
async fn a_beginning_that_nothing_stands_for_shows() {
    let world = World::new().await;
    let end = world.clock.now() - SignedDuration::from_secs(3);
    world.change(move |change| prune(change, end, 100).map(drop)).await;
    // The checkpoint at the third entry stands for the first two, or not.
    assert_eq!(world.broken(), Broken::NoBeginning(3));
    world.change(|change| prune(change, Timestamp::MAX, 1).map(drop)).await;
    let verdict = world.verdict(&[]);
    assert_eq!((verdict.first, verdict.entries, verdict.broken), (4, 3, None));
}

#[tokio::test]
async fn a_chain_goes_on_in_the_order_of_changes_whatever_fails_between_them() {
    let world = World::new().await;
    for _ in 0..10 {
        // In another order than that of their ids; and one fails after it has written, so that all
        // that share its transaction are made again.
        let [a, b, c, d] = [(); 4]
            .map(|()| Entry::new(&world.clock, &Actor::embedder("bob"), Action::RetentionChanged));
        let write = |entry: Entry, fails| {
            world.store.write(move |change: &mut Change| {
                add(change, &entry)?;
                if fails { Err(StoreError::Closed) } else { Ok(()) }
            })
        };
        let done = tokio::join!(write(d, false), write(c, true), write(a, false), write(b, false));
        assert!(done.0.is_ok() && done.1.is_err() && done.2.is_ok() && done.3.is_ok());
    }
    let verdict = world.verdict(&[]);
    assert_eq!((verdict.entries, verdict.broken), (36, None));
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    use crate::store::record::golden::assert_bytes;
    let id: AuditId = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
    let link = Link { id, hash: Hash::default().next(b"entry") };
    assert_bytes(
        &link,
        "01018f0000000070008000000000000001e8718491f90c230aa47bae42ab39aa3649a375bb61b7e1c078a82caa6dfdeca9",
    );
    let key = SigningKey::from_bytes(&[7; 32]);
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let checkpoint = Checkpoint::sign(&key, 300, link.hash, at);
    assert_bytes(
        &checkpoint,
        "01ac0280e4ad950de8718491f90c230aa47bae42ab39aa3649a375bb61b7e1c078a82caa6dfdeca9\
         ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22ce7dcaad28ea5c6d6\
         870bcb5a0dfc98441cb8f7a71c19809d3d7dc9462a1fd18e43e5462cdbf655b4daa5d8ced7de5403\
         8b30800b5f871ce81dd77668141e5c0d",
    );
    assert!(audit::Checkpoint::all_in(&format!("x={checkpoint}, y")).eq([checkpoint]));
}
