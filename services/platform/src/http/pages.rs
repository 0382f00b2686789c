//! `GET /problems/<name>`: a problem's `type` leads to what it means (RFC 9457 §3.1.1).
//!
//! The texts are the files under `schemas/problems`, compiled in, so that what is answered is what is documented.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use crate::problem;

/// Pages of a service's own problems by their names; put as `app_data` where the service adds its routes.
#[derive(Debug, Clone, Copy)]
pub struct Pages(pub &'static [(&'static str, &'static str)]);

/// The pages of the problems that every server answers by itself.
const OWN: Pages = Pages(&[
    ("not-found", include_str!("../../../../schemas/problems/not-found.md")),
    (
        "method-not-allowed",
        include_str!("../../../../schemas/problems/method-not-allowed.md"),
    ),
    ("too-large", include_str!("../../../../schemas/problems/too-large.md")),
    (
        "bad-request",
        include_str!("../../../../schemas/problems/bad-request.md"),
    ),
    ("media-type", include_str!("../../../../schemas/problems/media-type.md")),
    ("timeout", include_str!("../../../../schemas/problems/timeout.md")),
    (
        "malformed-json",
        include_str!("../../../../schemas/problems/malformed-json.md"),
    ),
    (
        "invalid-body",
        include_str!("../../../../schemas/problems/invalid-body.md"),
    ),
    (
        "unauthorized",
        include_str!("../../../../schemas/problems/unauthorized.md"),
    ),
    ("not-ready", include_str!("../../../../schemas/problems/not-ready.md")),
    ("internal", include_str!("../../../../schemas/problems/internal.md")),
]);

impl Pages {
    fn find(self, name: &str) -> Option<&'static str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }
}

pub(super) async fn page(request: HttpRequest, name: Path<String>) -> HttpResponse {
    let service = request.app_data::<Data<Pages>>().and_then(|pages| pages.find(&name));
    match OWN.find(&name).or(service) {
        Some(text) => HttpResponse::Ok()
            .content_type("text/markdown; charset=utf-8")
            .body(text),
        None => problem::NOT_FOUND.response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_this_crate_has_its_page() {
        for problem in problem::ALL {
            let page = OWN
                .find(problem.name)
                .unwrap_or_else(|| panic!("{} has no page", problem.name));
            assert!(page.starts_with(&format!("# {}\n", problem.title)), "{}", problem.name);
        }
        assert_eq!(OWN.0.len(), problem::ALL.len());
    }
}
