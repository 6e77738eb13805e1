//! When something that is run has its turn, in forms: what is left empty is the script's, or no matter.

use automa_core::execution::{Deadline, DispatchRequest, DispatchRules};

use super::{
    form::{Field, Problems, Typed},
    limits::{field, time},
};

const PRIORITY: &str = "priority";
const DEADLINE: &str = "deadline_ms";

/// The fields of a turn.
#[derive(Debug, Clone)]
pub(crate) struct TurnFields {
    pub(crate) priority: Field,
    pub(crate) deadline: Field,
}

impl TurnFields {
    /// Fields with what was typed; an empty priority shows the script's.
    pub(crate) fn new(typed: &Typed, problems: &mut Problems, base: &DispatchRules) -> Self {
        Self {
            priority: Field::line(PRIORITY, "Priority")
                .placeholder(base.priority.to_string())
                .hint("-100 to 100. Of what you have waiting, the highest goes first.")
                .filled(typed, problems),
            deadline: Field::line(DEADLINE, "Start within")
                .placeholder("any time")
                .hint("What still waits then ends as timed out.")
                .filled(typed, problems),
        }
    }

    /// Whether a field holds anything, so that it should be seen.
    pub(crate) fn touched(&self) -> bool {
        [&self.priority, &self.deadline].into_iter().any(|it| it.is_filled() || it.has_error())
    }

    /// What counts, in a few words.
    pub(crate) fn summary(&self) -> String {
        let within = if self.deadline.is_filled() { "within " } else { "" };
        format!("priority {}, {within}{}", self.priority.shown(), self.deadline.shown())
    }
}

/// What a form says about a turn; what cannot be read is a problem of its field.
pub(crate) fn read(typed: &Typed, problems: &mut Problems) -> DispatchRequest {
    DispatchRequest {
        priority: field(typed, problems, PRIORITY, |text| {
            text.parse().map_err(|_| format!("`{text}` is not a whole number of -100 to 100"))
        }),
        deadline: field(typed, problems, DEADLINE, time).map(Deadline::After),
        ..DispatchRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_read_and_what_cannot_be_is_shown_at_its_field() {
        let mut problems = Problems::default();
        assert_eq!(read(&Typed::default(), &mut problems), DispatchRequest::default());
        let typed = Typed::default().with(PRIORITY, "-7").with(DEADLINE, "1h 30m");
        let turn = read(&typed, &mut problems);
        assert_eq!((turn.priority, turn.deadline), (Some(-7), Some(Deadline::After(5_400_000))));
        let filled = TurnFields::new(&typed, &mut problems, &DispatchRules::default());
        assert_eq!(filled.summary(), "priority -7, within 1h 30m");
        assert!(problems.is_empty());
        let bad = Typed::default().with(PRIORITY, "200").with(DEADLINE, "soon");
        assert_eq!(read(&bad, &mut problems), DispatchRequest::default());
        let base = DispatchRules { priority: 5, ..DispatchRules::default() };
        let fields = TurnFields::new(&bad, &mut problems, &base);
        assert!(fields.priority.has_error() && fields.deadline.has_error() && fields.touched());
        let empty = TurnFields::new(&Typed::default(), &mut problems, &base);
        assert!(!empty.touched() && problems.is_empty());
        assert_eq!(empty.summary(), "priority 5, any time");
    }
}
