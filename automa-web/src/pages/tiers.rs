//! `/tiers`: how much users may use, and who has which tier.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    id::UserId,
    page::{Limit, PageRequest},
    tier::{Plan, Tier, TierSettings},
    user::{User, UserFilter},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::Frame,
    limits,
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "tiers.html")]
struct TiersPage {
    frame: Frame,
    tiers: Vec<(&'static str, Vec<Field>)>,
    default: Field,
    users: Vec<Member>,
    /// Whether there are more users than are shown.
    more: bool,
    problems: Vec<String>,
    saved: bool,
}

/// A user, and the tier that was given.
#[derive(Debug)]
struct Member {
    id: UserId,
    name: String,
    role: String,
    tier: Option<Tier>,
}

impl Member {
    /// The tiers that may be given, and whether each is.
    fn choices(&self) -> Vec<(&'static str, &'static str, bool)> {
        let tier = |tier: Tier| (tier.name(), tier.name(), self.tier == Some(tier));
        let none = ("", "the usual", self.tier.is_none());
        std::iter::once(none).chain(Tier::ALL.into_iter().map(tier)).collect()
    }
}

/// Names and labels of what a plan limits.
const FIELDS: [(&str, &str); 7] = [
    ("executions_per_day", "Executions a day"),
    ("api_calls_per_day", "API calls a day"),
    ("wall_ms", "Time of an execution"),
    ("memory_bytes", "Memory of an execution"),
    ("scripts", "Scripts"),
    ("api_keys", "API keys"),
    ("running", "Executions at the same time"),
];

fn id(tier: Tier, field: &str) -> String {
    format!("{}.{field}", tier.name())
}

/// What the form would say.
fn typed(settings: &TierSettings) -> Typed {
    let default = settings.default.map_or("", Tier::name);
    let mut typed = Typed::default().with("default_tier", default);
    for (tier, plan) in Tier::ALL.into_iter().zip(&settings.plans) {
        let number = |number: Option<u32>| number.map(|it| it.to_string());
        let texts = [
            number(plan.executions_per_day),
            number(plan.api_calls_per_day),
            plan.wall_ms.map(limits::written_time),
            plan.memory_bytes.map(limits::written),
            number(plan.scripts),
            number(plan.api_keys),
            number(plan.running),
        ];
        for ((field, _), text) in FIELDS.iter().zip(texts) {
            typed = typed.with(&id(tier, field), text.unwrap_or_default());
        }
    }
    typed
}

/// What was typed; what cannot be read is a problem of its field.
fn read(typed: &Typed, problems: &mut Problems) -> TierSettings {
    let mut plan = |tier: Tier| {
        let mut number = |field: &str| {
            let whole = |text: &str| text.parse().map_err(|_| "must be a whole number".to_owned());
            limits::field(typed, problems, &id(tier, field), whole)
        };
        let (executions_per_day, api_calls_per_day) =
            (number("executions_per_day"), number("api_calls_per_day"));
        let (scripts, api_keys, running) =
            (number("scripts"), number("api_keys"), number("running"));
        Plan {
            executions_per_day,
            api_calls_per_day,
            wall_ms: limits::field(typed, problems, &id(tier, "wall_ms"), limits::time),
            memory_bytes: limits::field(typed, problems, &id(tier, "memory_bytes"), limits::size),
            scripts,
            api_keys,
            running,
        }
    };
    let plans = Tier::ALL.map(&mut plan);
    TierSettings { plans, default: Tier::named(typed.get("default_tier")) }
}

impl TiersPage {
    fn new(
        frame: Frame,
        (users, more): (Vec<Member>, bool),
        (typed, mut problems): (&Typed, Problems),
    ) -> Self {
        let choices = std::iter::once("").chain(Tier::ALL.map(Tier::name)).map(ToOwned::to_owned);
        let default = Field::new(
            "default_tier",
            "The tier of who was given none",
            Kind::Select(choices.collect()),
        )
        .hint("Not set: they have no quotas. Admins have none but what they are given.")
        .filled(typed, &mut problems);
        let mut of = |tier: Tier| {
            let fields = FIELDS.iter().map(|(field, label)| {
                Field::line(id(tier, field), *label)
                    .placeholder("no limit")
                    .filled(typed, &mut problems)
            });
            (tier.name(), fields.collect())
        };
        let tiers = Tier::ALL.map(&mut of).into();
        let saved = frame.path.ends_with("?saved");
        Self { tiers, default, users, more, problems: problems.rest(), saved, frame }
    }
}

/// Shows the page.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    caller.actor.require(Permission::ManageUsers).map_err(Error::from)?;
    let typed = typed(&automa.tiers(&caller.actor).get()?);
    page(request, (&caller, automa), StatusCode::OK, (&typed, Problems::default())).await
}

async fn page(
    request: &Request,
    (caller, automa): (&Caller, &Automa),
    status: StatusCode,
    form: (&Typed, Problems),
) -> Result<Response, Problem> {
    let frame = Frame::new(request, "Tiers").user(&caller.user.username, caller.user.role);
    let limit = Limit::new(Limit::MAX.into()).unwrap_or_default();
    let page = automa
        .users(&caller.actor)
        .list(UserFilter::default(), PageRequest { cursor: None, limit })
        .await?;
    let tiers = automa.tiers(&caller.actor);
    let member = |user: User| {
        let tier = tiers.of_user(user.id)?;
        Ok::<_, Error>(Member {
            id: user.id,
            name: user.username,
            role: user.role.to_string(),
            tier,
        })
    };
    let more = page.next_cursor.is_some();
    let users = page.items.into_iter().map(member).collect::<Result<_, _>>()?;
    render_as(status, &TiersPage::new(frame, (users, more), form))
}

/// Says what tiers allow.
#[handler]
pub(super) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let mut problems = Problems::default();
    let settings = read(&typed, &mut problems);
    if problems.is_empty() {
        match automa.tiers(&caller.actor).set(settings).await {
            Ok(_) => return Ok(see_other("/tiers?saved")),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    page(request, (&caller, automa), status, (&typed, problems)).await
}

/// Gives a user a tier.
#[handler]
pub(super) async fn give(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let tier = super::named(typed.get("tier"), "tier", Tier::named)?;
    automa.tiers(&caller.actor).set_of_user(super::id(typed.get("user"))?, tier).await?;
    Ok(see_other("/tiers?saved"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::{frame::Place, samples};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |typed: &Typed, problems| {
            let frame = samples::frame("Tiers", Place::Overview);
            let user = |tier| Member {
                id: samples::caller().user.id,
                name: samples::HOSTILE.to_owned(),
                role: "operator".to_owned(),
                tier,
            };
            let users = vec![user(None), user(Some(Tier::Premium))];
            TiersPage::new(frame, (users, true), (typed, problems)).render().unwrap()
        };
        let usual = typed(&TierSettings::default());
        let wrong = Typed::default().with("free.scripts", samples::HOSTILE);
        let mut problems = Problems::default();
        read(&wrong, &mut problems);
        vec![("tiers", page(&usual, Problems::default())), ("tiers-wrong", page(&wrong, problems))]
    }

    #[test]
    fn tiers_are_typed_as_they_are_shown() {
        let settings = TierSettings { default: Some(Tier::Basic), ..TierSettings::default() };
        let mut problems = Problems::default();
        assert_eq!(read(&typed(&settings), &mut problems), settings);
        assert!(problems.is_empty());
        let nothing = read(&Typed::default(), &mut problems);
        assert_eq!((nothing.plans, nothing.default), ([Plan::UNLIMITED; 4], None));
        read(&Typed::default().with("free.wall_ms", "soon"), &mut problems);
        assert!(problems.take("free.wall_ms").is_some());
    }
}
