//! The documents in schemas/openapi, held against the doors that they describe.
//!
//! Every path of the document answers as the document says, by the methods that it names and by no other; and every
//! path that the service has stands in the document.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use tests::harness::{Router, run};

const DISPATCH: &str = include_str!("../../schemas/openapi/dispatch.json");
const DISPATCH_ROUTES: &str = include_str!("../../services/dispatch/src/service.rs");

fn document() -> Value {
    serde_json::from_str(DISPATCH).expect("a document is JSON")
}

fn paths(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("a document has paths");
    paths.keys().cloned().collect()
}

#[test]
fn every_route_of_dispatch_is_described() {
    let begins = DISPATCH_ROUTES.split("web::resource(\"").skip(1);
    let routes: BTreeSet<String> = begins
        .filter_map(|rest| rest.split_once('"'))
        .map(|(route, _)| route.to_owned())
        .collect();
    assert_eq!(routes, paths(&document()));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    for rest in DISPATCH.split("\"$ref\": \"").skip(1) {
        let (reference, _) = rest.split_once('"').expect("a reference ends");
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => assert_eq!(reference, "../webhook/lease.schema.json"),
        }
    }
}

#[test]
fn dispatch_answers_as_its_document_says() {
    run(async {
        let router = Router::embedded().await;
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client is built");
        let document = document();
        for path in paths(&document) {
            let address = path
                .replace("{name}", "task-completed")
                .replace("{id}", "task_nonsense");
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let described = &document["paths"][&path][method.as_str().to_ascii_lowercase()];
                let request = http.request(method.clone(), format!("{}{address}", router.public_url()));
                let answer = request.send().await.expect("dispatch answers");
                let status = answer.status().as_u16();
                if described.is_null() {
                    assert!(
                        matches!(status, 404 | 405),
                        "{method} {path} is not described: {status}"
                    );
                    continue;
                }
                assert!(
                    !described["responses"][status.to_string()].is_null(),
                    "{method} {path}: {status}"
                );
                let secured = !described["security"].is_null();
                assert_eq!(secured, status == 401, "{method} {path} without a token: {status}");
                let problem = answer
                    .headers()
                    .get("content-type")
                    .is_some_and(|kind| kind == "application/problem+json");
                assert!(!secured || problem, "{method} {path}: a 401 is a problem");
            }
        }
    });
}
