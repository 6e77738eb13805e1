//! What stands around every page: its title, the way to the others, the theme, who is signed in.

use automa_core::{
    Automa,
    actor::Role,
    clock::{Clock as _, SystemClock},
    quota::{Left, Quotas},
    user::Theme,
};
use jiff::Timestamp;
use poem::Request;

use super::{text::bare, theme};
use crate::{auth::Caller, problem::Problem};

/// The frame of one page.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// What the browser's tab says.
    pub(crate) title: String,
    /// Which of the main pages it belongs to.
    pub(crate) place: Option<Place>,
    /// Who is signed in.
    pub(crate) user: Option<Member>,
    pub(crate) theme: Theme,
    /// The page's own address.
    pub(crate) path: String,
    /// The time that "ago" is told from.
    pub(crate) now: Timestamp,
    /// What is left of quotas to whom a tier gives some, on pages where these are spent.
    pub(crate) quotas: Option<Quotas>,
    /// Whether a page that stands alone needs the room of two columns.
    pub(crate) broad: bool,
}

/// Who is signed in, as the frame shows them.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) role: Role,
}

impl Member {
    /// Whether pages of admins are shown.
    pub(crate) fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

impl Frame {
    /// The frame of the page that was asked for.
    pub(crate) fn new(request: &Request, title: impl Into<String>) -> Self {
        let path = request.original_uri().path_and_query().map_or("/", |it| it.as_str());
        Self {
            title: bare(&title.into()),
            place: None,
            user: None,
            theme: theme::of(request),
            path: path.to_owned(),
            now: SystemClock::new().now(),
            quotas: None,
            broad: false,
        }
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub(crate) fn user(mut self, name: &str, role: Role) -> Self {
        self.user = Some(Member { name: name.to_owned(), role });
        self
    }

    /// The same with what is left of the caller's quotas.
    pub(crate) async fn spending(
        mut self,
        automa: &Automa,
        caller: &Caller,
    ) -> Result<Self, Problem> {
        self.quotas = automa.quotas(&caller.actor).limited().await?;
        Ok(self)
    }

    pub(crate) fn broad(mut self) -> Self {
        self.broad = true;
        self
    }

    /// What is left, one short text for each quota that there is.
    pub(super) fn left(&self) -> Vec<String> {
        let Some(quotas) = &self.quotas else { return Vec::new() };
        let text = |(left, what): (Left, &str)| {
            let of = left.limit?;
            Some(format!("{} of {of} {what}", left.left()?))
        };
        let all = [
            (quotas.executions, "executions today"),
            (quotas.api_calls, "API calls today"),
            (quotas.scripts, "scripts"),
            (quotas.api_keys, "API keys"),
        ];
        all.into_iter().filter_map(text).collect()
    }

    /// The way to the main pages.
    pub(super) fn places(&self) -> Vec<Link> {
        // Viewers have no credentials.
        let may = |role| role > Role::Viewer;
        let has_credentials = self.user.as_ref().is_some_and(|user| may(user.role));
        let shown =
            Place::ALL.into_iter().filter(|it| *it != Place::Credentials || has_credentials);
        shown.map(|place| self.link(place)).collect()
    }

    /// The way to those that are used most.
    pub(super) fn shortcuts(&self) -> Vec<Link> {
        Place::DOCK.map(|place| self.link(place)).into()
    }

    /// Themes to choose from.
    pub(super) fn themes(&self) -> Vec<theme::Choice> {
        theme::choices(self.theme)
    }

    fn link(&self, place: Place) -> Link {
        Link {
            name: place.name(),
            path: place.path().to_owned(),
            icon: place.icon(),
            current: self.place == Some(place),
        }
    }
}

/// A way to somewhere, one of several.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) name: &'static str,
    pub(crate) path: String,
    /// A name in the sprite; empty for none.
    pub(crate) icon: &'static str,
    /// Whether it leads to where one is.
    pub(crate) current: bool,
}

/// The main pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Scripts,
    Executions,
    Jobs,
    Agents,
    Credentials,
    Code,
}

impl Place {
    const ALL: [Self; 7] = [
        Self::Overview,
        Self::Scripts,
        Self::Executions,
        Self::Jobs,
        Self::Agents,
        Self::Credentials,
        Self::Code,
    ];
    /// Those in the dock of phones, which has room for no more.
    const DOCK: [Self; 4] = [Self::Overview, Self::Scripts, Self::Executions, Self::Jobs];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Scripts => "Scripts",
            Self::Executions => "Executions",
            Self::Jobs => "Jobs",
            Self::Agents => "Agents",
            Self::Credentials => "Credentials",
            Self::Code => "Run code",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Scripts => "/scripts",
            Self::Executions => "/executions",
            Self::Jobs => "/jobs",
            Self::Agents => "/agents",
            Self::Credentials => "/credentials",
            Self::Code => "/run",
        }
    }

    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Overview => "home",
            Self::Scripts => "script",
            Self::Executions => "runs",
            Self::Jobs => "clock",
            Self::Agents => "agent",
            Self::Credentials => "key",
            Self::Code => "term",
        }
    }
}
