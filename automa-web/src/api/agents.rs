//! Agents: to create, operate and watch them.

mod shape;

use automa_core::{
    Automa,
    agent::{self, Resolution},
    id::AgentId,
    page::{Cursor, Page},
};
use jiff::{SignedDuration, Timestamp};
use poem::{http::StatusCode, web::Data};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};

use self::shape::{Agent, AgentList, HappeningPage, Line, Metrics, NewAgent, Signal};
use super::{Tag, body::Body, scripts::page, wire::Text};
use crate::{auth::Auth, problem::Problem};

/// For how long figures are ten seconds apart, in seconds.
const FINE: i64 = 6 * 60 * 60;

#[derive(ApiResponse)]
enum Created {
    /// The agent was created
    #[oai(status = 201)]
    Created(
        Json<Agent>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
        /// Its revision, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The agent
    #[oai(status = 200)]
    Agent(
        Json<Agent>,
        /// Its revision, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Done {
    /// It was done
    #[oai(status = 204)]
    Done,
}

pub(super) struct AgentsApi;

#[OpenApi(tag = "Tag::Agents", prefix_path = "/agents")]
impl AgentsApi {
    /// List agents, newest first.
    ///
    /// All of them, of which there are a thousand at most.
    #[oai(path = "/", method = "get", operation_id = "listAgents")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<AgentList>, Problem> {
        let agents = automa.agents(auth.actor()).list().await?;
        let items = agents.into_iter().map(|(agent, status)| Agent::new(agent, status));
        Ok(Json(AgentList { items: items.collect() }))
    }

    /// Create an agent.
    ///
    /// It is stopped until it is started.
    #[oai(path = "/", method = "post", operation_id = "createAgent")]
    async fn create(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<NewAgent>,
    ) -> Result<Created, Problem> {
        let agents = automa.agents(auth.actor());
        let agent = agents.create(new.read()?).await?;
        let (location, tag) = (format!("/api/v1/agents/{}", agent.id), tag(agent.revision));
        let status = agents.status(agent.id)?;
        Ok(Created::Created(Json(Agent::new(agent, status)), location, tag))
    }

    /// Get an agent with what has become of it.
    #[oai(path = "/:id", method = "get", operation_id = "getAgent")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
    ) -> Result<Found, Problem> {
        let agent = automa.agents(auth.actor()).get(id.0.0)?;
        found(automa, &auth, agent)
    }

    /// Change an agent.
    ///
    /// All fields are replaced, which counts from its next start on. With `If-Match` (412) or
    /// `revision` (409) nothing is changed if someone else did meanwhile.
    #[oai(path = "/:id", method = "put", operation_id = "changeAgent")]
    async fn change(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
        /// The `ETag` that was read.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(new): Body<NewAgent>,
    ) -> Result<Found, Problem> {
        let id = id.0.0;
        let agents = automa.agents(auth.actor());
        let matched = if_match.0.filter(|tag| tag.trim() != "*");
        let read = match (&matched, new.revision) {
            (Some(tag), _) => read_tag(tag).ok_or_else(|| precondition_failed(id))?,
            (None, Some(revision)) => revision,
            (None, None) => agents.get(id)?.revision,
        };
        let changed = agents.update(id, read, new.read()?).await.map_err(Problem::from);
        let agent = changed.map_err(|problem| match problem.details().current_version {
            Some(_) if matched.is_some() => problem.with_status(StatusCode::PRECONDITION_FAILED),
            _ => problem,
        })?;
        found(automa, &auth, agent)
    }

    /// Delete an agent that is stopped.
    ///
    /// Its executions stay.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteAgent")]
    async fn delete(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
    ) -> Result<Done, Problem> {
        automa.agents(auth.actor()).delete(id.0.0).await?;
        Ok(Done::Done)
    }

    /// Start an agent.
    ///
    /// From now on it is meant to run, also when the server is started again; a pause or a crash loop
    /// ends. Starting one that runs changes nothing.
    #[oai(path = "/:id/start", method = "post", operation_id = "startAgent")]
    async fn start(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
    ) -> Result<Found, Problem> {
        automa.agents(auth.actor()).start(id.0.0).await?;
        found(automa, &auth, automa.agents(auth.actor()).get(id.0.0)?)
    }

    /// Stop an agent.
    ///
    /// It is asked to end by `SIGTERM`, and made to after its grace.
    #[oai(path = "/:id/stop", method = "post", operation_id = "stopAgent")]
    async fn stop(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
    ) -> Result<Found, Problem> {
        automa.agents(auth.actor()).stop(id.0.0).await?;
        found(automa, &auth, automa.agents(auth.actor()).get(id.0.0)?)
    }

    /// Restart an agent: stop it, and start it anew.
    #[oai(path = "/:id/restart", method = "post", operation_id = "restartAgent")]
    async fn restart(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
    ) -> Result<Found, Problem> {
        automa.agents(auth.actor()).restart(id.0.0).await?;
        found(automa, &auth, automa.agents(auth.actor()).get(id.0.0)?)
    }

    /// Send an agent a signal.
    ///
    /// If it ends by that, its restart policy says what follows.
    #[oai(path = "/:id/signal", method = "post", operation_id = "signalAgent")]
    async fn signal(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
        Body(signal): Body<Signal>,
    ) -> Result<Done, Problem> {
        automa.agents(auth.actor()).signal(id.0.0, signal.signal.0).await?;
        Ok(Done::Done)
    }

    /// Write a line to an agent's standard input.
    #[oai(path = "/:id/stdin", method = "post", operation_id = "tellAgent")]
    async fn tell(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
        Body(line): Body<Line>,
    ) -> Result<Done, Problem> {
        automa.agents(auth.actor()).tell(id.0.0, &line.line).await?;
        Ok(Done::Done)
    }

    /// What has happened to an agent, newest first.
    ///
    /// Each state that it came to, when and why; the last 500 are kept. Its executions are listed with
    /// `GET /executions?agent_id=`.
    #[oai(path = "/:id/history", method = "get", operation_id = "getAgentHistory")]
    async fn history(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
    ) -> Result<Json<HappeningPage>, Problem> {
        let page = page(limit.0, cursor.0)?;
        let history = automa.agents(auth.actor()).history(id.0.0, page).await?;
        let Page { items, next_cursor } = history.map(Into::into);
        Ok(Json(HappeningPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// What an agent used over time, oldest first.
    ///
    /// Of up to six hours within the last day: every ten seconds, the last minute excepted. Of more:
    /// means of five minutes, which are kept for 30 days. The last hour unless told.
    #[oai(path = "/:id/metrics", method = "get", operation_id = "getAgentMetrics")]
    async fn metrics(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<AgentId>>,
        /// From when on.
        from: Query<Option<Text<Timestamp>>>,
        /// Until when.
        to: Query<Option<Text<Timestamp>>>,
    ) -> Result<Json<Metrics>, Problem> {
        let now = automa.now();
        let to = to.0.map_or(now, |it| it.0);
        let hour = to.checked_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
        let from = from.0.map_or(hour, |it| it.0);
        let fine = to.duration_since(from).as_secs() <= FINE
            && now.duration_since(from) <= SignedDuration::from_hours(24);
        let resolution = if fine { Resolution::Points } else { Resolution::Means };
        let points = automa.agents(auth.actor()).metrics(id.0.0, (from, to), resolution).await?;
        Ok(Json(Metrics::new(resolution, points)))
    }
}

fn found(automa: &Automa, auth: &Auth, agent: agent::Agent) -> Result<Found, Problem> {
    let status = automa.agents(auth.actor()).status(agent.id)?;
    let tag = tag(agent.revision);
    Ok(Found::Agent(Json(Agent::new(agent, status)), tag))
}

fn tag(revision: u32) -> String {
    format!("\"{revision}\"")
}

fn read_tag(tag: &str) -> Option<u32> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn precondition_failed(id: AgentId) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "conflict", "Changed meanwhile")
        .detail(&format!("`If-Match` is not the `ETag` of agent {id}"))
}
