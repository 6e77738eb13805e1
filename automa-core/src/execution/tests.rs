use super::*;
use crate::{
    clock::{Clock, TestClock},
    store::record::{
        Record,
        golden::{assert_bytes, assert_reads},
    },
};

/// A server waits on whichever thread is free.
#[expect(dead_code, reason = "that it compiles is the test")]
fn operations_can_wait_on_any_thread(executions: &Executions<'_>, follow: &mut Follow) {
    fn sent(_: impl Send) {}
    let id = ExecutionId::MIN;
    sent(executions.submit(NewExecution::code(Language::Bash, "")));
    sent(executions.rerun(id, Rerun::default()));
    sent(executions.wait(id, Instant::now()));
    sent(executions.cancel(id));
    sent(executions.cancel_within(id, GRACE));
    sent(executions.program(id));
    sent(executions.list(Filter::default(), PageRequest::default()));
    sent(follow.next(1));
}

/// If this fails, the stored format has changed: make a new version of the record instead of
/// changing the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let clock = TestClock::with_seed("2026-01-01T00:00:00Z".parse().unwrap(), 1);
    let id = ExecutionId::generate(&clock);
    let script = ScriptId::generate(&clock);
    let execution = Execution {
        id,
        state: State::TimedOut,
        language: Language::Python,
        script: Some((script, 3)),
        script_name: Some("report".to_owned()),
        requested_by: "ann".to_owned(),
        user: None,
        created_at: clock.now(),
        started_at: Some(clock.now()),
        finished_at: None,
        attempt: 2,
        rerun_of: Some(id),
        ending: Some(Ending {
            cause: "the script was stopped at its time limit".to_owned(),
            exit_code: Some(-1),
            signal: None,
            wall_ms: 300_000,
            cpu_ms: 12,
            peak_memory_bytes: Some(1 << 20),
            output_bytes: 7,
        }),
        dispatch: Dispatch::default(),
        job: None,
        agent: None,
    };
    assert_reads(EXECUTION_V1, &execution);
    let place = Place { key: [7; 16], limit: 2 };
    let execution = Execution {
        dispatch: Dispatch {
            priority: -3,
            deadline: Some(clock.now()),
            not_before: Some(clock.now()),
            max_attempts: 4,
            concurrency: Some(place),
            cancelled_at: Some(clock.now()),
            replaced_by: Some(id),
        },
        ..execution
    };
    assert_reads(EXECUTION_V2, &execution);
    let execution = Execution {
        job: Some(Slot { job: JobId::generate(&clock), at: clock.now() }),
        agent: Some(AgentId::generate(&clock)),
        ..execution
    };
    let retry = Retry::default();
    let attempt = Attempt {
        number: 1,
        state: State::Lost,
        started_at: Some(clock.now()),
        finished_at: clock.now(),
        ending: execution.ending.clone().unwrap(),
    };
    let limits = LimitsRequest {
        wall_ms: Some(1000),
        cpu_ms: Some(300),
        cpus: Some(0.5),
        memory_bytes: Some(1 << 26),
        pids: Some(9),
        output_bytes: Some(1 << 20),
        tmp_bytes: None,
    };
    let (source, json) = ("print()".to_owned(), r#"{"a":1}"#.to_owned());
    let old = WorkV1 { source: Some(source), parameters: Some(json), limits };
    let network = ["*.example.com:443", "[2001:db8::1]:80"].map(|text| text.parse().unwrap());
    let work = Work { network: network.into(), ..old.clone().into() };
    let submitted = Submitted { execution: id, request: [7; 32], expires_at: clock.now() };
    let report = Report { json: "{}".to_owned() };
    for damaged in [&[][..], &[0], &[4, 3], &[3, 255], &[2, 255], &[1, 255]] {
        assert!(Retry::decode(damaged).is_err() && Attempt::decode(damaged).is_err());
        assert!(Execution::decode(damaged).is_err() && Work::decode(damaged).is_err());
        assert!(Submitted::decode(damaged).is_err() && Report::decode(damaged).is_err());
    }
    assert_bytes(&execution, EXECUTION_V3);
    assert_bytes(&retry, RETRY_V1);
    assert_bytes(&attempt, ATTEMPT_V1);
    assert_bytes(&work, WORK_V2);
    assert_reads(WORK_V1, &Work::from(old));
    assert_bytes(&report, REPORT_V1);
    assert_bytes(&submitted, SUBMITTED_V1);
}

/// As above.
#[test]
fn stored_bytes_of_what_is_left_stay_as_they_are() {
    let artifact = Artifact { name: "a/b".to_owned(), size: 300, sha256: [7; 32], start: 4096 };
    let left_out = LeftOut { name: "c".to_owned(), reason: "a pipe".to_owned() };
    let kept = Kept {
        attempt: 2,
        files: 1,
        bytes: 300,
        left_out: vec![left_out],
        left_out_count: 9,
        complete: true,
    };
    assert_bytes(&artifact, ARTIFACT_V1);
    assert_bytes(&kept, KEPT_V1);
    assert_bytes(&StoredResult::Json("[1]".to_owned()), RESULT_V1);
    assert_bytes(&StoredResult::Unusable("too long".to_owned()), RESULT_UNUSABLE_V1);
    for damaged in [&[][..], &[0], &[2, 3], &[1, 255]] {
        assert!(Artifact::decode(damaged).is_err() && Kept::decode(damaged).is_err());
        assert!(StoredResult::decode(damaged).is_err());
    }
}

const EXECUTION_V1: &str = "01019b76daa8007000815c0289ec2d0a91040101019b76daa8007001a7ec8e65a18debbe0301067265706f727403616e6e00808082e288d2a30601808082e288d2a306000201019b76daa8007000815c0289ec2d0a91012874686520736372697074207761732073746f70706564206174206974732074696d65206c696d6974010100e0a7120c0180804007";
const EXECUTION_V2: &str = "02019b76daa8007000815c0289ec2d0a91040101019b76daa8007001a7ec8e65a18debbe0301067265706f727403616e6e00808082e288d2a30601808082e288d2a306000201019b76daa8007000815c0289ec2d0a91012874686520736372697074207761732073746f70706564206174206974732074696d65206c696d6974010100e0a7120c0180804007fd01808082e288d2a30601808082e288d2a3060401070707070707070707070707070707070201808082e288d2a30601019b76daa8007000815c0289ec2d0a91";
const EXECUTION_V3: &str = "03019b76daa8007000815c0289ec2d0a91040101019b76daa8007001a7ec8e65a18debbe0301067265706f727403616e6e00808082e288d2a30601808082e288d2a306000201019b76daa8007000815c0289ec2d0a91012874686520736372697074207761732073746f70706564206174206974732074696d65206c696d6974010100e0a7120c0180804007fd01808082e288d2a30601808082e288d2a3060401070707070707070707070707070707070201808082e288d2a30601019b76daa8007000815c0289ec2d0a9101019b76daa80070029e5532fbeea293f8808082e288d2a30601019b76daa80070038bc942ee9086c171";
const RETRY_V1: &str = "0103e807e0a71200000000000000400103030406";
const ATTEMPT_V1: &str = "01010701808082e288d2a306808082e288d2a3062874686520736372697074207761732073746f70706564206174206974732074696d65206c696d6974010100e0a7120c0180804007";
const WORK_V1: &str =
    "0101077072696e74282901077b2261223a317d01e80701ac0201000000000000e03f018080802001090180804000";
const WORK_V2: &str = "0201077072696e74282901077b2261223a317d01e80701ac0201000000000000e03f01808080200109018080400002112a2e6578616d706c652e636f6d3a343433105b323030313a6462383a3a315d3a3830";
const ARTIFACT_V1: &str =
    "0103612f62ac0207070707070707070707070707070707070707070707070707070707070707078020";
const KEPT_V1: &str = "010201ac02010163066120706970650901";
const RESULT_V1: &str = "0100035b315d";
const RESULT_UNUSABLE_V1: &str = "010108746f6f206c6f6e67";
const REPORT_V1: &str = "01027b7d";
const SUBMITTED_V1: &str = "01019b76daa8007000815c0289ec2d0a91070707070707070707070707070707070707070707070707070707070707070780a0d5edee66";
