//! What browsers report of pages that tried what they may not (CSP Level 3, 5): counted, and the first of
//! each minute told to the log. Anybody can send such a report; it proves nothing.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use automa_core::Automa;
use jiff::{SignedDuration, Timestamp};
use poem::{Body, handler, http::StatusCode, web::Data};
use serde_json::Value;

/// Where they are sent.
pub(crate) const PATH: &str = "/csp-reports";
/// Most bytes of one that are read.
const MOST: usize = 16 * 1024;
/// Time between two that are told.
const BETWEEN: SignedDuration = SignedDuration::from_mins(1);

/// How many there were since the start.
#[derive(Debug, Default)]
pub(crate) struct CspReports {
    count: AtomicU64,
    told_at: Mutex<Timestamp>,
}

impl CspReports {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one; whether it is to be told.
    fn note(&self, now: Timestamp) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = now.duration_since(*told_at).abs() >= BETWEEN;
        if is_due {
            *told_at = now;
        }
        is_due
    }
}

/// Takes a report.
#[handler]
pub(crate) async fn take(
    Data(automa): Data<&Automa>,
    Data(reports): Data<&std::sync::Arc<CspReports>>,
    body: Body,
) -> StatusCode {
    let Ok(bytes) = body.into_bytes_limit(MOST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let Ok(report) = serde_json::from_slice::<Value>(&bytes) else {
        return StatusCode::BAD_REQUEST;
    };
    if reports.note(automa.now()) {
        let (directive, blocked) = told(&report);
        tracing::warn!(directive, blocked, "a browser kept a page from what it may not");
    }
    StatusCode::NO_CONTENT
}

/// Which rule it was, and what was tried, in either form of reports.
fn told(report: &Value) -> (String, String) {
    let report = report.get(0).unwrap_or(report);
    let report = report.get("csp-report").or(report.get("body")).unwrap_or(report);
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| report[*name].as_str()).unwrap_or("unknown");
        found.chars().filter(|it| !it.is_control()).take(200).collect()
    };
    (text(["effective-directive", "effectiveDirective"]), text(["blocked-uri", "blockedURL"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_of_reports_are_read_and_one_a_minute_is_told() {
        let old =
            json!({"csp-report": {"effective-directive": "script-src", "blocked-uri": "inline"}});
        let new = json!([{"body": {"effectiveDirective": "script-src", "blockedURL": "inline"}}]);
        for report in [old, new] {
            assert_eq!(told(&report), ("script-src".to_owned(), "inline".to_owned()));
        }
        assert_eq!(told(&json!(7)), ("unknown".to_owned(), "unknown".to_owned()));
        let reports = CspReports::default();
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        assert_eq!([at(0), at(59), at(60)].map(|at| reports.note(at)), [true, false, true]);
        assert_eq!(reports.count(), 3);
    }
}
