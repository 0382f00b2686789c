//! What clients' systems are told beside their tasks.

use domain::id::{MessageId, RequestId};
use domain::receipt::Outcome;
use domain::task::TaskStage;
use evidence::jwk::{Algorithm, TokenKey};
use evidence::token::{RegisteredKey, Said, verify_statement};
use platform::chance;
use proto::{Logged, LoggedEntries};
use serde_json::{Value, json};

use super::client::{Say, Told};
use super::world::{ISSUER, PUBLIC_URL, STATEMENT_SEED};
use super::*;

/// The messages of a type, once there are so many.
async fn told(world: &World, kind: &str, count: usize) -> Vec<Told> {
    let enough = async || Some(world.client.told(kind)).filter(|told| told.len() >= count);
    until(enough).await
}

/// What the messages of a type say about a request.
fn notices(told: &[Told], request: RequestId) -> Vec<Value> {
    let notices = told
        .iter()
        .flat_map(|told| told.data()["notices"].as_array().unwrap().clone());
    notices.filter(|notice| notice["request"] == json!(request)).collect()
}

/// The ledger says that it holds a request's receipt.
async fn log_receipt(world: &World, request: RequestId) {
    let now = world.deps.clock.now();
    let logged = LoggedEntries {
        message_id: MessageId::new(now, chance::bytes(&*world.deps.rng)),
        occurred_at: now,
        tree_size: 12,
        entries: vec![Logged {
            entry: world.receipt_entry(request).await,
            controller_seq: 4,
            index: 11,
        }],
    };
    let envelope = logged.envelope();
    // The bus may bring it twice.
    for _ in 0..2 {
        world.send(envelope.topic.to_string(), envelope.value.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notices_system_is_told_of_receiving_logging_and_closing() {
    let world = World::with_notices().await;
    world.client.will_say(&[Say::Receipt(Outcome::Completed)]);
    world.client.will_reply(&[Say::Status(503), Say::Status(500)]);
    let running = world.run().await;
    let request = world.request().await;
    world.closed(request).await;
    log_receipt(&world, request).await;

    let closed = told(&world, "dsr.request.closed", 1).await;
    assert_eq!(notices(&closed, request)[0]["outcome"], "fulfilled");
    let logged = told(&world, "dsr.receipt.logged", 1).await;
    let logged = notices(&logged, request);
    assert_eq!((&logged[0]["index"], &logged[0]["tree_size"]), (&json!(11), &json!(12)));
    let proof = logged[0]["proof"].as_str().unwrap();
    assert!(
        proof.starts_with(&format!("{PUBLIC_URL}/v1/audit/receipts/rcpt_")),
        "{proof}"
    );

    let received = told(&world, "dsr.request.received", 1).await;
    let notice = notices(&received, request).remove(0);
    assert_eq!(notice["intake_seq"], 1);
    let key = TokenKey::new(Algorithm::EdDsa, &STATEMENT_SEED).unwrap();
    let key = RegisteredKey::new(PUBLIC_URL, &key.jwk());
    let acknowledgement = notice["acknowledgement"].as_str().unwrap();
    let said = verify_statement(acknowledgement.as_bytes(), &key, ISSUER).unwrap();
    assert!(matches!(said, Said::Received { intake_seq: 1, .. }), "{said:?}");

    // What failed came again as it was, and nothing is told in two messages.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut repeats = 0;
    for kind in ["dsr.request.received", "dsr.receipt.logged", "dsr.request.closed"] {
        let all = world.client.told(kind);
        assert!(all.iter().all(|one| *one == all[0]), "{kind} {all:?}");
        repeats += all.len() - 1;
    }
    assert_eq!(repeats, 2);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_owner_is_reminded_until_the_controller_is_told() {
    let mut world = World::with_notices().await;
    world.answer_within = Duration::from_secs(4);
    let running = world.run().await;
    let request = world.request().await;
    let hit = hits(&world, request, 1).await.remove(0);

    let unanswered = told(&world, "dsr.task.unanswered", 1).await;
    assert_eq!(notices(&unanswered, request)[0]["task"], json!(hit.task));
    let reminders = world.client.told("dsr.task.reminder");
    let numbers: Vec<Value> = reminders.iter().map(|told| told.data()["reminder"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(reminders.iter().all(|told| told.data()["task"] == json!(hit.task)));
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_reminded_of_what_was_answered() {
    let mut world = World::new(1).await;
    world.answer_within = Duration::from_secs(4);
    let running = world.run().await;
    let request = world.request().await;
    let hit = hits(&world, request, 1).await.remove(0);
    told(&world, "dsr.task.reminder", 1).await;
    let token = world.client.receipt(&hit, Outcome::Completed, fresh_uuid());
    assert_eq!(world.client.bring(token).await.0, 202);
    world.closed(request).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.client.told("dsr.task.reminder").len(), 1);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_its_messages_to_the_next() {
    let world = World::with_notices().await;
    world.client.will_reply(&[Say::Nothing(Duration::from_mins(1))]);
    let killed = world.doomed();
    let request = world.request().await;
    hits(&world, request, 1).await;
    told(&world, "dsr.request.received", 1).await;
    // No destructor runs to the end: connections break, leases stay.
    killed.shutdown_background();

    let running = world.run().await;
    let twice = told(&world, "dsr.request.received", 2).await;
    assert_eq!(twice[0], twice[1], "the same id and bytes");
    stands(&world, request, TaskStage::AwaitingReceipt).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.client.told("dsr.request.received").len(), 2);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}
