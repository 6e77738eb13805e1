//! What part of the list was asked for: read from an address, and written into others.

use automa_core::script::{Language, Search, Sort, Status};

use crate::{
    auth::Caller,
    htmx::encoded,
    pages::{self, form::Typed},
    problem::Problem,
};

/// What is looked for, and the filters. Its addresses have what is asked for and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) language: Option<Language>,
    pub(super) status: Option<Status>,
    pub(super) tag: Option<String>,
    /// Only those of who looks.
    pub(super) mine: bool,
    pub(super) sort: Option<Sort>,
}

/// One of the filters, as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The list without it.
    pub(super) without: Asked,
}

impl Asked {
    /// Reads what an address asks for. What is empty asks for nothing.
    pub(super) fn read(query: &Typed) -> Result<Self, Problem> {
        let tag = query.line("tag");
        Ok(Self {
            text: query.line("q").to_owned(),
            language: pages::named(query.get("language"), "language", |name| {
                Language::ALL.into_iter().find(|it| it.name() == name)
            })?,
            status: pages::named(query.get("status"), "status", |name| name.parse().ok())?,
            tag: (!tag.is_empty()).then(|| tag.to_owned()),
            mine: !query.get("mine").is_empty(),
            sort: pages::named(query.get("sort"), "order", |name| name.parse().ok())?,
        })
    }

    /// Whether something is left out.
    pub(super) fn is_filtered(&self) -> bool {
        Self { sort: None, ..self.clone() } != Self::default()
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates lend it")]
    pub(super) fn is_sorted(&self, sort: &Sort) -> bool {
        self.sort == Some(*sort)
    }

    /// The same with a tag.
    pub(super) fn tagged(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), ..self.clone() }
    }

    /// The address of the list.
    pub(super) fn path(&self) -> String {
        let mut pairs = Vec::new();
        pairs.extend((!self.text.is_empty()).then(|| format!("q={}", encoded(&self.text))));
        pairs.extend(self.language.map(|it| format!("language={}", it.name())));
        pairs.extend(self.status.map(|it| format!("status={it}")));
        pairs.extend(self.tag.as_ref().map(|tag| format!("tag={}", encoded(tag))));
        pairs.extend(self.mine.then(|| "mine=yes".to_owned()));
        pairs.extend(self.sort.map(|it| format!("sort={}", it.name())));
        if pairs.is_empty() {
            "/scripts".to_owned()
        } else {
            format!("/scripts?{}", pairs.join("&"))
        }
    }

    pub(super) fn search(&self, caller: &Caller) -> Search {
        Search {
            text: self.text.clone(),
            language: self.language,
            status: self.status,
            tag: self.tag.clone(),
            owner: caller.actor.user.filter(|_| self.mine),
            sort: self.sort,
        }
    }

    /// What is asked for, each with the list that goes without it.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut part = |name, value: Option<String>, without| {
            parts.extend(value.map(|value| Part { name, value, without }));
        };
        let same = || self.clone();
        let text = (!self.text.is_empty()).then(|| self.text.clone());
        part("With", text, Self { text: String::new(), ..same() });
        let language = self.language.map(|it| pages::table::language(it).to_owned());
        part("Language", language, Self { language: None, ..same() });
        part("Status", self.status.map(|it| it.to_string()), Self { status: None, ..same() });
        part("Tag", self.tag.clone(), Self { tag: None, ..same() });
        part("Only", self.mine.then(|| "mine".to_owned()), Self { mine: false, ..same() });
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Asked, Problem> {
        let typed = query.iter().fold(Typed::default(), |it, (name, value)| it.with(name, *value));
        Asked::read(&typed)
    }

    #[test]
    fn filters_are_in_the_address() {
        let empty = [("q", " "), ("language", ""), ("status", ""), ("tag", ""), ("sort", "")];
        assert_eq!(read(&empty).unwrap(), Asked::default());
        assert_eq!(Asked::default().path(), "/scripts");
        let all = read(&[
            ("q", "rm -rf & more"),
            ("language", "python"),
            ("status", "draft"),
            ("tag", "a b"),
            ("mine", "yes"),
            ("sort", "name"),
        ]);
        let all = all.unwrap();
        assert_eq!(
            all.path(),
            "/scripts?q=rm%20-rf%20%26%20more&language=python&status=draft&tag=a%20b&mine=yes&sort=name"
        );
        assert_eq!(all.parts().len(), 5);
        assert!(all.parts().iter().all(|part| part.without != all));
        for (name, value) in [("language", "cobol"), ("status", "odd"), ("sort", "size")] {
            let problem = read(&[(name, value)]).unwrap_err();
            assert!(problem.to_string().contains(value), "{problem}");
        }
    }
}
