use super::*;
use crate::{
    Automa,
    actor::{Actor, Origin, Role},
    clock::{SystemClock, TestClock},
    credential::{Kind, NewCredential},
    execution::{GivenCredential, GivenCredentials},
    script::{Language, NewScript},
    store::record::golden::assert_bytes,
};

struct Here {
    automa: Automa,
    ada: Actor,
    bob: Actor,
    script: ScriptId,
    credential: CredentialId,
}

fn operator(name: &str) -> Actor {
    let id = UserId::generate(&SystemClock::new());
    Actor::user(id, name, Role::Operator, Origin::Web)
}

fn source(text: &str) -> NewScript {
    NewScript::new("deploy", Language::Bash, text)
}

impl Here {
    /// A script of Bob's and a credential of Ada's.
    async fn new() -> Self {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let automa =
            Automa::builder().in_memory().clock(std::sync::Arc::new(clock)).open().unwrap();
        let (ada, bob) = (operator("ada"), operator("bob"));
        let script = automa.scripts(&bob).create(source("1")).await.unwrap().id;
        let data = [("key".to_owned(), "a-secret-key".into())].into();
        let new = NewCredential::new("service", Kind::ApiKey, data);
        let credential = automa.credentials(&ada).create(new).await.unwrap().credential.id;
        Self { automa, ada, bob, script, credential }
    }

    fn holder(&self) -> Holder {
        Holder::Script(self.script)
    }

    async fn bind(&self, actor: &Actor, variable: &str) -> Result<BindingNow> {
        let credential = self.credential;
        let new = NewBinding { credential, variable: variable.to_owned(), delivery: Delivery::Env };
        self.automa.credentials(actor).bind(self.holder(), new).await
    }

    fn bindings(&self) -> Vec<BindingNow> {
        self.automa.credentials(&self.bob).bindings(self.holder()).unwrap()
    }

    fn trusts(&self, number: u32) -> bool {
        let look = |view: &_| script::kept_version(view, self.script, number);
        let version = self.automa.store.look(look).unwrap();
        self.bindings()[0].binding.trusts(&version)
    }
}

#[tokio::test]
async fn only_who_may_use_a_credential_binds_it() {
    let here = Here::new().await;
    assert!(matches!(here.bind(&here.bob, "TOKEN").await, Err(Error::NotFound { .. })));
    let viewer = Actor { role: Role::Viewer, ..here.ada.clone() };
    assert!(matches!(here.bind(&viewer, "TOKEN").await, Err(Error::Forbidden(_))));
    let bound = here.bind(&here.ada, "TOKEN").await.unwrap();
    assert_eq!((&*bound.credential_name, &*bound.holder_name), ("service", "deploy"));
    assert_eq!(here.bindings(), [bound]);
    let admin = Actor::embedder("root");
    assert_eq!(here.automa.credentials(&admin).holders(here.credential).unwrap().len(), 1);
    let holders = here.automa.credentials(&here.bob).holders(here.credential);
    assert!(matches!(holders, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn versions_that_others_write_later_are_not_trusted_until_it_is_bound_again() {
    let here = Here::new().await;
    here.bind(&here.ada, "TOKEN").await.unwrap();
    assert!(here.trusts(1), "it was there");
    here.automa.scripts(&here.ada).update(here.script, 1, source("2")).await.unwrap();
    assert!(here.trusts(2), "who bound it wrote it");
    here.automa.scripts(&here.bob).update(here.script, 2, source("3")).await.unwrap();
    assert!(!here.trusts(3) && here.trusts(2) && here.trusts(1));
    assert_eq!(here.bindings()[0].unconfirmed, Some((3, "bob".to_owned())));
    assert!(here.bind(&here.bob, "TOKEN").await.is_err());
    let id = here.bindings()[0].binding.id;
    let again = here.bind(&here.ada, "TOKEN").await.unwrap();
    assert_eq!((again.binding.id, again.unconfirmed), (id, None));
    assert!(here.trusts(3));
}

#[tokio::test]
async fn a_variable_has_a_name_that_means_nothing_else() {
    let here = Here::new().await;
    let schema = r#"{"type":"object","properties":{"DAYS":{}}}"#;
    let new = NewScript { parameters_schema: Some(schema.to_owned()), ..source("1") };
    here.automa.scripts(&here.bob).update(here.script, 1, new).await.unwrap();
    for name in ["", "token", "1X", "A-B", "PATH", "LD_PRELOAD", "AUTOMA_X", "BASH_ENV", "DAYS"] {
        let refused = here.bind(&here.ada, name).await;
        let Err(Error::Invalid(fields)) = refused else { panic!("{name}: {refused:?}") };
        assert_eq!(fields[0].field, "variable_name");
    }
    assert!(here.bind(&here.ada, &"X".repeat(65)).await.is_err());
    assert!(here.bind(&here.ada, &"X".repeat(64)).await.is_ok());
}

#[tokio::test]
async fn what_is_bound_is_not_deleted_and_goes_with_its_holder() {
    let here = Here::new().await;
    here.bind(&here.ada, "TOKEN").await.unwrap();
    let credentials = here.automa.credentials(&here.ada);
    let refused = credentials.delete(here.credential).await.unwrap_err();
    assert!(refused.to_string().contains("given to deploy"), "{refused}");
    assert_eq!(credentials.unbind_all(here.credential).await.unwrap(), 1);
    assert_eq!(here.bindings(), []);

    let bound = here.bind(&here.ada, "TOKEN").await.unwrap();
    let job = Holder::Job(JobId::generate(&SystemClock::new()));
    let bob = here.automa.credentials(&here.bob);
    assert!(matches!(bob.unbind(job, bound.binding.id).await, Err(Error::NotFound { .. })));
    bob.unbind(here.holder(), bound.binding.id).await.unwrap();

    here.bind(&here.ada, "TOKEN").await.unwrap();
    here.automa.scripts(&here.bob).delete(here.script).await.unwrap();
    assert!(credentials.delete(here.credential).await.is_err(), "it may be restored");
    here.automa.scripts(&Actor::embedder("root")).purge(here.script).await.unwrap();
    credentials.delete(here.credential).await.unwrap();
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let binding = Binding {
        id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
        holder: Holder::Job("018f0000-0000-7000-8000-000000000002".parse().unwrap()),
        credential: "018f0000-0000-7000-8000-000000000003".parse().unwrap(),
        variable: "TOKEN".to_owned(),
        delivery: Delivery::Fd,
        script: "018f0000-0000-7000-8000-000000000004".parse().unwrap(),
        versions: 3,
        by: None,
        by_name: "ada".to_owned(),
        at: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    assert_bytes(
        &binding,
        "01018f000000007000800000000000000101018f0000000070008000000000000002018f0000000070008000\
         00000000000305544f4b454e02018f0000000070008000000000000004030003616461808082e288d2a306",
    );
    let given = GivenCredential {
        credential: binding.credential,
        name: "key".to_owned(),
        version: 2,
        variable: "TOKEN".to_owned(),
        delivery: Delivery::File,
    };
    assert_bytes(
        &GivenCredentials(vec![given]),
        "0101018f0000000070008000000000000003036b65790205544f4b454e01",
    );
}
