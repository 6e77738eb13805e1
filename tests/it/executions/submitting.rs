//! What can be asked for: parameters, limits, keys, filters, re-runs.

use automa_core::{
    execution::{LimitsRequest, Parameters, Rerun},
    page::Limit,
};
use serde_json::{Value, json};

use super::*;

fn parameters(value: Value) -> Parameters {
    let Value::Object(map) = value else { panic!("{value} is no object") };
    map
}

async fn lines(automa: &Automa, new: NewExecution) -> Vec<String> {
    let id = automa.executions(&me()).submit(new).await.unwrap().id;
    let execution = ended(automa, id).await;
    assert_eq!(execution.state, State::Succeeded, "{execution:#?}");
    texts(&automa.executions(&me()).log(id).unwrap())
}

fn fields(error: &Error) -> Vec<&str> {
    let Error::Invalid(errors) = error else { panic!("{error}") };
    errors.iter().map(|error| &*error.field).collect()
}

#[test]
fn parameters_arrive_as_variables_and_as_a_file() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let given = json!({
            "text": "a 'b' $c\n", "number": -1.5, "yes": true, "none": null, "list": [1, "x"],
        });
        let source = "import json, os
found = json.load(open(os.environ['AUTOMA_PARAMETERS']))
names = ['text', 'number', 'yes', 'none', 'list']
print(json.dumps([found, [os.environ.get(name) for name in names]]))";
        let new = NewExecution {
            parameters: Some(parameters(given.clone())),
            ..NewExecution::code(Language::Python, source)
        };
        let seen: Value = serde_json::from_str(&lines(&automa, new).await[0]).unwrap();
        assert_eq!(seen, json!([given, ["a 'b' $c\n", "-1.5", "true", null, null]]));
        // Wherever the script goes, the file is found, also without parameters.
        let source = "cd /; cat $AUTOMA_PARAMETERS";
        assert_eq!(lines(&automa, code(source)).await, ["{}"]);
        automa.close().await;
    });
}

#[test]
fn limits_are_those_asked_for_then_the_scripts_then_the_defaults() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let limits = LimitsRequest {
            output_bytes: Some(1000),
            tmp_bytes: Some(1 << 20),
            ..LimitsRequest::default()
        };
        let source = "df --output=size -B1 /tmp | tail -1; seq 10000";
        let new = NewScript { limits, ..NewScript::new("limited", Language::Bash, source) };
        let script = automa.scripts(&me).create(new).await.unwrap();
        let executions = automa.executions(&me);
        let id = executions.submit(NewExecution::script(script.id)).await.unwrap().id;
        assert_eq!(ended(&automa, id).await.state, State::Succeeded);
        let log = executions.log(id).unwrap();
        let kept = log.raw_len() - log.cut().unwrap().bytes();
        assert!((980..=1000).contains(&kept), "{kept}");
        let asked = LimitsRequest { output_bytes: Some(100_000), ..LimitsRequest::default() };
        let new = NewExecution { limits: asked, ..NewExecution::script(script.id) };
        let id = executions.submit(new).await.unwrap().id;
        assert_eq!(ended(&automa, id).await.state, State::Succeeded);
        let log = executions.log(id).unwrap();
        assert!(texts(&log)[0].contains("1048576") && log.cut().is_none());
        let ran = executions.program(id).await.unwrap();
        assert_eq!((ran.source.as_str(), ran.limits), (source, asked.over(limits)));
        automa.close().await;
    });
}

#[test]
fn what_cannot_be_accepted_is_named_and_nothing_is_stored() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let new = NewExecution {
            parameters: Some(parameters(json!({ "PATH": "/evil", "fine": 1 }))),
            limits: LimitsRequest { wall_ms: Some(0), ..LimitsRequest::default() },
            idempotency_key: Some("two words".to_owned()),
            ..code(&"x".repeat((1 << 20) + 1))
        };
        let error = executions.submit(new).await.unwrap_err();
        let all = ["source", "parameters/PATH", "limits.wall_ms", "idempotency_key"];
        assert_eq!(fields(&error), all);
        for key in [String::new(), "x".repeat(256), "tab\t".to_owned(), "ä".to_owned()] {
            let new = NewExecution { idempotency_key: Some(key), ..code(":") };
            let error = executions.submit(new).await.unwrap_err();
            assert_eq!(fields(&error), ["idempotency_key"]);
        }
        let schema = json!({ "type": "object", "required": ["n"], "additionalProperties": false,
            "properties": { "n": { "type": "integer" } } });
        let new = NewScript {
            parameters_schema: Some(schema.to_string()),
            ..NewScript::new("strict", Language::Bash, "echo $n")
        };
        let script = automa.scripts(&me).create(new).await.unwrap();
        for (given, wrong) in [
            (None, vec!["parameters/n"]),
            (Some(parameters(json!({ "n": "1", "x": 1 }))), vec!["parameters/n", "parameters/x"]),
        ] {
            let new = NewExecution { parameters: given, ..NewExecution::script(script.id) };
            let error = executions.submit(new).await.unwrap_err();
            let mut fields = fields(&error);
            fields.sort_unstable();
            assert_eq!(fields, wrong, "{error}");
        }
        assert_eq!(executions.counts().unwrap().total(), 0);
        let given = Some(parameters(json!({ "n": 7 })));
        let new = NewExecution { parameters: given, ..NewExecution::script(script.id) };
        assert_eq!(lines(&automa, new).await, ["7"]);
        automa.close().await;
    });
}

#[test]
fn the_same_key_is_the_same_execution() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 2).await;
        let me = me();
        let executions = automa.executions(&me);
        let keyed = |key: &str, source| NewExecution {
            idempotency_key: Some(key.to_owned()),
            ..code(source)
        };
        let many = (0..20).map(|_| executions.submit(keyed("nightly", "echo once")));
        let accepted = futures_util::future::join_all(many).await;
        let id = accepted[0].as_ref().unwrap().id;
        for execution in accepted {
            assert_eq!(execution.unwrap().id, id);
        }
        let execution = ended(&automa, id).await;
        // It is answered as it is now.
        assert_eq!(executions.submit(keyed("nightly", "echo once")).await.unwrap(), execution);
        let mut limited = keyed("nightly", "echo once");
        limited.limits.pids = Some(3);
        let given = |value| NewExecution {
            parameters: Some(parameters(value)),
            ..keyed("nightly", "echo once")
        };
        assert_eq!(executions.submit(given(json!({}))).await.unwrap(), execution);
        for other in [keyed("nightly", "echo twice"), limited, given(json!({ "a": 1 }))] {
            let refused = executions.submit(other).await.unwrap_err();
            assert!(matches!(refused, Error::IdempotencyMismatch), "{refused}");
        }
        // Another key, or another user's, is another execution.
        let another = executions.submit(keyed("daily", "echo once")).await.unwrap();
        let user = UserId::generate(&SystemClock::new());
        let ann = Actor::user(user, "ann", Role::Operator, Origin::Api);
        let hers = automa.executions(&ann).submit(keyed("nightly", "echo once")).await.unwrap();
        assert!(another.id != id && hers.id != id && hers.id != another.id);
        assert_eq!(executions.counts().unwrap().total(), 3);
        ended(&automa, another.id).await;
        ended(&automa, hers.id).await;
        automa.close().await;
        // Keys outlive the process.
        let automa = start(dir.path(), 1).await;
        let again = automa.executions(&me).submit(keyed("nightly", "echo once")).await.unwrap();
        assert_eq!(again.id, id);
        automa.close().await;
    });
}

#[test]
fn a_rerun_runs_the_same_with_the_same_or_other_parameters() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let (scripts, executions) = (automa.scripts(&me), automa.executions(&me));
        let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;
        let with_source = |source: &str| NewScript {
            parameters_schema: Some(schema.to_owned()),
            ..NewScript::new("count", Language::Bash, source)
        };
        let script = scripts.create(with_source("echo first $n")).await.unwrap();
        let new = NewExecution {
            parameters: Some(parameters(json!({ "n": 1 }))),
            limits: LimitsRequest { pids: Some(7), ..LimitsRequest::default() },
            ..NewExecution::script(script.id)
        };
        let first = executions.submit(new).await.unwrap();
        assert_eq!((first.script_name.as_deref(), first.attempt), (Some("count"), 1));
        // A newer version and another name do not matter.
        let newer = NewScript { name: "other".to_owned(), ..with_source("echo second $n") };
        scripts.update(script.id, 1, newer).await.unwrap();
        let with = |parameters| Rerun { parameters, ..Rerun::default() };
        let mut before = first;
        for (given, output) in [
            (None, "first 1"),
            (Some(parameters(json!({ "n": 2 }))), "first 2"),
            (Some(parameters(json!({}))), "first"),
        ] {
            let again = executions.rerun(before.id, with(given)).await.unwrap();
            assert_eq!((again.rerun_of, again.attempt), (Some(before.id), 1));
            assert_eq!((again.script, &again.script_name), (before.script, &before.script_name));
            assert_eq!(ended(&automa, again.id).await.state, State::Succeeded);
            assert_eq!(texts(&executions.log(again.id).unwrap()), [output]);
            assert_eq!(executions.program(again.id).await.unwrap().limits.pids, Some(7));
            before = again;
        }
        let wrong = executions
            .rerun(before.id, with(Some(parameters(json!({ "n": "x" })))))
            .await
            .unwrap_err();
        assert_eq!(fields(&wrong), ["parameters/n"]);
        // A deleted script is not run again; what it was can still be seen.
        scripts.delete(script.id).await.unwrap();
        for error in [
            executions.rerun(before.id, Rerun::default()).await.unwrap_err(),
            executions.rerun(before.id, with(Some(parameters(json!({}))))).await.unwrap_err(),
            executions.submit(NewExecution::script(script.id)).await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::NotFound { kind: "script", .. }), "{error}");
        }
        assert_eq!(executions.get(before.id).unwrap().script_name.as_deref(), Some("count"));
        assert_eq!(executions.program(before.id).await.unwrap().source, "echo first $n");
        // Code that was not saved is run again as it was.
        let new =
            NewExecution { parameters: Some(parameters(json!({ "n": 3 }))), ..code("echo $n") };
        let unsaved = executions.submit(new).await.unwrap();
        let again = executions.rerun(unsaved.id, Rerun::default()).await.unwrap();
        ended(&automa, again.id).await;
        assert_eq!(texts(&executions.log(again.id).unwrap()), ["3"]);
        automa.close().await;
    });
}

#[test]
fn lists_and_counts_follow_what_happens() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let bash = |source| NewScript::new("script", Language::Bash, source);
        let script = automa.scripts(&me).create(bash("exit 3")).await.unwrap().id;
        let mut ids = Vec::new();
        for _ in 0..2 {
            for new in [NewExecution::script(script), code(":")] {
                ids.push(executions.submit(new).await.unwrap().id);
            }
        }
        for &id in &ids {
            ended(&automa, id).await;
        }
        let list = async |state, script| {
            let request = PageRequest { cursor: None, limit: Limit::new(200).unwrap() };
            let states = Option::into_iter(state).collect();
            let filter = Filter { states, script, ..Filter::default() };
            let page = executions.list(filter, request).await.unwrap();
            page.items.into_iter().map(|execution| execution.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None, None).await, [ids[3], ids[2], ids[1], ids[0]]);
        assert_eq!(list(Some(State::Failed), None).await, [ids[2], ids[0]]);
        assert_eq!(list(None, Some(script)).await, [ids[2], ids[0]]);
        assert_eq!(list(Some(State::Succeeded), Some(script)).await, []);
        let counts = executions.counts().unwrap();
        assert_eq!((counts.of(State::Failed), counts.of(State::Succeeded)), (2, 2));
        assert_eq!((counts.of(State::Running), counts.total()), (0, 4));
        let me_alone = Filter { requested_by: Some("tests".to_owned()), ..Filter::default() };
        let counted = executions.count(me_alone).await.unwrap();
        assert_eq!((counted.count, counted.is_exact), (4, true));
        automa.close().await;
    });
}
