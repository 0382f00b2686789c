//! Systems that nobody can reach from outside fetch their tasks (contracts.md §5).

use std::time::{Duration, Instant};

use domain::receipt::Outcome;
use domain::request::Closing;
use evidence::digest::{ContentDigest, sha256};
use platform::lifecycle::Ended;
use serde_json::json;
use tests::harness::{Case, DELETE, Fetching, Heard, Person, Place, Router, Service, run};
use tests::on_both;

use super::contract::{holds, validator};

const LEASE: &str = include_str!("../../../schemas/webhook/lease.schema.json");

async fn asked<'r>(fetching: &'r Fetching<'_>) -> Case<'r> {
    let client = &fetching.client;
    client.hears(&client.whatsapp(&Person::new(), DELETE)).await
}

/// Waits for one task, as long as the door lets anybody wait.
async fn fetched(fetching: &Fetching<'_>) -> Heard {
    let mut tasks = fetching.fetches(&json!({"wait_seconds": 30, "lease_seconds": 5})).await;
    assert_eq!(tasks.len(), 1, "one is due");
    tasks.remove(0)
}

async fn a_system_fetches_its_task_and_answers_it(router: &Router) {
    let fetching = router.fetching("inland").await;
    let schema = validator(LEASE);
    holds(&schema, &fetching.asks(&json!({"wait_seconds": 0})).await.json());
    let case = asked(&fetching).await;
    let answer = fetching.asks(&json!({"wait_seconds": 30, "lease_seconds": 5})).await;
    holds(&schema, &answer.json());
    let task = fetched(&fetching).await;
    assert_eq!(
        task.header("content-digest"),
        ContentDigest(sha256(&task.body)).to_string()
    );
    assert_eq!(task.json()["data"]["task"], task.header("webhook-id"));
    assert_eq!(task.json()["data"]["request"], case.id.to_string());
    let receipt = fetching.client.sign(&task, Outcome::Completed);
    assert_eq!(fetching.answers(task.header("webhook-id"), &receipt).await.status, 202);
    assert_eq!(fetching.answers(task.header("webhook-id"), &receipt).await.status, 202);
    case.await_closed(Closing::Fulfilled).await;
    case.proved(1).await;
}

/// Two that ask at once never get the same; what nobody answers in time comes again, under the same id and bytes.
async fn a_lease_that_runs_out_gives_the_same_bytes_again(router: &Router) {
    let fetching = router.fetching("forgetful").await;
    let case = asked(&fetching).await;
    let wanted = json!({"wait_seconds": 4, "lease_seconds": 5});
    let (one, other) = tokio::join!(fetching.fetches(&wanted), fetching.fetches(&wanted));
    let mut both: Vec<Heard> = one.into_iter().chain(other).collect();
    assert_eq!(both.len(), 1, "one of them gets it");
    let first = both.remove(0);
    let again = fetched(&fetching).await;
    assert_eq!(
        (again.header("webhook-id"), &again.body),
        (first.header("webhook-id"), &first.body)
    );
    let receipt = fetching.client.sign(&first, Outcome::Completed);
    assert_eq!(fetching.answers(first.header("webhook-id"), &receipt).await.status, 202);
    case.await_closed(Closing::Fulfilled).await;
    assert_eq!(
        fetching.fetches(&json!({"wait_seconds": 0})).await.len(),
        0,
        "nothing is due any more"
    );
}

async fn what_is_not_its_own_is_refused(router: &Router) {
    let (mine, theirs) = (router.fetching("mine").await, router.fetching("theirs").await);
    let case = asked(&theirs).await;
    let task = fetched(&theirs).await;
    assert_eq!(
        mine.fetches(&json!({"wait_seconds": 0})).await.len(),
        0,
        "a foreign task is never handed out"
    );
    let receipt = theirs.client.sign(&task, Outcome::Completed);
    let foreign = mine.answers(task.header("webhook-id"), &receipt).await;
    let unknown = mine.answers("task_01m88k6ktzf9k9wzm6kth8grre", &receipt).await;
    let garbled = mine.answers("task_nonsense", &receipt).await;
    assert_eq!((foreign.status, foreign.text()), (unknown.status, unknown.text()));
    assert_eq!((foreign.status, foreign.text()), (garbled.status, garbled.text()));
    assert_eq!(foreign.status, 400);
    assert_eq!(case.receipts().await, []);
    for (wanted, pointer) in [
        (json!({"max": 0}), "/max"),
        (json!({"wait_seconds": 31}), "/wait_seconds"),
        (json!({"lease_seconds": 4}), "/lease_seconds"),
        (json!({"tasks": 1}), "/tasks"),
    ] {
        let answer = mine.asks(&wanted).await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["pointer"]),
            (400, &json!(pointer))
        );
    }
    let product = &router.running().product;
    let path = "/v1/tasks/lease";
    let answer = router.post_as(product, path, "application/json", b"{}".to_vec()).await;
    assert_eq!(answer.status, 401, "another role's token opens nothing here");
    assert_eq!(theirs.answers(task.header("webhook-id"), &receipt).await.status, 202);
    case.await_closed(Closing::Fulfilled).await;
}

on_both!(
    a_system_fetches_its_task_and_answers_it,
    a_lease_that_runs_out_gives_the_same_bytes_again,
    what_is_not_its_own_is_refused,
);

/// A caller that waits is sent home when the process is to end, and a kill loses no lease.
#[test]
fn waiting_ends_with_the_process_and_leases_outlive_it() {
    run(async {
        let router = Router::start_processes(Place::embedded()).await;
        let fetching = router.fetching("patient").await;
        let case = asked(&fetching).await;
        let task = fetched(&fetching).await;
        router.processes().kill(Service::Up);
        router.processes().begin(Service::Up);
        router.processes().ready(Service::Up).await;
        let again = fetched(&fetching).await;
        assert_eq!(
            (again.header("webhook-id"), &again.body),
            (task.header("webhook-id"), &task.body)
        );
        let receipt = fetching.client.sign(&again, Outcome::Completed);
        assert_eq!(fetching.answers(again.header("webhook-id"), &receipt).await.status, 202);
        case.await_closed(Closing::Fulfilled).await;

        let started = Instant::now();
        let wanted = json!({"wait_seconds": 30});
        let (waiting, ended) = tokio::join!(fetching.fetches(&wanted), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::block_in_place(|| router.processes().terminate(Service::Up))
        });
        assert_eq!((waiting.len(), ended.0), (0, 0));
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        assert_eq!(router.shut_down().await, Ended::Asked);
    });
}
