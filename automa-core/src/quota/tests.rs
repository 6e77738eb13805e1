use std::sync::Arc;

use jiff::SignedDuration;

use super::*;
use crate::{
    actor::{Origin, Role},
    api_key::NewKey,
    clock::{Clock as _, TestClock},
    script::{Language, NewScript},
    tier::TierSettings,
    user::NewUser,
};

const SOON: SignedDuration = SignedDuration::from_mins(1);

struct World {
    automa: Automa,
    clock: Arc<TestClock>,
    ada: Actor,
}

impl World {
    /// A minute before midnight; everybody has this plan who is no admin.
    async fn new(plan: Plan) -> Self {
        let clock = Arc::new(TestClock::new("2026-02-28T23:59:00Z".parse().unwrap()));
        let automa = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        let me = Actor::embedder("test");
        let new = NewUser {
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            password: "a long enough password".into(),
            role: Role::Operator,
        };
        let ada = automa.users(&me).create(new).await.unwrap();
        let ada = Actor::user(ada.id, ada.username, ada.role, Origin::Api);
        let mut settings = TierSettings { default: Some(Tier::Free), ..TierSettings::default() };
        settings.plans[0] = plan;
        automa.tiers(&me).set(settings).await.unwrap();
        Self { automa, clock, ada }
    }

    async fn quotas(&self) -> Quotas {
        self.automa.quotas(&self.ada).get().await.unwrap()
    }

    /// Accepts an execution, as far as quotas are concerned.
    async fn execute(&self) -> Result<()> {
        let (user, now) = (self.ada.user, self.clock.now());
        let change = move |change: &mut Change| {
            let taken = take_execution(change, user, now)?;
            Ok(taken.put(change)?)
        };
        self.automa.store.write(change).await
    }

    fn call(&self) -> Result<()> {
        self.automa.quotas(&self.ada).count_api_call()
    }
}

fn exceeded(result: Result<impl std::fmt::Debug>) -> Exceeded {
    match result {
        Err(Error::QuotaExceeded(exceeded)) => exceeded,
        result => panic!("{result:?}"),
    }
}

#[tokio::test]
async fn executions_of_a_day_are_counted_until_midnight() {
    let plan = Plan { executions_per_day: Some(2), ..Plan::UNLIMITED };
    let world = World::new(plan).await;
    world.execute().await.unwrap();
    assert_eq!(world.quotas().await.executions.left(), Some(1));
    world.execute().await.unwrap();
    let midnight: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let refused = exceeded(world.execute().await);
    let (quota, resets_at) = (Quota::Executions, Some(midnight));
    assert_eq!(refused, Exceeded { quota, limit: 2, used: 2, resets_at });
    assert_eq!(
        refused.to_string(),
        "your tier allows 2 executions in a day, which are used up until 2026-03-01T00:00:00Z"
    );
    world.clock.advance(SOON);
    assert_eq!(world.quotas().await.executions.used, 0);
    world.execute().await.unwrap();
    // A clock that is set back makes no day anew that has not begun.
    world.clock.advance(-SOON);
    assert_eq!(world.quotas().await.resets_at, midnight);
    let embedder = take_nothing(&world).await;
    assert!(embedder.0.is_none(), "the embedding program has no quotas");
}

async fn take_nothing(world: &World) -> Taken {
    let now = world.clock.now();
    let take = move |view: &Snapshot| take_execution(view, None, now);
    world.automa.store.read(take).await.unwrap()
}

#[tokio::test]
async fn calls_of_a_day_are_counted_whether_or_not_they_were_written() {
    let world = World::new(Plan { api_calls_per_day: Some(3), ..Plan::UNLIMITED }).await;
    world.call().unwrap();
    assert_eq!(world.quotas().await.api_calls.used, 1);
    crate::tally::write(&world.automa).await.unwrap();
    world.call().unwrap();
    assert_eq!(world.quotas().await.api_calls.left(), Some(1));
    crate::tally::write(&world.automa).await.unwrap();
    crate::tally::write(&world.automa).await.unwrap();
    world.call().unwrap();
    assert_eq!(exceeded(world.call()).quota, Quota::ApiCalls);
    crate::tally::write(&world.automa).await.unwrap();
    // As after a start.
    world.automa.api_calls.counted().clear();
    assert_eq!(world.quotas().await.api_calls.used, 3);
    assert_eq!(exceeded(world.call()).used, 3);
    world.clock.advance(SOON);
    assert_eq!(world.quotas().await.api_calls.used, 0);
    world.call().unwrap();
    crate::tally::write(&world.automa).await.unwrap();
    assert_eq!(world.quotas().await.api_calls.used, 1);
    world.execute().await.unwrap();
    assert_eq!(world.quotas().await.api_calls.used, 1, "one does not forget the other");
}

#[tokio::test]
async fn so_many_scripts_and_keys_and_no_more() {
    let plan = Plan { scripts: Some(1), api_keys: Some(1), ..Plan::UNLIMITED };
    let world = World::new(plan).await;
    let scripts = world.automa.scripts(&world.ada);
    let new = || NewScript::new("one", Language::Bash, "true");
    let first = scripts.create(new()).await.unwrap().id;
    let refused = exceeded(scripts.create(new()).await);
    assert_eq!((refused.quota, refused.resets_at), (Quota::Scripts, None));
    assert_eq!(
        refused.to_string(),
        "your tier allows 1 script; delete it if it is not needed, or ask an admin for another tier"
    );
    exceeded(scripts.fork(first, None).await);
    // Others have their own, and one that was deleted does not count until it is restored.
    let me = Actor::embedder("test");
    world.automa.scripts(&me).create(new()).await.unwrap();
    scripts.delete(first).await.unwrap();
    let second = scripts.create(new()).await.unwrap().id;
    exceeded(scripts.restore(first).await);
    scripts.delete(second).await.unwrap();
    scripts.restore(first).await.unwrap();
    let keys = world.automa.api_keys(&world.ada);
    let (key, _) = keys.create(NewKey::new("one")).await.unwrap();
    assert_eq!(exceeded(keys.create(NewKey::new("two")).await).quota, Quota::ApiKeys);
    let quotas = world.quotas().await;
    assert_eq!((quotas.scripts.left(), quotas.api_keys.left()), (Some(0), Some(0)));
    keys.delete(key.id).await.unwrap();
    keys.create(NewKey::new("two")).await.unwrap();
}
