//! The page that stands for one that could not be shown.

use askama::Template;
use poem::{
    IntoResponse, Request, Response,
    error::ResponseError as _,
    http::{StatusCode, header},
};

use super::frame::Frame;
use crate::{
    filters,
    htmx::{elsewhere, encoded, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    detail: String,
    /// What an administrator looks for in the server's log.
    error_id: Option<String>,
}

impl ErrorPage {
    fn new(mut frame: Frame, problem: &Problem) -> Self {
        let details = problem.details();
        title(problem.status(), &details.title).clone_into(&mut frame.title);
        Self {
            frame,
            detail: match &details.error_id {
                Some(_) => "The fault is on the server. Running executions are not touched.".into(),
                None => details.detail.clone().unwrap_or_default(),
            },
            error_id: details.error_id.clone(),
        }
    }

    /// Whether the server is at fault.
    fn ours(&self) -> bool {
        self.error_id.is_some()
    }
}

fn title(status: StatusCode, title: &str) -> &str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::FORBIDDEN => "Your role does not allow this",
        StatusCode::INTERNAL_SERVER_ERROR => "This page could not be made",
        StatusCode::SERVICE_UNAVAILABLE => "Not available at the moment",
        StatusCode::BAD_REQUEST => "This address is not right",
        _ => title,
    }
}

/// What has to be known of a request to answer it with an error after all.
pub(super) struct Asked {
    frame: Frame,
    /// Whether the page can be asked for again.
    reads: bool,
    htmx: bool,
    /// Whether it is a page, not the stream of one.
    html: bool,
}

impl Asked {
    pub(super) fn new(request: &Request) -> Self {
        Self::of(request, Frame::new(request, ""))
    }

    fn of(request: &Request, frame: Frame) -> Self {
        let accept = request.header(header::ACCEPT).unwrap_or("*/*");
        Self {
            frame,
            reads: request.method().is_safe(),
            htmx: request.header("HX-Request") == Some("true"),
            html: accept.contains("text/html") || accept.contains("*/*"),
        }
    }

    /// What a browser gets instead of a page. Who is not signed in is sent to do so, and comes
    /// back afterwards.
    pub(super) fn answer(self, problem: &Problem) -> Response {
        let mut response = self.page(problem);
        response.set_data(problem.clone());
        response
    }

    fn page(self, problem: &Problem) -> Response {
        if !self.html {
            return problem.status().into_response();
        }
        if problem.status() == StatusCode::UNAUTHORIZED {
            let wanted = if self.reads { &self.frame.path } else { "/" };
            let path = format!("/sign-in?next={}", encoded(wanted));
            return if self.htmx { elsewhere(&path) } else { see_other(&path) };
        }
        let status = problem.status();
        let page = render_as(status, &ErrorPage::new(self.frame, problem));
        let mut response = page.unwrap_or_else(|problem| problem.as_response());
        if let Some(seconds) = problem.details().retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
pub(super) mod tests {
    use askama::Template as _;
    use poem::http::Method;

    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page =
            |problem: Problem| ErrorPage::new(samples::stranger(), &problem).render().unwrap();
        let hostile = samples::HOSTILE;
        let missing = Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found")
            .detail(&format!("there is no script `{hostile}`"));
        let forbidden = Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed")
            .detail(&"a viewer may not run anything");
        let cause = std::io::Error::other("a secret");
        let internal = Problem::internal(StatusCode::INTERNAL_SERVER_ERROR, &cause);
        vec![
            ("error-404", page(missing)),
            ("error-403", page(forbidden)),
            ("error-500", page(internal)),
        ]
    }

    #[test]
    fn a_fault_of_the_server_has_an_id_and_no_cause() {
        let page = samples().pop().unwrap().1;
        assert!(page.contains("Error id") && page.contains("<b>e-"), "{page}");
        assert!(!page.contains("a secret"), "{page}");
    }

    #[test]
    fn who_is_not_signed_in_is_sent_to_do_so() {
        let asked = |method: Method, headers: &[(&str, &str)]| {
            let request = Request::builder().method(method);
            let request =
                headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
            let frame = Frame { path: "/scripts?cursor=1".to_owned(), ..samples::stranger() };
            Asked::of(&request.finish(), frame)
        };
        let problem = Problem::unauthorized("sign in first");
        let answer = asked(Method::GET, &[]).answer(&problem);
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()["location"], "/sign-in?next=%2Fscripts%3Fcursor%3D1");
        let answer = asked(Method::POST, &[]).answer(&problem);
        assert_eq!(answer.headers()["location"], "/sign-in?next=%2F");
        let answer = asked(Method::GET, &[("HX-Request", "true")]).answer(&problem);
        assert_eq!(answer.headers()["hx-redirect"], "/sign-in?next=%2Fscripts%3Fcursor%3D1");
        let answer = asked(Method::GET, &[("accept", "text/event-stream")]).answer(&problem);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
}
