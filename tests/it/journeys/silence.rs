//! What happens when nobody answers: it is said, it stays visible, and a person decides.

use std::time::Duration;

use clap::Parser as _;
use domain::id::RequestId;
use domain::request::{Closing, StageName};
use evidence::entry::body::StatementKind;
use platform::clock::{Clock as _, SystemClock};
use quittance::cli::Cli;
use sandbox::{Answering, Manner, Verdict};
use serde_json::json;
use tests::harness::patience::eventually;
use tests::harness::{Case, Client, Person, Place, Router, key, run};

/// Longer ago than any law gives, and less than the doors allow.
const LONG_AGO_SECONDS: i64 = 60 * 86_400;

/// Each on a router of its own, whose times are short.
macro_rules! on_each {
    ($($journey:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $journey() {
                super::run(async { super::$journey(&super::Router::start(super::Place::embedded().impatient()).await).await });
            })*
        }
        mod cluster {
            $(#[test] fn $journey() {
                super::run(async {
                    super::$journey(&super::Router::start(super::Place::cluster().await.impatient()).await).await;
                });
            })*
        }
    };
}

/// A command of the operator's, as a terminal would give it.
async fn operates(router: &Router, words: &[&str]) -> Result<(), String> {
    let config = router.place().config();
    let config = config.to_str().expect("a path");
    let words = [&["quittance", "--config", config], words].concat();
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    cli.run().await.map_err(|failure| failure.to_string())
}

async fn decides(router: &Router, request: RequestId, verdict: &str) {
    let request = request.to_string();
    let words = ["requests", "decide", &request, verdict, "--by", "dpo", "--yes"];
    operates(router, &words).await.expect("the decision is carried out");
}

/// A request whose deadline has passed already.
async fn late<'c>(client: &'c Client<'c>) -> Case<'c> {
    let mut body = client.rest("deletion", &Person::new());
    let asked = SystemClock.now() - Duration::from_secs(LONG_AGO_SECONDS.unsigned_abs());
    body["received_at"] = json!(asked);
    client
        .router
        .case(client.router.post_request(&body, &key()).await.accepted())
}

/// One system is down, the other says yes and nothing more; both are stated about, and the request stays open until a
/// named person approves that.
async fn what_nobody_answers_is_stated_and_approved(router: &Router) {
    let silent = || Manner::good(Verdict::Silent, Answering::ByPost);
    let client = router
        .client_of("akko-harbour", vec![("down", silent()), ("silent", silent())])
        .await;
    client.systems[0].tap.go_down();
    let case = late(&client).await;
    let stated = eventually("both are stated about", || async {
        let stated = case.stated().await;
        if stated.len() == 2 {
            Ok(stated)
        } else {
            Err(format!("{stated:?}"))
        }
    })
    .await;
    let said = |kind| {
        stated
            .iter()
            .filter(|one| one.kind == kind && one.approver.is_none())
            .count()
    };
    assert_eq!(
        (said(StatementKind::Undeliverable), said(StatementKind::NoReceipt)),
        (1, 1),
        "{stated:?}"
    );
    assert_eq!(
        case.shown().await.stage,
        StageName::Planned,
        "a statement closes nothing"
    );

    let id = case.id.to_string();
    operates(router, &["requests", "decide", &id, "approve"])
        .await
        .expect("a dry run");
    assert_eq!(
        case.shown().await.stage,
        StageName::Planned,
        "a dry run changes nothing"
    );
    let stranger = operates(
        router,
        &["requests", "decide", &id, "approve", "--by", "nobody", "--yes"],
    )
    .await;
    assert!(stranger.is_err_and(|why| why.contains("no contact `nobody`")));
    let moot = operates(router, &["requests", "decide", &id, "act"]).await;
    assert!(moot.is_err_and(|why| why.contains("nothing of it waits")));

    decides(router, case.id, "approve").await;
    case.await_closed(Closing::Undeliverable).await;
    let entries = case.logged("closure").await;
    assert_eq!(entries.iter().filter(|entry| entry["type"] == "closure").count(), 1);
    let stated = case.stated().await;
    let approved: Vec<_> = stated.iter().filter(|one| one.approver.is_some()).collect();
    assert_eq!((stated.len(), approved.len()), (4, 2), "{stated:?}");
    assert!(case.tasks().await.iter().all(|task| task.stage == "stated"));
    let again = operates(router, &["requests", "decide", &id, "approve"]).await;
    assert!(again.is_err(), "what is closed is not decided again");
}

/// A receipt that comes after the statement and before the approval is the last word.
async fn an_answer_overtakes_the_statement(router: &Router) {
    let manner = Manner::good(Verdict::Silent, Answering::ByPost);
    let client = router.client_of("haifa-clinic", vec![("crm", manner)]).await;
    let case = late(&client).await;
    assert_eq!(case.stated().await.len(), 1);
    let webhook = client.webhook(client.system(), case.id).await;
    let token = client.sign(&webhook, domain::receipt::Outcome::Completed);
    assert_eq!(router.post_receipt(&token).await.status, 202);
    case.await_closed(Closing::Fulfilled).await;
    case.proved(1).await;
}

/// What an operator parks stays parked until it is replayed; what is paused waits, and goes on afterwards.
async fn an_operator_parks_replays_pauses_and_resumes(router: &Router) {
    let client = router.client("jaffa-port").await;
    let system = format!("{}/{}", client.slug, client.system().slug);
    client.system().tap.go_down();
    let case = client.asks("deletion", &Person::new()).await;
    eventually("it was tried", || async {
        let tried = case.tasks().await.iter().any(|task| task.attempts > 0);
        if tried { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let nothing = operates(router, &["tasks", "park"]).await;
    assert!(nothing.is_err_and(|why| why.contains("which tasks")));
    operates(router, &["tasks", "park", "--system", &system])
        .await
        .expect("a dry run");
    assert_ne!(case.tasks().await[0].stage, "parked", "a dry run changes nothing");
    let meant = ["tasks", "park", "--system", &system, "--by", "dpo", "--yes"];
    operates(router, &meant).await.expect("it is parked");
    assert_eq!(case.tasks().await[0].stage, "parked");

    client.system().tap.open();
    let meant = ["tasks", "pause", &client.slug, "--by", "dpo", "--yes"];
    operates(router, &meant).await.expect("it is paused");
    let id = case.tasks().await[0].id.to_string();
    operates(router, &["tasks", "replay", &id, "--by", "dpo", "--yes"])
        .await
        .expect("it is due again");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(case.tasks().await[0].stage, "due", "what is paused is not sent");
    let meant = ["tasks", "resume", &client.slug, "--by", "dpo", "--yes"];
    operates(router, &meant).await.expect("it goes on");
    client.done(&case, Closing::Fulfilled).await;
}

on_each!(
    an_operator_parks_replays_pauses_and_resumes,
    what_nobody_answers_is_stated_and_approved,
    an_answer_overtakes_the_statement
);
