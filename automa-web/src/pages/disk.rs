//! `/disk`: what the data directory holds, and how long things are kept.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    disk::{DiskUse, ScriptUse},
    id::ScriptId,
    retention::{Rules, ScriptRules},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path},
};

use super::{
    form::{Field, Problems, Typed},
    frame::{Frame, Place},
    limits,
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "disk.html")]
struct DiskPage {
    frame: Frame,
    used: DiskUse,
    rules: Rules,
    /// The form to change them, for who may.
    fields: Option<[Field; 4]>,
    problems: Vec<String>,
    saved: bool,
}

/// Names of the fields, of which the first two are days.
const FIELDS: [(&str, &str); 3] = [
    ("history_days", "Executions, for days"),
    ("log_days", "Logs, for days"),
    ("log_bytes", "All logs together"),
];

/// The field of the audit log, whose entries are of no script.
const AUDIT: &str = "audit_days";

/// Fields that say how long things are kept.
pub(super) fn fields(typed: &Typed, problems: &mut Problems, unsaid: [&str; 3]) -> [Field; 3] {
    let field = |place: usize| Field::line(FIELDS[place].0, FIELDS[place].1);
    [0, 1, 2].map(|place| field(place).placeholder(unsaid[place]).filled(typed, problems))
}

/// What such fields would say.
pub(super) fn typed(
    history_days: Option<u32>,
    log_days: Option<u32>,
    log_bytes: Option<u64>,
) -> Typed {
    let texts = [
        history_days.map(|days| days.to_string()),
        log_days.map(|days| days.to_string()),
        log_bytes.map(limits::written),
    ];
    FIELDS.iter().zip(texts).fold(Typed::default(), |typed, ((name, _), text)| match text {
        Some(text) => typed.with(name, text),
        None => typed,
    })
}

fn days(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "must be a whole number".to_owned())
}

/// What was typed into the fields of all.
fn read_rules(typed: &Typed, problems: &mut Problems) -> Rules {
    let (history_days, log_days, log_bytes) = read(typed, problems);
    let audit_days = limits::field(typed, problems, AUDIT, days);
    Rules { history_days, log_days, log_bytes, audit_days }
}

/// What these fields would say.
fn typed_rules(rules: Rules) -> Typed {
    let Rules { history_days, log_days, log_bytes, audit_days } = rules;
    let typed = typed(history_days, log_days, log_bytes);
    match audit_days {
        Some(days) => typed.with(AUDIT, days.to_string()),
        None => typed,
    }
}

/// What was typed into such fields.
fn read(typed: &Typed, problems: &mut Problems) -> (Option<u32>, Option<u32>, Option<u64>) {
    (
        limits::field(typed, problems, FIELDS[0].0, days),
        limits::field(typed, problems, FIELDS[1].0, days),
        limits::field(typed, problems, FIELDS[2].0, limits::size),
    )
}

impl DiskPage {
    fn new(frame: Frame, used: DiskUse, rules: Rules, form: Option<(Typed, Problems)>) -> Self {
        let mut problems = Vec::new();
        let fields = form.map(|(typed, mut wrong)| {
            let [history, logs, bytes] =
                fields(&typed, &mut wrong, ["for ever", "as executions", "no limit"]);
            let audit = Field::line(AUDIT, "Audit log, for days").placeholder("for ever");
            let fields = [history, logs, bytes, audit.filled(&typed, &mut wrong)];
            problems = wrong.rest();
            fields
        });
        let saved = frame.path.ends_with("?saved");
        Self { frame, used, rules, fields, problems, saved }
    }

    /// In percent of the file system.
    fn full(&self) -> u64 {
        let taken = self.used.total_bytes.saturating_sub(self.used.free_bytes);
        (taken * 100).checked_div(self.used.total_bytes).unwrap_or(0)
    }

    /// In percent of what takes most.
    fn share(&self, script: &ScriptUse) -> u64 {
        let most = self.used.scripts.iter().map(|it| it.logs.bytes).max().unwrap_or(0);
        (script.logs.bytes * 100).checked_div(most).unwrap_or(0)
    }

    fn rule(days: Option<&u32>) -> String {
        match days {
            Some(1) => "1 day".to_owned(),
            Some(days) => format!("{days} days"),
            None => "no limit".to_owned(),
        }
    }
}

/// Shows the page.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let typed = typed_rules(automa.retention(&caller.actor).get()?);
    page(request, &caller, automa, StatusCode::OK, (typed, Problems::default())).await
}

async fn page(
    request: &Request,
    caller: &Caller,
    automa: &Automa,
    status: StatusCode,
    form: (Typed, Problems),
) -> Result<Response, Problem> {
    let frame = Frame::new(request, "Disk use").user(&caller.user.username, caller.user.role);
    let used = automa.disk(&caller.actor).used().await?;
    let rules = automa.retention(&caller.actor).get()?;
    let may = caller.actor.require(Permission::ManageSettings).is_ok();
    render_as(status, &DiskPage::new(frame, used, rules, may.then_some(form)))
}

/// Says how long things are kept.
#[handler]
pub(super) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let mut problems = Problems::default();
    let rules = read_rules(&typed, &mut problems);
    if problems.is_empty() {
        match automa.retention(&caller.actor).set(rules).await {
            Ok(_) => return Ok(see_other("/disk?saved")),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    page(request, &caller, automa, StatusCode::UNPROCESSABLE_ENTITY, (typed, problems)).await
}

/// What is said of one script alone.
#[derive(Debug, Template)]
#[template(path = "scripts/retention.html")]
struct ScriptPage {
    frame: Frame,
    id: ScriptId,
    name: String,
    fields: [Field; 3],
    problems: Vec<String>,
}

impl ScriptPage {
    fn new(frame: Frame, (id, name): (ScriptId, String), form: (Typed, Problems)) -> Self {
        let (typed, mut problems) = form;
        let unsaid = "as for all scripts";
        let fields = fields(&typed, &mut problems, [unsaid; 3]);
        Self { frame, id, name, fields, problems: problems.rest() }
    }
}

/// Shows the form of one script.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn show_of_script(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.actor.require(Permission::WriteScripts).map_err(Error::from)?;
    let id: ScriptId = super::id(&id)?;
    let rules = automa.retention(&caller.actor).of_script(id)?;
    let typed = typed(rules.history_days, rules.log_days, rules.log_bytes);
    page_of_script(request, &caller, automa, (StatusCode::OK, id), (typed, Problems::default()))
}

fn page_of_script(
    request: &Request,
    caller: &Caller,
    automa: &Automa,
    (status, id): (StatusCode, ScriptId),
    form: (Typed, Problems),
) -> Result<Response, Problem> {
    let name = automa.scripts(&caller.actor).get(id)?.name;
    let frame = super::frame(request, caller, "Retention", Place::Scripts);
    render_as(status, &ScriptPage::new(frame, (id, name), form))
}

/// Says how long things of one script are kept.
#[handler]
pub(super) async fn save_of_script(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: ScriptId = super::id(&id)?;
    let mut problems = Problems::default();
    let (history_days, log_days, log_bytes) = read(&typed, &mut problems);
    if problems.is_empty() {
        let rules = ScriptRules { history_days, log_days, log_bytes };
        match automa.retention(&caller.actor).set_of_script(id, rules).await {
            Ok(_) => return Ok(see_other(&format!("/scripts/{id}"))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    page_of_script(request, &caller, automa, (status, id), (typed, problems))
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::disk::LogUse;

    use super::*;
    use crate::pages::samples;

    fn used() -> DiskUse {
        let script = |name: Option<&str>, bytes| ScriptUse {
            script: name.map(|_| samples::script_id()),
            name: name.map(str::to_owned),
            logs: LogUse { files: 12_000, bytes },
        };
        DiskUse {
            store_bytes: 512 << 20,
            logs: LogUse { files: 36_000, bytes: 7 << 30 },
            free_bytes: 20 << 30,
            total_bytes: 64 << 30,
            scripts: vec![
                script(Some(samples::HOSTILE), 5 << 30),
                script(Some("nightly-backup"), 1 << 30),
                script(None, 1 << 20),
            ],
        }
    }

    fn page(used: DiskUse, form: Option<(Typed, Problems)>) -> DiskPage {
        let frame = samples::frame("Disk use", Place::Overview);
        DiskPage::new(frame, used, Rules::default(), form)
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let typed = Typed::default().with("log_days", samples::HOSTILE).with("log_bytes", "1");
        let mut problems = Problems::default();
        read(&typed, &mut problems);
        problems.add("log_bytes", &"must be at least 1 MiB");
        let nothing = DiskUse { scripts: Vec::new(), ..used() };
        vec![
            (
                "disk",
                page(used(), Some((typed_rules(Rules::default()), Problems::default())))
                    .render()
                    .unwrap(),
            ),
            ("disk-wrong", page(used(), Some((typed, problems))).render().unwrap()),
            (
                "script-retention",
                ScriptPage::new(
                    samples::frame("Retention", Place::Scripts),
                    (samples::script_id(), samples::HOSTILE.to_owned()),
                    (typed_rules(Rules::default()), Problems::default()),
                )
                .render()
                .unwrap(),
            ),
            ("disk-viewer", page(nothing, None).render().unwrap()),
        ]
    }

    #[test]
    fn rules_are_typed_as_they_are_shown() {
        let mut problems = Problems::default();
        for rules in [Rules::default(), Rules { audit_days: Some(365), ..Rules::default() }] {
            assert_eq!(read_rules(&typed_rules(rules), &mut problems), rules);
        }
        assert!(problems.is_empty());
        assert_eq!(read(&Typed::default(), &mut problems), (None, None, None));
        read(&Typed::default().with("log_days", "many"), &mut problems);
        assert_eq!(problems.take("log_days").unwrap(), "Must be a whole number.");
    }

    #[test]
    fn shares_are_of_what_takes_most() {
        let page = page(used(), None);
        assert_eq!(page.full(), 68);
        let shares: Vec<_> = page.used.scripts.iter().map(|it| page.share(it)).collect();
        assert_eq!(shares, [100, 20, 0]);
        let none = DiskUse { total_bytes: 0, scripts: Vec::new(), ..used() };
        assert_eq!(self::page(none, None).full(), 0);
    }
}
