//! Pages: one module for each section of the site. They read what was typed, ask the core on
//! behalf of who is signed in, and draw what it says; no rule of the domain is here.
//!
//! Every page works without JavaScript: forms are sent by `POST` and answered by `303`, or shown
//! again with 422 and what is wrong. What moves while one looks comes by one stream a page.

pub(crate) mod agents;
mod ansi;
mod api_keys;
mod audit;
mod bindings;
mod code;
mod credentials;
mod disk;
mod dispatch;
mod docs;
mod egress;
mod errors;
mod execution;
mod executions;
mod form;
mod frame;
mod jobs;
mod limits;
mod listing;
mod log;
mod network;
mod outcome;
mod overview;
mod parameters;
mod profile;
mod protections;
mod reset;
mod results;
#[cfg(test)]
mod samples;
mod script;
mod scripts;
mod security;
mod setup;
mod sign_in;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod theme;
mod tiers;
mod turn;
mod usage;
mod users;

use automa_core::execution::State;
use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, Request, Response, Route,
    error::ResponseError as _, get, http::StatusCode, post,
};

use self::frame::{Frame, Place};
use crate::{auth::Caller, problem::Problem};

/// All pages.
pub(crate) fn routes() -> impl Endpoint {
    Route::new()
        .at("/", get(overview::show))
        .at("/setup", get(setup::show).post(setup::submit))
        .at("/sign-in", get(sign_in::show).post(sign_in::submit))
        .at("/sign-out", post(sign_in::out))
        .at("/theme", post(theme::choose))
        .at("/reset", get(reset::show).post(reset::submit))
        .at("/profile", get(profile::show))
        .at("/profile/password", post(profile::change_password))
        .at("/profile/sessions", post(profile::end_sessions))
        .at("/users", get(users::show_list))
        .at("/users/new", get(users::form::blank).post(users::form::create))
        .at("/users/:id", get(users::form::edit).post(users::form::save))
        .at("/users/:id/reset", post(users::form::reset))
        .at("/disk", get(disk::show).post(disk::save))
        .at("/api-keys", get(api_keys::show_list))
        .at("/api-keys/new", get(api_keys::blank).post(api_keys::create))
        .at("/api-keys/:id", get(api_keys::edit).post(api_keys::save))
        .at("/api-keys/:id/delete", post(api_keys::delete))
        .at("/tiers", get(tiers::show).post(tiers::save))
        .at("/tiers/users", post(tiers::give))
        .at("/audit", get(audit::show))
        .at("/audit/log.jsonl", get(audit::lines))
        .at("/audit/table.csv", get(audit::table))
        .at("/security", get(security::show))
        .at("/log-look", post(log::choose))
        .at("/docs", get(docs::api))
        .at("/docs/problems", get(docs::problems))
        .at("/run", get(code::show).post(code::submit))
        .at("/scripts", get(scripts::show_list))
        .at("/scripts/new", get(scripts::form::blank).post(scripts::form::create))
        .at("/scripts/:id", get(script::show))
        .at("/scripts/:id/edit", get(scripts::form::edit).post(scripts::form::save))
        .at("/scripts/:id/delete", post(scripts::trash::delete))
        .at("/scripts/deleted", get(scripts::trash::show))
        .at("/scripts/reviews", get(scripts::reviews::show).post(scripts::reviews::save))
        .at("/scripts/:id/versions/:number/approve", post(scripts::reviews::approve))
        .at("/scripts/:id/diff", get(script::show_changes))
        .at("/scripts/:id/settings", get(script::show_settings))
        .at("/scripts/:id/rollback", post(script::roll_back))
        .at("/scripts/:id/restore", post(scripts::trash::restore))
        .at("/scripts/:id/purge", post(scripts::trash::purge))
        .at("/scripts/:id/fork", post(script::fork))
        .at("/scripts/:id/status", post(script::set_status))
        .at("/scripts/:id/retention", get(disk::show_of_script).post(disk::save_of_script))
        .at("/scripts/:id/run", post(script::run))
        .at("/scripts/:id/credentials", get(bindings::of_script).post(bindings::to_script))
        .at("/scripts/:id/credentials/:binding/unbind", post(bindings::unbind_from_script))
        .at("/scripts/:id/versions", get(script::list_versions))
        .at("/scripts/:id/versions/:number", get(script::show_version))
        .at("/scripts/:id/executions", get(script::list_executions))
        .at("/credentials", get(credentials::show_list))
        .at("/credentials/new", get(credentials::form::blank).post(credentials::form::create))
        .at("/credentials/rotation", get(credentials::show_rotation).post(credentials::rotate))
        .at("/credentials/:id", get(credentials::show::show))
        .at("/credentials/:id/edit", get(credentials::form::edit).post(credentials::form::save))
        .at("/credentials/:id/test", post(credentials::show::test))
        .at("/credentials/:id/reveal", post(credentials::show::reveal))
        .at("/credentials/:id/destroy", post(credentials::show::destroy))
        .at("/credentials/:id/delete", post(credentials::show::delete))
        .at("/jobs", get(jobs::show_list))
        .at("/jobs/calendar", get(jobs::calendar::show))
        .at("/jobs/preview", post(jobs::form::tell))
        .at("/jobs/new", get(jobs::form::blank).post(jobs::form::create))
        .at("/jobs/:id", get(jobs::job::show))
        .at("/jobs/:id/edit", get(jobs::form::edit).post(jobs::form::save))
        .at("/jobs/:id/run", post(jobs::job::run))
        .at("/jobs/:id/credentials", get(bindings::of_job).post(bindings::to_job))
        .at("/jobs/:id/credentials/:binding/unbind", post(bindings::unbind_from_job))
        .at("/jobs/:id/pause", post(jobs::job::pause))
        .at("/jobs/:id/resume", post(jobs::job::resume))
        .at("/jobs/:id/renew", post(jobs::job::renew))
        .at("/jobs/:id/delete", post(jobs::job::delete))
        .at("/agents", get(agents::show_list))
        .at("/agents/new", get(agents::blank).post(agents::create))
        .at("/agents/events", get(agents::notices))
        .at("/agents/:id", get(agents::show))
        .at("/agents/:id/edit", get(agents::edit).post(agents::save))
        .at("/agents/:id/events", get(agents::notices_of))
        .at("/agents/:id/state", get(agents::panel))
        .at("/agents/:id/stdin", post(agents::tell))
        .at("/agents/:id/signal", post(agents::signal))
        .at("/agents/:id/:what", post(agents::operate))
        .at("/executions", get(executions::show_list))
        .at("/executions/events", get(executions::notices))
        .at("/executions/:id", get(execution::show))
        .at("/executions/:id/cancel", post(execution::cancel))
        .at("/executions/:id/rerun", post(execution::rerun))
        .at("/executions/:id/artifacts/:number", get(execution::artifact))
        .at("/executions/:id/events", get(execution::events))
        .at("/executions/:id/lines", get(execution::lines))
        .at("/executions/:id/log.txt", get(log::plain))
        .at("/executions/:id/log.gz", get(log::gzip))
        .around(errors_as_pages)
}

/// What is not let in at all: a page where one was asked for, else a problem.
pub(crate) fn refuse(request: &Request, problem: &Problem) -> Response {
    let path = request.original_uri().path();
    if path.starts_with("/api/") || path.starts_with("/hooks/") {
        return problem.as_response();
    }
    errors::Asked::new(request).answer(problem)
}

/// Errors are pages here, or the way to the sign-in.
async fn errors_as_pages(
    next: std::sync::Arc<impl Endpoint>,
    request: Request,
) -> poem::Result<Response> {
    let asked = errors::Asked::new(&request);
    match next.call(request).await {
        Ok(response) => Ok(response.into_response()),
        Err(error) => Ok(asked.answer(&Problem::from(error))),
    }
}

/// The frame of a page for who is signed in.
fn frame(request: &Request, caller: &Caller, title: impl Into<String>, place: Place) -> Frame {
    let user = &caller.user;
    Frame::new(request, title).at(place).user(&user.username, user.role)
}

/// An id or number in an address; what is none names nothing.
fn id<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| {
        Problem::of_status(StatusCode::NOT_FOUND).detail(&"there is nothing at this address")
    })
}

/// What a query names, if it names anything.
fn named<T>(
    text: &str,
    what: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let unknown = || {
        Problem::of_status(StatusCode::BAD_REQUEST)
            .detail(&format!("`{text}` is not a {what} of this page; open it from its start"))
    };
    find(text).map(Some).ok_or_else(unknown)
}

/// The state of this name.
fn state(name: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.name() == name)
}
