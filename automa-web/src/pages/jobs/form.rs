//! The form in which a job is written and changed, and what it would do, told as one types.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    id::{JobId, ScriptId},
    job::{Job, NewJob, Trigger, trigger::zones},
    page::{Limit, PageRequest},
    script::{Script, Search, Sort, Status, Version},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path, Query},
};

use super::{
    moment::Moment,
    when::{self, WhenFields},
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as},
    pages::{
        self,
        form::{Field, Problems, Typed},
        frame::{Frame, Place},
        limits::{self, LimitsFields},
        network::{self, NetworkField},
        parameters::{self, Asked},
        text::sentence,
    },
    problem::Problem,
};

/// How many runs are told before a job is saved.
const NEXT: usize = 5;

/// The first step to a new job: which script.
#[derive(Debug, Template)]
#[template(path = "jobs/pick.html")]
struct PickPage {
    frame: Frame,
    scripts: Vec<(ScriptId, String)>,
}

#[derive(Debug, Template)]
#[template(path = "jobs/form.html")]
struct FormPage {
    frame: Frame,
    /// The job that is changed; none while one is written.
    edited: Option<Edited>,
    /// Somebody else saved meanwhile: what was typed would go on top of it.
    conflict: bool,
    script: (ScriptId, String),
    name: Field,
    version: Field,
    parameters: Vec<Field>,
    network: NetworkField,
    limits: LimitsFields,
    when: WhenFields,
    paused: bool,
    zones: Vec<String>,
    preview: Preview,
    problems: Vec<String>,
}

#[derive(Debug, Clone)]
struct Edited {
    id: JobId,
    name: String,
    read: u32,
}

/// What the job would do; replaced as one types.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "jobs/preview.html")]
struct Preview {
    words: String,
    next: Vec<Moment>,
    notes: Vec<String>,
    /// Why nothing can be told.
    wrong: Vec<String>,
}

/// The template escapes for itself.
impl askama::filters::HtmlSafe for Preview {}

impl Preview {
    fn of(typed: &Typed, automa: &Automa, caller: &Caller, frame: &Frame) -> Result<Self, Problem> {
        let mut problems = Problems::default();
        let (trigger, rules) = when::trigger(typed, frame.now, &mut problems);
        if problems.is_empty() {
            match automa.jobs(&caller.actor).preview(&trigger, &rules, NEXT) {
                Ok(told) => {
                    let zone = match &trigger {
                        Trigger::Cron { zone, .. } => zone,
                        _ => typed.line("trigger.zone"),
                    };
                    let next = told.next.iter().map(|at| Moment::new(*at, zone, frame.now));
                    let words = sentence(&told.description);
                    let next = next.collect();
                    return Ok(Self { words, next, notes: told.notes, wrong: Vec::new() });
                }
                Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { wrong: problems.reasons(), ..Self::default() })
    }
}

/// What a form is about: a script in the version that counts, and the job, if there is one.
struct Subject {
    script: Script,
    version: Version,
    edited: Option<Edited>,
}

impl Subject {
    async fn of_script(
        automa: &Automa,
        caller: &Caller,
        id: ScriptId,
        version: Option<u32>,
    ) -> Result<Self, Problem> {
        let scripts = automa.scripts(&caller.actor);
        let script = scripts.get(id)?;
        let version = match scripts.version(id, version.unwrap_or(script.version)).await {
            // What was typed is told to be wrong when it is saved.
            Err(Error::NotFound { .. }) => scripts.version(id, script.version).await?,
            found => found?,
        };
        Ok(Self { script, version, edited: None })
    }

    fn asked(&self) -> Asked {
        Asked::of(self.version.parameters_schema.as_deref())
    }

    fn page(
        self,
        frame: Frame,
        typed: &Typed,
        mut problems: Problems,
        preview: Preview,
    ) -> FormPage {
        let all = &mut problems;
        // A field of all of them was shown where single ones could not show them.
        let asked = if typed.has(parameters::JSON) { Asked::Json } else { self.asked() };
        FormPage {
            frame,
            edited: self.edited,
            conflict: false,
            name: Field::line("name", "Name")
                .attributes("required maxlength=\"200\"")
                .filled(typed, all),
            version: Field::line("version", "Version")
                .placeholder(format!("the newest, now {}", self.script.version))
                .hint("A number pins it: that version never changes by itself.")
                .attributes("inputmode=\"numeric\" autocomplete=\"off\"")
                .filled(typed, all),
            parameters: asked.fields(typed, all),
            network: NetworkField::new(typed, all),
            limits: LimitsFields::new(typed, all, &self.version.limits),
            script: (self.script.id, self.script.name),
            when: WhenFields::new(typed, all),
            paused: typed.has("paused"),
            zones: zones(),
            preview,
            problems: problems.rest(),
        }
    }

    /// The job that a form describes; what it says nothing of stays as it is in `base`.
    fn read(&self, base: NewJob, typed: &Typed, frame: &Frame, problems: &mut Problems) -> NewJob {
        let asked = if typed.has(parameters::JSON) { Asked::Json } else { self.asked() };
        let number = |text: &str| text.parse().map_err(|_| "must be a whole number".to_owned());
        let new = NewJob {
            name: typed.line("name").to_owned(),
            version: limits::field(typed, problems, "version", number),
            parameters: asked.read(typed, problems).unwrap_or_default(),
            limits: limits::read(typed, problems),
            network: network::read(typed, problems),
            paused: typed.has("paused"),
            ..base
        };
        when::read(new, typed, frame.now, problems)
    }
}

fn typed_version(typed: &Typed) -> Option<u32> {
    typed.line("version").parse().ok()
}

/// What would have to be typed to write the same job.
fn typed(job: &Job, asked: &Asked) -> Typed {
    let typed = Typed::default().with("name", job.name.clone());
    let typed = match job.version {
        Some(version) => typed.with("version", version.to_string()),
        None => typed,
    };
    let typed = asked.typed(typed, &job.parameters);
    let typed = network::typed(limits::typed(typed, &job.limits), &job.network);
    let typed = if job.paused { typed.with("paused", "yes") } else { typed };
    when::typed(typed, job)
}

/// Shows the form for a new job, once it is said of which script.
#[handler]
pub(in crate::pages) async fn blank(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let frame = pages::frame(request, &caller, "New job", Place::Jobs);
    let script = pages::named(query.get("script"), "script", |it| it.parse().ok())?;
    let Some(script) = script else {
        let search =
            Search { status: Some(Status::Active), sort: Some(Sort::Name), ..Search::default() };
        let limit = Limit::new(Limit::MAX.into()).unwrap_or_default();
        let page = PageRequest { cursor: None, limit };
        let found = automa.scripts(&caller.actor).search(search, page).await?.items;
        let scripts = found.into_iter().map(|it| (it.script.id, it.script.name)).collect();
        return render(&PickPage { frame, scripts });
    };
    let subject = Subject::of_script(automa, &caller, script, None).await?;
    let typed = Typed::default()
        .with("name", subject.script.name.clone())
        .with("trigger", "cron")
        .with("trigger.pattern", "0 3 * * *")
        .with("misfire", "run_once")
        .with("overlap", "skip");
    let preview = Preview::of(&typed, automa, &caller, &frame)?;
    render(&subject.page(frame, &typed, Problems::default(), preview))
}

/// Creates a job, or only shows what it would do.
#[handler]
pub(in crate::pages) async fn create(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let script = pages::id(typed.get("script"))?;
    let subject = Subject::of_script(automa, &caller, script, typed_version(&typed)).await?;
    let frame = pages::frame(request, &caller, "New job", Place::Jobs);
    let mut problems = Problems::default();
    let base = NewJob::new("", script, Trigger::Webhook);
    let new = subject.read(base, &typed, &frame, &mut problems);
    let is_final = typed.get("do") != "preview";
    if is_final && problems.is_empty() {
        match automa.jobs(&caller.actor).create(new).await {
            Ok(saved) => return super::job::show_saved(request, &caller, automa, saved).await,
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let preview = Preview::of(&typed, automa, &caller, &frame)?;
    let status = if is_final { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    render_as(status, &subject.page(frame, &typed, problems, preview))
}

/// Tells what the job of a form would do.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn tell(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let frame = pages::frame(request, &caller, "", Place::Jobs);
    render(&Preview::of(&typed, automa, &caller, &frame)?)
}

/// Shows the form with what a job is now.
#[handler]
pub(in crate::pages) async fn edit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let job = automa.jobs(&caller.actor).get(pages::id(&id)?)?.job;
    let edited = Edited { id: job.id, name: job.name.clone(), read: job.revision };
    let subject = Subject::of_script(automa, &caller, job.script, job.version).await?;
    let typed = typed(&job, &subject.asked().for_all(&job.parameters));
    let frame = pages::frame(request, &caller, format!("Edit {}", job.name), Place::Jobs);
    let preview = Preview::of(&typed, automa, &caller, &frame)?;
    let subject = Subject { edited: Some(edited), ..subject };
    render(&subject.page(frame, &typed, Problems::default(), preview))
}

/// Saves a job, unless somebody else did meanwhile; or only shows what it would do.
#[handler]
pub(in crate::pages) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let jobs = automa.jobs(&caller.actor);
    let job = jobs.get(pages::id(&id)?)?.job;
    let read = typed.get("read").parse().unwrap_or(0);
    let mut edited = Edited { id: job.id, name: job.name.clone(), read };
    let subject = Subject::of_script(automa, &caller, job.script, typed_version(&typed)).await?;
    let frame = pages::frame(request, &caller, format!("Edit {}", job.name), Place::Jobs);
    let mut problems = Problems::default();
    let new = subject.read(NewJob::of(job.clone()), &typed, &frame, &mut problems);
    let is_final = typed.get("do") != "preview";
    let mut conflict = false;
    if is_final && problems.is_empty() {
        match jobs.update(job.id, read, new).await {
            Ok(saved) => return super::job::show_saved(request, &caller, automa, saved).await,
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(Error::Conflict { current, .. }) => (conflict, edited.read) = (true, current),
            Err(error) => return Err(error.into()),
        }
    }
    let preview = Preview::of(&typed, automa, &caller, &frame)?;
    let subject = Subject { edited: Some(edited), ..subject };
    let page = FormPage { conflict, ..subject.page(frame, &typed, problems, preview) };
    let status = match (is_final, conflict) {
        (true, true) => StatusCode::CONFLICT,
        (true, false) => StatusCode::UNPROCESSABLE_ENTITY,
        (false, _) => StatusCode::OK,
    };
    render_as(status, &page)
}

/// Nobody fills in a form that would be refused.
fn may_write(caller: &Caller) -> Result<(), Problem> {
    let allowed = caller.actor.require(Permission::WriteJobs);
    allowed.map_err(|forbidden| Error::from(forbidden).into())
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use super::{
        super::tests::{at, cron, job},
        *,
    };
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |edited, typed: &Typed, problems, preview, conflict| {
            let subject =
                Subject { script: samples::script(), version: samples::version(), edited };
            let frame = samples::frame("Edit", Place::Jobs);
            let page = subject.page(frame, typed, problems, preview);
            FormPage { conflict, ..page }.render().unwrap()
        };
        let job = job(cron());
        let edited = || Some(Edited { id: job.id, name: samples::HOSTILE.to_owned(), read: 3 });
        let asked = Asked::of(samples::version().parameters_schema.as_deref());
        let whole = typed(&job, &asked);
        let told = Preview {
            words: "At 02:30 every day (Europe/Berlin).".to_owned(),
            next: vec![Moment::new(at("2026-11-22T01:30:00Z"), "Europe/Berlin", samples::now())],
            notes: vec![samples::HOSTILE.to_owned()],
            wrong: vec![],
        };
        let mut problems = Problems::default();
        let fields = [
            "name",
            "version",
            "trigger",
            "trigger.pattern",
            "trigger.zone",
            "trigger.every_ms",
            "trigger.at",
            "misfire.most",
            "overlap",
            "rules.jitter_ms",
            "rules.blackouts/0/zone",
            "elsewhere",
        ];
        for field in fields {
            problems.add(field, &"cannot be read");
        }
        let wrong = Preview { wrong: vec![samples::HOSTILE.to_owned()], ..Preview::default() };
        let new = Typed::default().with("trigger", "webhook").with("signed", "yes");
        let scripts = vec![(samples::script_id(), samples::HOSTILE.to_owned())];
        let pick = |scripts| {
            let frame = samples::frame("New job", Place::Jobs);
            PickPage { frame, scripts }.render().unwrap()
        };
        vec![
            ("job-pick", pick(scripts)),
            ("job-pick-none", pick(vec![])),
            ("job-new", page(None, &new, Problems::default(), Preview::default(), false)),
            ("job-edit", page(edited(), &whole, Problems::default(), told, false)),
            ("job-refused", page(edited(), &whole, problems, wrong.clone(), false)),
            ("job-conflict", page(edited(), &whole, Problems::default(), wrong, true)),
        ]
    }

    #[test]
    fn a_form_that_is_filled_from_a_job_describes_it() {
        let subject =
            Subject { script: samples::script(), version: samples::version(), edited: None };
        let job = job(cron());
        let typed = typed(&job, &subject.asked());
        let mut problems = Problems::default();
        let frame = samples::frame("", Place::Jobs);
        let base = NewJob::new("", job.script, Trigger::Webhook);
        let new = subject.read(base, &typed, &frame, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let same = NewJob { name: job.name.trim().to_owned(), ..NewJob::of(job) };
        assert_eq!(new, same);
    }
}
