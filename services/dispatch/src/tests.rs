//! Whole journeys of tasks: from a ready request to its closing, through every kind of luck.

mod client;
mod messages;
mod world;

use std::time::Duration;

use domain::id::RequestId;
use domain::receipt::Outcome;
use domain::request::{Answer, Closing, StageName};
use domain::task::{ParkReason, TaskStage};
use platform::db::Statement;
use platform::lifecycle::Ended;

use client::{Hit, Say};
use world::{World, fresh_uuid, until};

/// The numbers of the entries' types.
const PLAN: i64 = 5;
const DISPATCH: i64 = 6;
const RECEIPT: i64 = 7;
const CLOSURE: i64 = 9;

const ATTEMPTS: Statement = Statement::both("attempts", "SELECT COUNT(*) FROM attempt");
const TASKS: Statement = Statement::both("tasks", "SELECT COUNT(*) FROM task");
const RECEIPTS: Statement = Statement::both("receipts", "SELECT COUNT(*) FROM receipt");
const REUSED: Statement = Statement::both("reused", "SELECT COUNT(*) FROM anomaly WHERE kind = 'jti_reused'");
const DEAD: Statement = Statement::both("dead", "SELECT COUNT(*) FROM anomaly WHERE kind = 'poison'");
const FENCE: Statement = Statement::both("fence", "SELECT fence FROM endpoint_lease");
const UNKNOWN: Statement = Statement::both("unknown", "SELECT COUNT(*) FROM anomaly WHERE kind = 'unknown_request'");

/// The webhooks of a request, once there are so many.
async fn hits(world: &World, request: RequestId, count: usize) -> Vec<Hit> {
    let enough = async || {
        let hits = world.client.hits();
        let hits: Vec<Hit> = hits.into_iter().filter(|hit| hit.request == request).collect();
        (hits.len() >= count).then_some(hits)
    };
    until(enough).await
}

async fn stage(world: &World, request: RequestId) -> TaskStage {
    world.case(request).await.tasks.values().next().unwrap().stage
}

async fn stands(world: &World, request: RequestId, wanted: TaskStage) {
    let there = async || {
        let case = world.case(request).await;
        let task = case.tasks.values().next()?;
        (task.stage == wanted).then_some(())
    };
    until(there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_handed_over_and_its_receipt_closes_the_request() {
    let world = World::new(1).await;
    let running = world.run().await;
    let request = world.request().await;
    let hit = hits(&world, request, 1).await.remove(0);
    stands(&world, request, TaskStage::AwaitingReceipt).await;
    assert_eq!(world.case(request).await.stage, StageName::Planned);

    let token = world.client.receipt(&hit, Outcome::Completed, fresh_uuid());
    let tampered = token.replacen('.', "x.", 1);
    assert_eq!(world.client.bring(tampered).await.0, 400);
    assert_eq!(world.client.bring(token).await, (202, String::new()));
    assert_eq!(world.closed(request).await, Closing::Fulfilled);
    assert_eq!(world.entries(request).await, [PLAN, DISPATCH, RECEIPT, CLOSURE]);
    assert_eq!(running.lifecycle.shut_down().await, Ended::Asked);
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_with_the_same_bytes() {
    let world = World::new(1).await;
    world
        .client
        .will_say(&[Say::Status(500), Say::Status(302), Say::Status(404)]);
    let running = world.run().await;
    let request = world.request().await;
    let came = hits(&world, request, 4).await;
    assert!(came.iter().all(|hit| hit.body == came[0].body && hit.id == came[0].id));
    stands(&world, request, TaskStage::AwaitingReceipt).await;
    assert_eq!(world.count(&ATTEMPTS).await, 4);
    assert_eq!(world.entries(request).await, [PLAN, DISPATCH]);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_parks_its_task() {
    let world = World::new(1).await;
    world.client.will_say(&[Say::Status(410)]);
    let running = world.run().await;
    let request = world.request().await;
    stands(&world, request, TaskStage::Parked(ParkReason::Gone)).await;
    assert_eq!(world.client.hits().len(), 1);
    assert_eq!(world.case(request).await.stage, StageName::Planned, "it stays open");
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_be_the_receipt() {
    let world = World::new(2).await;
    world
        .client
        .will_say(&[Say::Receipt(Outcome::Completed), Say::Receipt(Outcome::Partial)]);
    let running = world.run().await;
    let request = world.request().await;
    assert_eq!(world.closed(request).await, Closing::Partly);
    let all = async || {
        let mut entries = world.entries(request).await;
        entries.sort_unstable();
        (entries == [PLAN, DISPATCH, DISPATCH, RECEIPT, RECEIPT, CLOSURE]).then_some(())
    };
    until(all).await;
    assert_eq!(world.client.hits().len(), 2, "what is done is not sent again");
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_may_come_before_the_attempt_is_over() {
    let world = World::new(1).await;
    world.client.will_say(&[Say::ReceiptFirst(Outcome::NotFound)]);
    let running = world.run().await;
    let request = world.request().await;
    assert_eq!(world.closed(request).await, Closing::Fulfilled);
    let noted = async || (world.entries(request).await == [PLAN, RECEIPT, CLOSURE, DISPATCH]).then_some(());
    until(noted).await;
    assert_eq!(stage(&world, request).await, TaskStage::Done(Answer::NotFound));
    assert_eq!(world.count(&ATTEMPTS).await, 1);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_receipt_keeps_it_open_and_a_jti_says_one_thing() {
    let world = World::new(1).await;
    let running = world.run().await;
    let request = world.request().await;
    let hit = hits(&world, request, 1).await.remove(0);
    let (failed, done) = (fresh_uuid(), fresh_uuid());
    let say = |outcome, jti| world.client.receipt(&hit, outcome, jti);
    assert_eq!(world.client.bring(say(Outcome::Failed, failed)).await.0, 202);
    stands(&world, request, TaskStage::AwaitingReceipt).await;
    assert_eq!(world.client.bring(say(Outcome::Completed, failed)).await.0, 400);
    assert_eq!(world.count(&REUSED).await, 1);
    for _ in 0..2 {
        assert_eq!(world.client.bring(say(Outcome::Completed, done)).await.0, 202);
    }
    assert_eq!(world.closed(request).await, Closing::Fulfilled);
    assert_eq!(world.count(&RECEIPTS).await, 2);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_last_receipts_at_once_close_once() {
    let world = World::new(2).await;
    let running = world.run().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(world.request().await);
    }
    for request in open {
        let came = hits(&world, request, 2).await;
        let bring = |hit: &Hit| {
            let token = world.client.receipt(hit, Outcome::Completed, fresh_uuid());
            world.client.bring(token)
        };
        let both = tokio::join!(bring(&came[0]), bring(&came[1]));
        assert_eq!((both.0.0, both.1.0), (202, 202));
        assert_eq!(world.closed(request).await, Closing::Fulfilled);
        let closures = world
            .entries(request)
            .await
            .into_iter()
            .filter(|entry| *entry == CLOSURE);
        assert_eq!(closures.count(), 1);
    }
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_twice_or_make_no_sense_block_nobody() {
    let world = World::new(1).await;
    let running = world.run().await;
    let request = world.request().await;
    world.publish(request).await;
    world
        .send("dsr.requests.deletion.v1".to_owned(), b"\xff".to_vec())
        .await;
    let nobody = RequestId::from_uuid(fresh_uuid());
    world.publish(nobody).await;
    let other = world.request().await;
    world.publish(request).await;
    hits(&world, other, 1).await;
    let told = async || (world.count(&DEAD).await == 1 && world.count(&UNKNOWN).await == 1).then_some(());
    until(told).await;
    assert_eq!(world.count(&TASKS).await, 2);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_process_held_is_due_again() {
    let mut world = World::new(1).await;
    world.client.will_say(&[Say::Nothing(Duration::from_mins(1))]);
    world.config.deliver.attempt_ms = 60_000;
    let running = world.run().await;
    let request = world.request().await;
    hits(&world, request, 1).await;
    running.lifecycle.stop().cut();
    assert_eq!(running.lifecycle.shut_down().await, Ended::Asked);
    assert!(matches!(stage(&world, request).await, TaskStage::Due(_)));

    let running = world.run().await;
    assert_eq!(hits(&world, request, 2).await.len(), 2);
    stands(&world, request, TaskStage::AwaitingReceipt).await;
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_succeeded_by_its_fence() {
    let world = World::new(1).await;
    world.client.will_say(&[Say::Nothing(Duration::from_mins(1))]);
    let killed = world.doomed();
    let request = world.request().await;
    hits(&world, request, 1).await;
    // No destructor runs to the end: connections break, leases stay.
    killed.shutdown_background();

    let running = world.run().await;
    assert_eq!(hits(&world, request, 2).await.len(), 2);
    stands(&world, request, TaskStage::AwaitingReceipt).await;
    assert_eq!(world.count(&FENCE).await, 2);
    running.lifecycle.shut_down().await;
    world.client.stop().await;
}
