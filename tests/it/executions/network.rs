//! What an execution may reach: asked for, kept, run again, and reported.

use std::net::{IpAddr, Ipv4Addr};

use automa_core::credential::{Kind, NewCredential};
use automa_sandbox::{Destination, Refusal, Resolve, Resolving, Start, Verdict};

use super::*;

/// Leads every name to this machine, where no name may lead.
#[derive(Debug)]
struct Home;

impl Resolve for Home {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

async fn start_at_home(directory: &Path) -> Automa {
    let engine = EngineConfig::default().helper(automa()).slots(1).resolver(Home);
    Automa::builder().directory(directory).engine(engine).start().await.unwrap()
}

fn destinations(texts: &[&str]) -> Vec<Destination> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const SOURCE: &str = "exec 2>/dev/null\n\
    (exec 3<>/dev/tcp/a.example.com/443 && read -r line <&3) && echo reached\n\
    (exec 3<>/dev/tcp/other.example/443 && read -r line <&3) && echo reached\n\
    true";

/// What an execution reached and was refused.
async fn events(automa: &Automa, id: ExecutionId) -> Vec<(String, Verdict)> {
    assert_eq!(ended(automa, id).await.state, State::Succeeded);
    assert_eq!(texts(&automa.executions(&me()).log(id).unwrap()), [""; 0]);
    let report = automa.executions(&me()).report(id).unwrap().unwrap();
    assert!(matches!(report.start, Start::Cold | Start::Warm));
    report.egress.into_iter().map(|event| (event.host, event.verdict)).collect()
}

#[test]
fn what_may_be_reached_is_kept_run_again_and_reported() {
    block_on(async {
        let dir = public_dir();
        let automa = start_at_home(dir.path()).await;
        let me = me();
        let executions = automa.executions(&me);
        let network = destinations(&["*.example.com:443", "192.0.2.1:80"]);
        let new = NewExecution { network: network.clone(), ..code(SOURCE) };
        let first = executions.submit(new).await.unwrap().id;
        // Listed, but it leads to this machine; and not listed.
        let refused = [
            ("a.example.com".to_owned(), Verdict::Refused(Refusal::ReservedAddress)),
            ("other.example".to_owned(), Verdict::Refused(Refusal::NotListed)),
        ];
        assert_eq!(events(&automa, first).await, refused);
        assert_eq!(executions.program(first).await.unwrap().network, network);

        let again = executions.rerun(first, Rerun::default()).await.unwrap().id;
        assert_eq!(events(&automa, again).await, refused);
        assert_eq!(executions.program(again).await.unwrap().network, network);
        let other = Some(destinations(&["other.example:443"]));
        let other = Rerun { network: other, ..Rerun::default() };
        let again = executions.rerun(again, other).await.unwrap().id;
        let told = events(&automa, again).await;
        assert_eq!(told[0].1, Verdict::Refused(Refusal::NotListed), "{told:?}");
        assert_eq!(told[1].1, Verdict::Refused(Refusal::ReservedAddress), "{told:?}");
        // With nothing to reach there is no network that could be asked.
        let none = Rerun { network: Some(Vec::new()), ..Rerun::default() };
        let again = executions.rerun(again, none).await.unwrap().id;
        assert_eq!(events(&automa, again).await, []);
        automa.close().await;
    });
}

#[test]
fn a_list_that_is_too_long_is_refused_and_a_key_knows_the_list() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let keyed = |network| NewExecution {
            network,
            idempotency_key: Some("nightly".to_owned()),
            ..code("true")
        };
        let long: Vec<_> =
            (0..65).map(|n| format!("h{n}.example.com:443").parse().unwrap()).collect();
        let first = executions.submit(keyed(destinations(&["example.com:443"]))).await.unwrap();
        let again = Rerun { network: Some(long.clone()), ..Rerun::default() };
        for error in [
            executions.submit(keyed(long)).await.unwrap_err(),
            executions.rerun(first.id, again).await.unwrap_err(),
        ] {
            let Error::Invalid(errors) = &error else { panic!("{error}") };
            assert_eq!(errors[0].field, "network");
        }
        let same = executions.submit(keyed(destinations(&["example.com:443"]))).await.unwrap();
        assert_eq!(same.id, first.id);
        for other in [vec![], destinations(&["example.com:80"])] {
            let refused = executions.submit(keyed(other)).await.unwrap_err();
            assert!(matches!(refused, Error::IdempotencyMismatch), "{refused}");
        }
        ended(&automa, first.id).await;
        automa.close().await;
    });
}

#[test]
fn a_credential_is_tested_by_a_connection_from_a_sandbox() {
    block_on(async {
        let dir = public_dir();
        let automa = start_at_home(dir.path()).await;
        let me = me();
        let credentials = automa.credentials(&me);
        let fields = [("engine", "redis"), ("host", "db.example.com"), ("password", "a-password")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.into())).into();
        let new = NewCredential::new("cache", Kind::DbConnection, fields);
        let id = credentials.create(new).await.unwrap().credential.id;
        let tested = credentials.test(id).await.unwrap();
        let detail = "it can be opened, and has the form of its type, but db.example.com:6379 cannot be \
                      reached: a loopback, link-local or reserved address";
        assert_eq!((tested.passed, &*tested.detail), (false, detail));
        automa.close().await;
    });
}
