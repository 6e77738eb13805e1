//! What an execution may reach, and what it did: the allow-list and a row for each kind of event.

use std::net::Ipv6Addr;

use askama::{Template, filters::HtmlSafe};
use automa_sandbox::{Destination, EgressEvent, ExitReport, Verdict};

use crate::filters;

/// The panel of an execution with a network.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/egress.html")]
pub(crate) struct Egress {
    allowed: Vec<String>,
    /// `None` until it has ended.
    rows: Option<Vec<Row>>,
    omitted: u64,
}

/// The template escapes for itself.
impl HtmlSafe for Egress {}

/// Events of one destination and verdict.
#[derive(Debug, Clone)]
struct Row {
    destination: String,
    made: bool,
    /// Why it was refused.
    reason: Option<String>,
    count: u64,
    sent: u64,
    received: u64,
}

impl Egress {
    /// The panel; `None` of an execution that had no network and reported nothing of one.
    pub(crate) fn new(allowed: &[Destination], report: Option<&ExitReport>) -> Option<Self> {
        let rows = report.map(|report| report.egress.iter().map(Row::from).collect::<Vec<_>>());
        if allowed.is_empty() && rows.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        let allowed = allowed.iter().map(ToString::to_string).collect();
        Some(Self { allowed, rows, omitted: report.map_or(0, |report| report.egress_omitted) })
    }
}

impl From<&EgressEvent> for Row {
    fn from(event: &EgressEvent) -> Self {
        let host = &event.host;
        let host = match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => host.clone(),
        };
        Self {
            destination: event.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
            made: event.verdict == Verdict::Allowed,
            reason: match event.verdict {
                Verdict::Allowed => None,
                Verdict::Refused(refusal) => Some(refusal.to_string()),
            },
            count: event.count,
            sent: event.sent.0,
            received: event.received.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples;

    #[test]
    fn what_was_reached_and_what_was_refused_is_told() {
        let report = samples::report();
        let panel = Egress::new(&samples::ran().network, Some(&report)).unwrap();
        let html = panel.render().unwrap();
        assert!(html.contains("[2001:db8::1]:80"), "{html}");
        assert!(html.contains("not on the allow-list"), "{html}");
        assert!(html.contains("3 more"), "{html}");
        assert!(!html.contains("<script>"), "{html}");
    }

    #[test]
    fn without_a_network_there_is_no_panel() {
        let quiet = ExitReport { egress: Vec::new(), ..samples::report() };
        assert!(Egress::new(&[], Some(&quiet)).is_none() && Egress::new(&[], None).is_none());
        let running = Egress::new(&samples::ran().network, None).unwrap();
        assert!(running.render().unwrap().contains("appears here at its end"));
    }
}
