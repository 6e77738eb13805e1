use super::*;
use crate::{
    Automa,
    actor::Actor,
    clock::TestClock,
    credential::{Kind, NewBinding, NewCredential},
    execution::{Dispatch, LimitsRequest, Slot, State},
    id::{JobId, ScriptId},
    script::{Language, NewScript},
};

struct Here {
    automa: Automa,
    script: ScriptId,
    execution: Execution,
    ran: Ran,
}

fn me() -> Actor {
    Actor::embedder("ada")
}

impl Here {
    async fn new() -> Self {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let id = ExecutionId::generate(&clock);
        let created_at = clock.now();
        let automa =
            Automa::builder().in_memory().clock(std::sync::Arc::new(clock)).open().unwrap();
        let new = NewScript::new("deploy", Language::Bash, "1");
        let script = automa.scripts(&me()).create(new).await.unwrap().id;
        let execution = Execution {
            id,
            state: State::Running,
            language: Language::Bash,
            script: Some((script, 1)),
            script_name: None,
            requested_by: "bob".to_owned(),
            user: None,
            created_at,
            started_at: None,
            finished_at: None,
            attempt: 1,
            rerun_of: None,
            ending: None,
            dispatch: Dispatch::default(),
            job: None,
            agent: None,
        };
        let ran = Ran {
            language: Language::Bash,
            source: "1".to_owned(),
            parameters: None,
            limits: LimitsRequest::default(),
            network: Vec::new(),
        };
        Self { automa, script, execution, ran }
    }

    async fn bind(&self, holder: Holder, variable: &str, fields: &[(&str, &str)]) {
        let kind = if fields.len() == 1 { Kind::ApiKey } else { Kind::UserPass };
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        let actor = me();
        let credentials = self.automa.credentials(&actor);
        let new = NewCredential::new(variable.to_lowercase(), kind, fields);
        let credential = credentials.create(new).await.unwrap().credential.id;
        let variable = variable.to_owned();
        let new = NewBinding { credential, variable, delivery: Delivery::Env };
        credentials.bind(holder, new).await.unwrap();
    }

    fn open(&self) -> Result<Secrets> {
        let now = self.automa.clock.now();
        self.automa
            .store
            .look(|view| Secrets::open(view, &self.automa.vault, now, &self.execution, &self.ran))
    }

    /// What the variables hold, and which of them are secret.
    fn variables(&self) -> Vec<String> {
        let secrets = self.open().unwrap();
        let told = secrets.variables.iter().map(|(name, Variable { way, value })| {
            let mark = if way.is_some() { "!" } else { "" };
            format!("{name}{mark}={}", String::from_utf8_lossy(value))
        });
        told.collect()
    }
}

const LOGIN: &[(&str, &str)] = &[("username", "ada"), ("password", "hunter22")];

#[tokio::test]
async fn a_credential_is_given_whole_and_by_fields() {
    let mut here = Here::new().await;
    here.bind(Holder::Script(here.script), "DB", LOGIN).await;
    let whole = r#"DB!={"password":"hunter22","username":"ada"}"#;
    assert_eq!(here.variables(), [whole, "DB_PASSWORD!=hunter22", "DB_USERNAME=ada"]);
    let mask = here.open().unwrap().into_mask();
    assert_eq!(mask.apply(b"ada hunter22 aHVudGVyMjI="), b"ada *** ***");
    // A variable that is taken stays what it is.
    here.ran.parameters = Some([("DB_USERNAME".to_owned(), "eve".into())].into_iter().collect());
    assert_eq!(here.variables(), [whole, "DB_PASSWORD!=hunter22"]);
    here.bind(Holder::Script(here.script), "DB_PASSWORD", &[("key", "another key")]).await;
    let all = [whole, "DB_PASSWORD!=another key", "DB_PASSWORD_KEY!=another key"];
    assert_eq!(here.variables(), all);
}

#[tokio::test]
async fn what_a_job_is_given_goes_before_what_its_script_is() {
    let mut here = Here::new().await;
    let script = here.script;
    here.bind(Holder::Script(script), "ONE", &[("key", "of the script")]).await;
    here.bind(Holder::Script(script), "TWO", &[("key", "of the script")]).await;
    let job = JobId::generate(&*here.automa.clock);
    let version = here.automa.store.look(|view| script::kept_version(view, script, 1)).unwrap();
    let credentials = here
        .automa
        .store
        .look(|view| Ok::<_, Error>(store::bindings::of_holder(view, Holder::Script(script))?));
    let of_job = Binding {
        id: crate::id::BindingId::generate(&*here.automa.clock),
        holder: Holder::Job(job),
        variable: "TWO".to_owned(),
        versions: version.number,
        ..credentials.unwrap().remove(0)
    };
    let expected = of_job.credential;
    let put = move |change: &mut Change| Ok::<_, Error>(store::bindings::put(change, &of_job)?);
    here.automa.store.write(put).await.unwrap();
    let given = |here: &Here| here.open().unwrap().given[1].credential;
    assert_ne!(given(&here), expected);
    here.execution.job = Some(Slot { job, at: here.execution.created_at });
    assert_eq!(given(&here), expected);
}

#[tokio::test]
async fn who_is_not_trusted_is_given_nothing() {
    let mut here = Here::new().await;
    here.bind(Holder::Script(here.script), "TOKEN", &[("key", "a long key")]).await;
    let new = NewScript::new("deploy", Language::Bash, "echo $TOKEN");
    let eve = Actor::embedder("eve");
    here.automa.scripts(&eve).update(here.script, 1, new).await.unwrap();
    assert_eq!(here.open().unwrap().given.len(), 1);
    here.execution.script = Some((here.script, 2));
    let Err(error) = here.open() else { panic!("it was given") };
    let told = "version 2 was written by eve after ada had bound the credential `token`";
    assert!(error.to_string().starts_with(told), "{error}");
    assert!(here.open().is_err());
}

#[tokio::test]
async fn that_it_is_given_is_on_record_by_name_alone() {
    let here = Here::new().await;
    here.bind(Holder::Script(here.script), "TOKEN", &[("key", "a long key")]).await;
    assert!(Secrets::default().record(&*here.automa.clock, &here.execution).is_none());
    let record = here.open().unwrap().record(&*here.automa.clock, &here.execution).unwrap();
    let id = here.execution.id;
    let credential = record.uses[0].0;
    here.automa.store.write(move |change: &mut Change| record.write(change, id)).await.unwrap();
    let given = here.automa.store.look(|view| Ok::<_, Error>(store::bindings::given(view, id)?));
    let given = given.unwrap().unwrap().0.remove(0);
    assert_eq!((&*given.name, given.version, &*given.variable), ("token", 1, "TOKEN"));
    let actor = me();
    let page = crate::page::PageRequest::default();
    let uses = here.automa.credentials(&actor).uses(credential, page).await.unwrap();
    assert_eq!((&*uses.items[0].actor, uses.items[0].what.name()), ("bob", "given"));
    assert!(!format!("{:?}", uses.items[0]).contains("long key"));
}

#[test]
fn what_is_told_of_the_end_is_masked() {
    let mask = Mask::new(["hunter22", "wall"]).unwrap();
    let mut ending = Ending::unknown("reached hunter22.example.com");
    let json = r#"{"usage":{"wall":1},"network":[{"host":"hunter22.example.com"}]}"#;
    let mut report = Report { json: json.to_owned() };
    mask.apply_to_end(&mut ending, Some(&mut report));
    assert_eq!(ending.cause, "the script reached ***.example.com");
    let masked: Value = serde_json::from_str(&report.json).unwrap();
    assert_eq!(masked["network"][0]["host"], "***.example.com");
    assert_eq!(masked["usage"]["wall"], 1);
}
