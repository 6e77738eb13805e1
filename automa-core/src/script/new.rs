//! What is asked for when a script is written or changed.

use jiff::Timestamp;

use super::{Content, Language, Problem, SOURCE_MAX, Schema, Status, Version, Visibility};
use crate::{
    Error, Result, blocking,
    error::FieldError,
    execution::{DispatchRules, LimitsRequest},
    id::ScriptId,
};

/// Most characters of what is said about a version.
const MESSAGE_MAX: usize = 500;

/// A script to be created or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScript {
    /// See [`Script::name`](super::Script::name).
    pub name: String,
    /// See [`Script::description`](super::Script::description).
    pub description: String,
    /// See [`Script::tags`](super::Script::tags).
    pub tags: Vec<String>,
    /// See [`Script::status`](super::Script::status). `None` leaves it as it is; a new script is
    /// active.
    pub status: Option<Status>,
    /// See [`Script::visibility`](super::Script::visibility). `None` leaves it as it is; a new script
    /// is public.
    pub visibility: Option<Visibility>,
    /// See [`Version::language`].
    pub language: Language,
    /// See [`Version::source`].
    pub source: String,
    /// See [`Version::parameters_schema`]. It has `"type": "object"` and refers to nothing outside
    /// of itself; patterns in it have no look-around and no back references.
    pub parameters_schema: Option<String>,
    /// See [`Version::limits`].
    pub limits: LimitsRequest,
    /// See [`Version::dispatch`].
    pub dispatch: DispatchRules,
    /// See [`Version::message`].
    pub message: String,
    /// Makes it active although its language cannot read it. Without, a new one of which no status is
    /// told becomes a draft, and everything else is refused.
    pub force: bool,
}

impl NewScript {
    /// A script with nothing but a name and a source.
    pub fn new(name: impl Into<String>, language: Language, source: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            tags: Vec::new(),
            status: None,
            visibility: None,
            language,
            source: source.into(),
            parameters_schema: None,
            limits: LimitsRequest::default(),
            dispatch: DispatchRules::default(),
            message: String::new(),
            force: false,
        }
    }

    /// What it is good for from now on, after what it was.
    pub(super) fn status_after(&self, old: Option<Status>, problems: &[Problem]) -> Result<Status> {
        let is_broken = !problems.is_empty() && !self.force;
        match self.status.or(old) {
            None if is_broken => Ok(Status::Draft),
            Some(Status::Active) if is_broken => {
                check_active(problems)?;
                Ok(Status::Active)
            }
            status => Ok(status.unwrap_or(Status::Active)),
        }
    }

    /// The same, found right. A schema is compiled for it, which may take a while.
    pub(super) async fn checked(self) -> Result<Self> {
        blocking::run(move || self.check().map(|()| self)).await
    }

    fn check(&self) -> Result<()> {
        let mut errors = Vec::new();
        let mut check = |field, holds: bool, reason| {
            if !holds {
                errors.push(FieldError::new(field, reason));
            }
        };
        check("name", is_line(&self.name, 200), "must be one line of 1 to 200 characters");
        let described = self.description.chars().count() <= 4000;
        check("description", described, "must have at most 4000 characters");
        let tagged = self.tags.len() <= 20 && self.tags.iter().all(|tag| is_line(tag, 50));
        check("tags", tagged, "must be at most 20, each one line of 1 to 50 characters");
        check("source", self.source.len() <= SOURCE_MAX, "must have at most 1 MiB");
        let said = self.message.chars().count() <= MESSAGE_MAX;
        check("message", said, "must have at most 500 characters");
        errors.extend(self.parameters_schema.as_deref().and_then(|json| Schema::parse(json).err()));
        self.limits.check(&mut errors);
        self.dispatch.check(&mut errors);
        FieldError::none_of(errors)
    }

    /// What is in it of a version, as one.
    pub(super) fn version(
        self,
        id: ScriptId,
        number: u32,
        author: String,
        created_at: Timestamp,
    ) -> Version {
        let Self { language, source, parameters_schema, limits, dispatch, message, .. } = self;
        let mut version = Version {
            script: id,
            number,
            language,
            source,
            parameters_schema,
            limits,
            author,
            created_at,
            dispatch,
            message,
            content: Content::default(),
        };
        version.content = Content::of(&version);
        version
    }

    /// Whether it says of a version what that is already.
    pub(super) fn is_as(&self, version: &Version) -> bool {
        (self.language, &self.source, &self.parameters_schema, self.limits, &self.dispatch)
            == (
                version.language,
                &version.source,
                &version.parameters_schema,
                version.limits,
                &version.dispatch,
            )
    }
}

/// Refuses to make active what its language cannot read.
pub(super) fn check_active(problems: &[Problem]) -> Result<()> {
    let Some(Problem { line, message, .. }) = problems.first() else { return Ok(()) };
    let reason = format!("cannot be read: line {line}: {message}; mend it, or make it a draft");
    Err(Error::Invalid(vec![FieldError::new("source", reason)]))
}

/// Text that shows as one line, of 1 to `most` characters.
pub(crate) fn is_line(text: &str, most: usize) -> bool {
    let visible = !text.trim().is_empty() && !text.chars().any(char::is_control);
    visible && text.chars().count() <= most
}
