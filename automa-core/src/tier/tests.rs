use proptest::{option, prelude::*};

use super::*;
use crate::{actor::Origin, user::NewUser};

async fn user(automa: &Automa, name: &str, role: Role) -> UserId {
    let (username, email) = (name.to_owned(), format!("{name}@example.com"));
    let new = NewUser { username, email, password: "a long enough password".into(), role };
    automa.users(&Actor::embedder("test")).create(new).await.unwrap().id
}

#[tokio::test]
async fn nobody_is_held_to_anything_until_an_admin_says_so() {
    let automa = Automa::builder().in_memory().open().unwrap();
    let me = Actor::embedder("test");
    let (ada, admin) =
        (user(&automa, "ada", Role::Operator).await, user(&automa, "admin", Role::Admin).await);
    let of = |id| automa.store.look(|view| of(view, Some(id))).unwrap();
    assert_eq!(of(ada), (None, Plan::UNLIMITED));
    let tiers = automa.tiers(&me);
    let settings = TierSettings { default: Some(Tier::Free), ..tiers.get().unwrap() };
    tiers.set(settings).await.unwrap();
    assert_eq!(of(ada), (Some(Tier::Free), Plan::usual(Tier::Free)));
    assert_eq!(of(admin), (None, Plan::UNLIMITED), "nobody locks themselves out");
    tiers.set_of_user(ada, Some(Tier::Premium)).await.unwrap();
    tiers.set_of_user(admin, Some(Tier::Basic)).await.unwrap();
    assert_eq!((of(ada).0, of(admin).0), (Some(Tier::Premium), Some(Tier::Basic)));
    tiers.set_of_user(ada, None).await.unwrap();
    assert_eq!((of(ada).0, tiers.of_user(ada).unwrap()), (Some(Tier::Free), None));
    let embedder = automa.store.look(|view| super::of(view, None)).unwrap();
    assert_eq!(embedder, (None, Plan::UNLIMITED));
}

#[tokio::test]
async fn only_admins_give_tiers_and_everybody_sees_their_own() {
    let automa = Automa::builder().in_memory().open().unwrap();
    let (ada, bob) =
        (user(&automa, "ada", Role::Operator).await, user(&automa, "bob", Role::Operator).await);
    let actor = Actor::user(ada, "ada", Role::Operator, Origin::Api);
    let tiers = automa.tiers(&actor);
    assert_eq!(tiers.get().unwrap(), TierSettings::default());
    assert_eq!(tiers.of_user(ada).unwrap(), None);
    assert!(matches!(tiers.of_user(bob), Err(Error::Forbidden(_))));
    assert!(matches!(tiers.set(TierSettings::default()).await, Err(Error::Forbidden(_))));
    let given = tiers.set_of_user(ada, Some(Tier::Enterprise)).await;
    assert!(matches!(given, Err(Error::Forbidden(_))));
    let me = Actor::embedder("test");
    let nobody = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
    let given = automa.tiers(&me).set_of_user(nobody, None).await;
    assert!(matches!(given, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_plan_with_which_nothing_could_run_is_refused() {
    let automa = Automa::builder().in_memory().open().unwrap();
    let me = Actor::embedder("test");
    let nothing =
        Plan { wall_ms: Some(0), memory_bytes: Some(5), running: Some(0), ..Plan::default() };
    let mut settings = TierSettings::default();
    settings.plans[1] = nothing;
    let Err(Error::Invalid(errors)) = automa.tiers(&me).set(settings).await else { panic!() };
    let fields: Vec<_> = errors.iter().map(|error| &*error.field).collect();
    assert_eq!(fields, ["basic.wall_ms", "basic.memory_bytes", "basic.running"]);
}

#[test]
fn what_is_asked_for_beyond_a_plan_is_refused_and_what_is_usual_is_cut() {
    let plan = Plan::usual(Tier::Free);
    let nothing = LimitsRequest::default();
    let cut = plan.cap(&nothing, nothing).unwrap();
    assert_eq!((cut.wall_ms, cut.memory_bytes), (Some(30_000), Some(128 << 20)));
    let script = LimitsRequest { wall_ms: Some(60_000), pids: Some(3), ..nothing };
    let cut = plan.cap(&nothing, script).unwrap();
    assert_eq!((cut.wall_ms, cut.pids), (Some(30_000), Some(3)));
    let less = LimitsRequest { wall_ms: Some(10), memory_bytes: Some(1 << 20), ..nothing };
    assert_eq!(plan.cap(&less, less).unwrap(), less);
    let more = LimitsRequest { wall_ms: Some(30_001), memory_bytes: Some(1 << 30), ..nothing };
    let Err(Error::Invalid(errors)) = plan.cap(&more, more) else { panic!() };
    let fields: Vec<_> = errors.iter().map(|error| &*error.field).collect();
    assert_eq!(fields, ["limits.wall_ms", "limits.memory_bytes"]);
    assert_eq!(Plan::UNLIMITED.cap(&more, more).unwrap(), more);
    assert_eq!(Plan::UNLIMITED.cut(nothing), nothing);
}

proptest! {
    #[test]
    fn nothing_that_is_cut_is_more_than_a_plan_or_than_before(
        wall in option::of(1u64..1 << 40),
        memory in option::of(1u64 << 20..1 << 40),
        most in option::of(1u64..1 << 40),
    ) {
        let limits =
            LimitsRequest { wall_ms: wall, memory_bytes: memory, ..LimitsRequest::default() };
        let plan = Plan { wall_ms: most, memory_bytes: most, ..Plan::UNLIMITED };
        let (cut, before) = (plan.cut(limits).limits(), limits.limits());
        prop_assert!(cut.wall <= before.wall && cut.memory.0 <= before.memory.0);
        let most = most.unwrap_or(u64::MAX);
        prop_assert!(cut.wall.as_millis() <= u128::from(most) && cut.memory.0 <= most);
        prop_assert_eq!(plan.cut(plan.cut(limits)), plan.cut(limits));
    }
}
