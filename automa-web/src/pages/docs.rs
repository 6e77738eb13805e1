//! `/docs`: the API, described for people, and the kinds of its problems.

use std::sync::Arc;

use askama::Template;
use poem::{Request, Response, handler, web::Data};

use super::frame::Frame;
use crate::{
    docs::{PROBLEMS, Section},
    filters,
    htmx::render,
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "docs/api.html")]
struct ApiPage {
    frame: Frame,
    sections: Arc<[Section]>,
}

#[derive(Debug, Template)]
#[template(path = "docs/problems.html")]
struct ProblemsPage {
    frame: Frame,
    problems: &'static [(&'static str, &'static str, &'static str)],
}

/// Shows every operation.
#[handler]
pub(super) fn api(
    request: &Request,
    Data(sections): Data<&Arc<[Section]>>,
) -> Result<Response, Problem> {
    let sections = Arc::clone(sections);
    render(&ApiPage { frame: Frame::new(request, "API").broad(), sections })
}

/// Shows every kind of problem.
#[handler]
pub(super) fn problems(request: &Request) -> Result<Response, Problem> {
    let frame = Frame::new(request, "Problems").broad();
    render(&ProblemsPage { frame, problems: PROBLEMS })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{docs, pages::samples};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let (_, document) = crate::api::service().unwrap();
        let sections = docs::sections(&document);
        let described = ApiPage { frame: samples::stranger(), sections };
        let listed = ProblemsPage { frame: samples::stranger(), problems: PROBLEMS };
        vec![("docs", described.render().unwrap()), ("docs-problems", listed.render().unwrap())]
    }
}
