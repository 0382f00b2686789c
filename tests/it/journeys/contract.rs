//! What a client business receives and answers, held against the schemas that integrators are given.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::receipt::Outcome;
use domain::request::Closing;
use jsonschema::Validator;
use sandbox::{Answering, Manner, Verdict};
use serde_json::{Value, json};
use tests::harness::{DELETE, Person, Router};
use tests::on_both;

const TASK: &str = include_str!("../../../schemas/webhook/task.schema.json");
const RECEIPT: &str = include_str!("../../../schemas/webhook/receipt.schema.json");

/// Of what a client's systems are told beside their tasks.
pub(super) const MESSAGES: &[(&str, &str)] = &[
    (
        "dsr.task.withdrawn",
        include_str!("../../../schemas/webhook/task-withdrawn.schema.json"),
    ),
    (
        "dsr.task.reminder",
        include_str!("../../../schemas/webhook/task-reminder.schema.json"),
    ),
    (
        "dsr.task.unanswered",
        include_str!("../../../schemas/webhook/task-unanswered.schema.json"),
    ),
    (
        "dsr.request.received",
        include_str!("../../../schemas/webhook/request-received.schema.json"),
    ),
    (
        "dsr.receipt.logged",
        include_str!("../../../schemas/webhook/receipt-logged.schema.json"),
    ),
    (
        "dsr.request.assembled",
        include_str!("../../../schemas/webhook/request-assembled.schema.json"),
    ),
    (
        "dsr.request.closed",
        include_str!("../../../schemas/webhook/request-closed.schema.json"),
    ),
    ("ping", include_str!("../../../schemas/webhook/ping.schema.json")),
];

pub(super) fn validator(schema: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    jsonschema::validator_for(&schema).expect("a schema is one")
}

#[track_caller]
pub(super) fn holds(validator: &Validator, value: &Value) {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {value:#}");
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a compact JWS has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("claims are JSON")
}

async fn a_webhook_and_its_receipt_are_what_the_schemas_say(router: &Router) {
    let (task, receipt) = (validator(TASK), validator(RECEIPT));
    let client = router
        .client_of(
            "dimona-labs",
            vec![("crm", Manner::good(Verdict::Silent, Answering::ByPost))],
        )
        .await;
    let person = Person::new();
    for case in [
        client.hears(&client.whatsapp(&person, DELETE)).await,
        client.hears(&client.telegram(&person, DELETE)).await,
        client.asks("access", &person).await,
    ] {
        let webhook = client.webhook(client.system(), case.id).await;
        holds(&task, &webhook.json());
        assert_eq!(webhook.header("webhook-id"), webhook.json()["data"]["task"]);
        assert_eq!(webhook.header("content-type"), "application/json");
        assert!(webhook.header("user-agent").starts_with("Quittance/"));
        assert!(webhook.body.len() <= 20_000, "a body has at most 20 kB");
        let token = client.sign(&webhook, Outcome::Partial);
        holds(&receipt, &claims(&token));
        assert_eq!(router.post_receipt(&token).await.status, 202);
        case.await_closed(Closing::Partly).await;
    }
}

/// The schemas can say no.
#[test]
fn the_schemas_are_closed() {
    let example = |schema: &str| serde_json::from_str::<Value>(schema).unwrap()["examples"][0].clone();
    let messages = MESSAGES.iter().map(|(_, schema)| *schema);
    for schema in [TASK, RECEIPT].into_iter().chain(messages) {
        let (validator, good) = (validator(schema), example(schema));
        holds(&validator, &good);
        let mut more = good.clone();
        more["surprise"] = json!(true);
        assert!(!validator.is_valid(&more));
        for member in good.as_object().unwrap().keys().filter(|member| *member != "toe") {
            let mut less = good.clone();
            less.as_object_mut().unwrap().remove(member);
            assert!(!validator.is_valid(&less), "without {member}");
        }
    }
}

on_both!(a_webhook_and_its_receipt_are_what_the_schemas_say);
