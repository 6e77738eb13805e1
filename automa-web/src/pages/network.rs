//! What may be reached, in forms: one destination a line.

use automa_sandbox::Destination;

use super::form::{Field, Kind, Problems, Typed};

/// The field's name, which is also that of errors about it.
const NAME: &str = "network";

/// The field of a form.
#[derive(Debug, Clone)]
pub(crate) struct NetworkField {
    pub(crate) field: Field,
}

impl NetworkField {
    pub(crate) fn new(typed: &Typed, problems: &mut Problems) -> Self {
        let field = Field::new(NAME, "May reach", Kind::Text(3))
            .side("one host and port a line")
            .placeholder("api.example.com:443")
            .hint("Also *.example.com:443 and addresses. TCP only; everything else is refused.")
            .attributes("class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\"");
        Self { field: field.filled(typed, problems) }
    }

    /// Whether it holds anything, so that it should be seen.
    pub(crate) fn touched(&self) -> bool {
        self.field.is_filled() || self.field.has_error()
    }

    /// What counts, in a few words.
    pub(crate) fn summary(&self) -> String {
        match self.field.filled_lines() {
            0 => "none".to_owned(),
            1 => "1 destination".to_owned(),
            count => format!("{count} destinations"),
        }
    }
}

/// What a form says may be reached; what cannot be read is a problem of its field.
pub(crate) fn read(typed: &Typed, problems: &mut Problems) -> Vec<Destination> {
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    for line in typed.get(NAME).lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.parse::<Destination>() {
            Ok(destination) => read.push(destination),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if !wrong.is_empty() {
        problems.add(NAME, &wrong.join("; "));
    }
    read
}

/// The form that would ask for these.
pub(crate) fn typed(typed: Typed, network: &[Destination]) -> Typed {
    let lines: Vec<_> = network.iter().map(ToString::to_string).collect();
    typed.with(NAME, lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_back_as_they_are_written() {
        let text = "\n api.example.com:443 \r\n\n*.example.org:80\n[2001:db8::1]:22\n";
        let mut problems = Problems::default();
        let first = read(&Typed::default().with(NAME, text), &mut problems);
        assert_eq!(first.len(), 3);
        let typed = typed(Typed::default(), &first);
        assert_eq!(read(&typed, &mut problems), first);
        assert!(problems.is_empty(), "{problems:?}");
        let field = NetworkField::new(&typed, &mut problems);
        assert!(field.touched());
        assert_eq!(field.summary(), "3 destinations");
    }

    #[test]
    fn every_line_that_is_wrong_is_named_in_the_field() {
        let bad = Typed::default().with(NAME, "https://a/\nb.example:443\nc.example:0");
        let mut problems = Problems::default();
        assert_eq!(read(&bad, &mut problems).len(), 1);
        let problem = problems.clone().take(NAME).unwrap();
        assert!(problem.contains("`https://a/`") && problem.contains("`c.example:0`"), "{problem}");
        assert!(NetworkField::new(&bad, &mut problems).touched() && problems.is_empty());
    }

    #[test]
    fn an_empty_field_is_no_network() {
        let mut problems = Problems::default();
        assert!(read(&Typed::default(), &mut problems).is_empty());
        let field = NetworkField::new(&Typed::default(), &mut problems);
        assert!(!field.touched());
        assert_eq!(field.summary(), "none");
    }
}
