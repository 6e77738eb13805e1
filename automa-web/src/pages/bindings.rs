//! `/scripts/{id}/credentials` and `/jobs/{id}/credentials`: which credentials a script or a job is
//! given, and a form to give it one more.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    credential::{self, BindingNow, CredentialNow, Delivery, Holder, NewBinding},
    page::{Limit, PageRequest},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::{Frame, Place},
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    problem::Problem,
};

/// Most credentials that the form lets one choose from.
const CHOICES: u64 = 200;

#[derive(Debug, Template)]
#[template(path = "credentials/bindings.html")]
struct BindingsPage {
    frame: Frame,
    /// The section it belongs to, and its path.
    section: (&'static str, &'static str),
    name: String,
    /// Where what holds them is.
    path: String,
    bindings: Vec<BindingNow>,
    may_change: bool,
    choices: Vec<CredentialNow>,
    /// The credential that was chosen, and what is wrong with that.
    chosen: String,
    wrong: Option<String>,
    variable: Field,
    delivery: Field,
    problems: Vec<String>,
}

impl BindingsPage {
    /// What a variable of a binding holds.
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn holds(&self, binding: &BindingNow) -> &'static str {
        match binding.binding.delivery {
            Delivery::Env => "the value",
            Delivery::File => "the path of a file",
            Delivery::Fd => "the number of a descriptor",
        }
    }
}

/// What the credentials are given to.
struct Held {
    holder: Holder,
    name: String,
    place: Place,
}

impl Held {
    fn script(automa: &Automa, caller: &Caller, id: &str) -> Result<Self, Problem> {
        let script = automa.scripts(&caller.actor).get(super::id(id)?)?;
        Ok(Self { holder: Holder::Script(script.id), name: script.name, place: Place::Scripts })
    }

    fn job(automa: &Automa, caller: &Caller, id: &str) -> Result<Self, Problem> {
        let job = automa.jobs(&caller.actor).get(super::id(id)?)?.job;
        Ok(Self { holder: Holder::Job(job.id), name: job.name, place: Place::Jobs })
    }

    fn path(&self) -> String {
        match self.holder {
            Holder::Script(id) => format!("/scripts/{id}"),
            Holder::Job(id) => format!("/jobs/{id}"),
        }
    }

    /// Draws the page, with what was typed and what is wrong with it.
    async fn page(
        &self,
        request: &Request,
        caller: &Caller,
        automa: &Automa,
        (typed, problems): (&Typed, Problems),
    ) -> Result<BindingsPage, Problem> {
        let credentials = automa.credentials(&caller.actor);
        let bindings = credentials.bindings(self.holder)?;
        let may = |permission| caller.actor.require(permission).is_ok();
        let may_change = may(Permission::ReadCredentials)
            && may(match self.holder {
                Holder::Script(_) => Permission::WriteScripts,
                Holder::Job(_) => Permission::WriteJobs,
            });
        let choices = if may_change {
            let limit = Limit::new(CHOICES).unwrap_or_default();
            let list = PageRequest { cursor: None, limit };
            credentials.list(credential::Filter::default(), list).await?.items
        } else {
            Vec::new()
        };
        let frame =
            super::frame(request, caller, format!("Credentials of {}", self.name), self.place);
        Ok(self.draw(frame, bindings, (may_change, choices), typed, problems))
    }

    fn draw(
        &self,
        frame: Frame,
        bindings: Vec<BindingNow>,
        (may_change, choices): (bool, Vec<CredentialNow>),
        typed: &Typed,
        mut problems: Problems,
    ) -> BindingsPage {
        let ways = [("env", "As a variable"), ("file", "As a file"), ("fd", "As a descriptor")];
        let ways = ways.map(|(name, title)| (name.to_owned(), title.to_owned()));
        let delivery = Field::new("delivery", "How", Kind::Choice(ways.into())).hint(
            "What a script starts inherits variables. A file or a descriptor only the script itself has: \
             the variable then has its path or number.",
        );
        let variable = Field::line("variable_name", "Variable")
            .placeholder("API_TOKEN")
            .attributes("required maxlength=\"64\" autocomplete=\"off\" spellcheck=\"false\"")
            .hint("Each field of a credential has one of its own as well, such as API_TOKEN_USERNAME.");
        BindingsPage {
            section: match self.holder {
                Holder::Script(_) => ("Scripts", "/scripts"),
                Holder::Job(_) => ("Jobs", "/jobs"),
            },
            name: self.name.clone(),
            path: self.path(),
            bindings,
            may_change,
            choices,
            chosen: typed.get("credential_id").to_owned(),
            wrong: problems.take("credential_id"),
            variable: variable.filled(typed, &mut problems),
            delivery: match typed.get("delivery") {
                "" => delivery.value("env"),
                _ => delivery.filled(typed, &mut problems),
            },
            problems: problems.rest(),
            frame,
        }
    }

    async fn show(
        &self,
        request: &Request,
        caller: &Caller,
        automa: &Automa,
    ) -> Result<Response, Problem> {
        let nothing = (&Typed::default(), Problems::default());
        render(&self.page(request, caller, automa, nothing).await?)
    }

    async fn bind(
        &self,
        request: &Request,
        caller: &Caller,
        automa: &Automa,
        typed: &Typed,
    ) -> Result<Response, Problem> {
        let mut problems = Problems::default();
        let credential = typed.get("credential_id").parse();
        let delivery = typed.get("delivery").parse();
        match (credential, delivery) {
            (Ok(credential), Ok(delivery)) => {
                let variable = typed.line("variable_name").to_owned();
                let new = NewBinding { credential, variable, delivery };
                match automa.credentials(&caller.actor).bind(self.holder, new).await {
                    Ok(_) => return Ok(see_other(&format!("{}/credentials", self.path()))),
                    Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
                    Err(error) => return Err(error.into()),
                }
            }
            (Err(_), _) => problems.add("credential_id", &"has to be chosen"),
            (_, Err(error)) => problems.add("delivery", &error),
        }
        let page = self.page(request, caller, automa, (typed, problems)).await?;
        render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
    }

    async fn unbind(
        &self,
        caller: &Caller,
        automa: &Automa,
        binding: &str,
    ) -> Result<Response, Problem> {
        automa.credentials(&caller.actor).unbind(self.holder, super::id(binding)?).await?;
        Ok(see_other(&format!("{}/credentials", self.path())))
    }
}

/// Shows a script's.
#[handler]
pub(super) async fn of_script(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Held::script(automa, &caller, &id)?.show(request, &caller, automa).await
}

/// Shows a job's.
#[handler]
pub(super) async fn of_job(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Held::job(automa, &caller, &id)?.show(request, &caller, automa).await
}

/// Gives a script one.
#[handler]
pub(super) async fn to_script(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    Held::script(automa, &caller, &id)?.bind(request, &caller, automa, &typed).await
}

/// Gives a job one.
#[handler]
pub(super) async fn to_job(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    Held::job(automa, &caller, &id)?.bind(request, &caller, automa, &typed).await
}

/// Takes one from a script.
#[handler]
pub(super) async fn unbind_from_script(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path((id, binding)): Path<(String, String)>,
) -> Result<Response, Problem> {
    Held::script(automa, &caller, &id)?.unbind(&caller, automa, &binding).await
}

/// Takes one from a job.
#[handler]
pub(super) async fn unbind_from_job(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path((id, binding)): Path<(String, String)>,
) -> Result<Response, Problem> {
    Held::job(automa, &caller, &id)?.unbind(&caller, automa, &binding).await
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::{
        credential::{Binding, Credential, Kind as Type, Usage},
        execution::GivenCredential,
        id::CredentialId,
    };

    use super::*;
    use crate::pages::samples;

    fn credential() -> CredentialId {
        "018f0000-0000-7000-8000-000000000001".parse().unwrap()
    }

    /// What an execution was given.
    pub(in crate::pages) fn given() -> Vec<GivenCredential> {
        let of = |name: &str, variable: &str, delivery| GivenCredential {
            credential: credential(),
            name: name.to_owned(),
            version: 2,
            variable: variable.to_owned(),
            delivery,
        };
        vec![
            of("registry", "REGISTRY_TOKEN", Delivery::Env),
            of(
                samples::HOSTILE,
                "A_VARIABLE_WITH_A_NAME_THAT_IS_RATHER_LONG_INDEED",
                Delivery::File,
            ),
            of("database", "DB", Delivery::Fd),
        ]
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let now = samples::frame("", Place::Scripts).now;
        let holder = Holder::Script(samples::script_id());
        let binding = |given: GivenCredential, unconfirmed| BindingNow {
            binding: Binding {
                id: "018f0000-0000-7000-8000-000000000002".parse().unwrap(),
                holder,
                credential: given.credential,
                variable: given.variable,
                delivery: given.delivery,
                script: samples::script_id(),
                versions: 3,
                by: None,
                by_name: samples::HOSTILE.to_owned(),
                at: now,
            },
            credential_name: given.name,
            holder_name: "deploy".to_owned(),
            unconfirmed,
        };
        let waits = Some((7, samples::HOSTILE.to_owned()));
        let bindings: Vec<_> = given()
            .into_iter()
            .zip([None, waits, None])
            .map(|(it, waits)| binding(it, waits))
            .collect();
        let choice = CredentialNow {
            credential: Credential {
                id: credential(),
                revision: 1,
                name: samples::HOSTILE.to_owned(),
                kind: Type::ApiKey,
                tags: Vec::new(),
                version: 1,
                expires_at: None,
                revealable: false,
                owner: None,
                owner_name: "ada".to_owned(),
                created_at: now,
                updated_at: now,
            },
            usage: Usage::default(),
            shown: Vec::new(),
        };
        let held = Held { holder, name: samples::HOSTILE.to_owned(), place: Place::Scripts };
        let page = |bindings: &[_], may: (bool, Vec<_>), typed: &Typed, problems| {
            let frame = samples::frame("Credentials of deploy", Place::Scripts);
            held.draw(frame, bindings.to_vec(), may, typed, problems).render().unwrap()
        };
        let nothing = Typed::default();
        let typed = Typed::default().with("variable_name", "PATH").with("delivery", "fd");
        let mut problems = Problems::default();
        problems.add("credential_id", &"has to be chosen");
        problems.add("variable_name", &"is the name of a variable with a meaning of its own");
        let none = Problems::default;
        vec![
            ("bindings", page(&bindings, (true, vec![choice.clone()]), &nothing, none())),
            ("bindings-viewer", page(&bindings, (false, vec![]), &nothing, none())),
            ("bindings-none", page(&[], (true, vec![]), &nothing, none())),
            ("bindings-refused", page(&[], (true, vec![choice]), &typed, problems)),
        ]
    }
}
