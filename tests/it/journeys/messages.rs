//! What a client's systems are told beside their tasks: once in effect, in the bytes that the schemas describe.

use std::collections::BTreeSet;

use domain::id::{ReceiptId, TaskId};
use domain::request::Closing;
use evidence::token::{RegisteredKey, Said, verify_statement};
use platform::clock::{Clock as _, SystemClock};
use platform::db::{Args, Statement};
use platform::lifecycle::Ended;
use quittance::key_files;
use sandbox::{Answering, Manner, Verdict};
use serde_json::{Value, json};
use tests::harness::patience::eventually;
use tests::harness::{Business, Case, Client, DELETE, Person, Place, Router, Service, run};
use tests::on_both;

use super::contract::{MESSAGES, holds, validator};

/// A reminder's time comes.
const REMIND: Statement = Statement::both(
    "test_remind",
    "UPDATE task SET remind_at = $2 WHERE request = $1 AND remind_at IS NOT NULL",
);

/// So does the end of reminding.
const ESCALATE: Statement = Statement::both(
    "test_escalate",
    "UPDATE task SET remind_at = $2, dispatched_at = $2 - 100000000, deadline_at = $2 + 1000000 \
     WHERE request = $1 AND remind_at IS NOT NULL",
);

fn silent() -> Manner {
    Manner::good(Verdict::Silent, Answering::ByPost)
}

/// What a business was told of a type, each message once and held against its schema.
fn told(business: &Business, kind: &str) -> Vec<Value> {
    let (_, schema) = MESSAGES
        .iter()
        .find(|(known, _)| *known == kind)
        .expect("the type has a schema");
    let schema = validator(schema);
    let mut seen = BTreeSet::new();
    let mut told = vec![];
    for heard in business.tap.heard() {
        let body = heard.json();
        if body["type"] == kind && seen.insert(heard.header("webhook-id").to_owned()) {
            assert!(heard.header("webhook-id").starts_with("msg_"));
            assert!(heard.body.len() <= 20_000);
            holds(&schema, &body);
            told.push(body["data"].clone());
        }
    }
    told
}

/// The one thing that a notices system is told of a type about a request.
async fn notice(client: &Client<'_>, kind: &str, case: &Case<'_>) -> Value {
    let name = format!("{kind} about {}", case.id);
    eventually(&name, || async {
        let data = told(client.notices(), kind);
        let notices = data.iter().flat_map(|data| data["notices"].as_array().unwrap());
        let mut about = notices.filter(|notice| notice["request"] == json!(case.id));
        let first = about.next().ok_or("nothing came")?;
        assert!(about.next().is_none(), "{name} came in two messages: {data:?}");
        Ok(first.clone())
    })
    .await
}

/// What a system is told about its task.
async fn about_task(business: &Business, kind: &str, task: TaskId) -> Value {
    eventually(kind, || async {
        let data = told(business, kind);
        let about = data.into_iter().find(|data| data["task"] == json!(task));
        about.ok_or_else(|| "nothing came".to_owned())
    })
    .await
}

/// Waits until a request's only task was handed over, and returns it.
async fn handed_over(case: &Case<'_>) -> TaskId {
    eventually("the task is handed over", || async {
        let tasks = case.tasks().await;
        match tasks.first() {
            Some(task) if task.stage == "awaiting_receipt" => Ok(task.id),
            _ => Err(format!("{tasks:?}")),
        }
    })
    .await
}

async fn turn_time(case: &Case<'_>, statement: &Statement) {
    let now = SystemClock.now().as_microsecond();
    let args = Args::new().uuid(case.id.uuid()).int(now);
    let turned = case.router.store().db().execute(statement, args).await;
    assert_eq!(turned.expect("the router's database answers"), 1);
}

/// The statement key's acknowledgement, as a controller verifies it.
fn acknowledged(router: &Router, client: &Client<'_>, notice: &Value) -> Said {
    let key = key_files::load(&router.running().place.file("statement.jwk")).expect("the statement key is there");
    let key = RegisteredKey::new(router.public_url(), &key.jwk());
    let token = notice["acknowledgement"].as_str().expect("a token");
    verify_statement(token.as_bytes(), &key, &client.issuer).expect("the acknowledgement holds")
}

async fn a_controller_is_told_of_its_requests(router: &Router) {
    let manner = Manner::good(Verdict::Completed, Answering::ByPost);
    let client = router.client_with_notices("sumac-mill", manner).await;
    client.notices().tap.go_down();
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    eventually("the first notice was tried", || async {
        let heard = client.notices().tap.heard();
        if heard.is_empty() { Err("nothing came") } else { Ok(()) }.map_err(ToOwned::to_owned)
    })
    .await;
    client.notices().tap.open();
    client.done(&case, Closing::Fulfilled).await;

    let received = notice(&client, "dsr.request.received", &case).await;
    let said = acknowledged(router, &client, &received);
    assert!(matches!(said, Said::Received { intake_seq: 1, .. }), "{said:?}");
    let closed = notice(&client, "dsr.request.closed", &case).await;
    assert_eq!(closed["outcome"], "fulfilled");
    let logged = notice(&client, "dsr.receipt.logged", &case).await;
    let receipt: ReceiptId = logged["receipt"].as_str().unwrap().parse().unwrap();
    assert_eq!(case.receipts().await, [receipt]);
    let proof = logged["proof"].as_str().unwrap();
    let path = proof
        .strip_prefix(router.public_url())
        .expect("below the public address");
    assert_eq!(router.audit(path).await.status, 200);
    let again = eventually("what failed came again", || async {
        let messages = client.notices().record.messages();
        if messages.len() == 3 {
            Ok(messages)
        } else {
            Err(format!("{messages:?}"))
        }
    })
    .await;
    assert!(again.iter().all(|(_, heard)| heard.times == 1), "{again:?}");
    same_bytes(client.notices());
}

/// Whatever came under one id was the same each time.
fn same_bytes(business: &Business) {
    let heard = business.tap.heard();
    for one in &heard {
        let id = one.header("webhook-id");
        let other = heard.iter().find(|other| other.header("webhook-id") == id);
        assert_eq!(other.map(|other| &other.body), Some(&one.body));
    }
}

async fn personal_data_is_announced_when_all_of_it_is_there(router: &Router) {
    let manner = Manner::good(Verdict::Completed, Answering::InBody);
    let client = router.client_with_notices("thyme-books", manner).await;
    let case = client.asks("access", &Person::new()).await;
    case.await_closed(Closing::Fulfilled).await;
    let assembled = notice(&client, "dsr.request.assembled", &case).await;
    let receipts = case.receipts().await;
    assert_eq!(assembled["answers"][0]["receipt"], json!(receipts[0]));
    notice(&client, "dsr.request.closed", &case).await;
}

async fn whoever_has_a_task_learns_that_it_was_withdrawn(router: &Router) {
    let client = router.client_with_notices("carob-press", silent()).await;
    let case = client.asks("deletion", &Person::new()).await;
    let task = handed_over(&case).await;
    assert_eq!(router.withdraw(case.id).await.status, 200);
    let withdrawn = about_task(client.system(), "dsr.task.withdrawn", task).await;
    assert_eq!(withdrawn["request"], json!(case.id));
    let closed = notice(&client, "dsr.request.closed", &case).await;
    assert_eq!(closed["outcome"], "withdrawn");
    eventually("the business knows", || async {
        let known = client.system().record.is_withdrawn(task);
        if known { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

/// The answer to a reminder may be the receipt; and then nobody is reminded any more.
async fn a_reminded_owner_answers(router: &Router) {
    let client = router.client_with_notices("quince-garden", silent()).await;
    let case = client.asks("deletion", &Person::new()).await;
    let task = handed_over(&case).await;
    client.system().manner.set_verdict(Verdict::Completed);
    client.system().manner.set_answering(Answering::InBody);
    turn_time(&case, &REMIND).await;
    let reminder = about_task(client.system(), "dsr.task.reminder", task).await;
    assert_eq!((&reminder["reminder"], &reminder["of"]), (&json!(1), &json!(3)));
    client.done(&case, Closing::Fulfilled).await;
    turn_time(&case, &REMIND).await;
    notice(&client, "dsr.request.closed", &case).await;
    assert_eq!(told(client.system(), "dsr.task.reminder").len(), 1);
}

async fn the_controller_hears_of_an_owner_who_stays_silent(router: &Router) {
    let client = router.client_with_notices("olive-radio", silent()).await;
    let case = client.asks("deletion", &Person::new()).await;
    let task = handed_over(&case).await;
    turn_time(&case, &ESCALATE).await;
    let unanswered = notice(&client, "dsr.task.unanswered", &case).await;
    assert_eq!(unanswered["task"], json!(task));
}

/// A dispatch is killed while a notice waits for its answer: the next one sends it again as it was.
async fn outlives_a_kill(place: Place, service: Service) {
    let router = Router::start_processes(place.in_a_hurry()).await;
    let manner = Manner::good(Verdict::Completed, Answering::ByPost);
    let client = router.client_with_notices("fig-market", manner).await;
    client.notices().tap.hold();
    let case = client.asks("deletion", &Person::new()).await;
    eventually("a notice waits for its answer", || async {
        if client.notices().tap.waiting() > 0 {
            Ok(())
        } else {
            Err("none".to_owned())
        }
    })
    .await;
    router.processes().kill(service);
    client.notices().tap.open();
    router.processes().begin(service);
    router.processes().ready(service).await;
    case.await_closed(Closing::Fulfilled).await;
    for kind in ["dsr.request.received", "dsr.receipt.logged", "dsr.request.closed"] {
        notice(&client, kind, &case).await;
    }
    eventually("all of it was taken", || async {
        let messages = client.notices().record.messages();
        if messages.len() == 3 {
            Ok(())
        } else {
            Err(format!("{messages:?}"))
        }
    })
    .await;
    same_bytes(client.notices());
    assert_eq!(client.notices().record.altered(), 0);
    assert_eq!(router.shut_down().await, Ended::Asked);
}

#[test]
fn a_notice_outlives_a_kill() {
    run(outlives_a_kill(Place::embedded(), Service::Up));
}

#[test]
fn a_notice_outlives_a_kill_in_a_cluster() {
    run(async { outlives_a_kill(Place::cluster().await, Service::Dispatch).await });
}

on_both!(
    a_controller_is_told_of_its_requests,
    personal_data_is_announced_when_all_of_it_is_there,
    whoever_has_a_task_learns_that_it_was_withdrawn,
    a_reminded_owner_answers,
    the_controller_hears_of_an_owner_who_stays_silent,
);
