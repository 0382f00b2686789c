//! What client businesses answer, and when.

use domain::receipt::{CategoryOutcome, Outcome, Report};
use domain::request::{Closing, StageName};
use sandbox::{Answering, Manner, Trouble, Verdict};
use tests::harness::patience::eventually;
use tests::harness::{DELETE, Person, Router};
use tests::on_both;

async fn ends(router: &Router, verdict: Verdict, closing: Closing) -> Report {
    let manner = Manner::good(verdict, Answering::ByPost);
    let client = router.client_of("acre-spices", vec![("shop", manner)]).await;
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    client.done(&case, closing).await;
    case.proved(1).await.receipts.remove(0).1.receipt.report
}

async fn something_is_kept_on_a_legal_ground(router: &Router) {
    let Report::Completed(completion) = ends(router, Verdict::Partial, Closing::Partly).await else {
        panic!("not a completion");
    };
    let kept = completion
        .results
        .iter()
        .find(|result| result.outcome == CategoryOutcome::Retained);
    let kept = kept.expect("the receipt names what was kept");
    assert_eq!(
        (kept.category.as_str(), kept.basis.as_deref()),
        ("invoices", Some("tax_law"))
    );
    assert!(kept.erase_after.is_some());
}

async fn refused(router: &Router) {
    ends(router, Verdict::Refused, Closing::Refused).await;
}

async fn not_found(router: &Router) {
    ends(router, Verdict::NotFound, Closing::Fulfilled).await;
}

async fn a_failed_receipt_keeps_it_open(router: &Router) {
    let client = router
        .client_of(
            "lydda-bank",
            vec![("core", Manner::good(Verdict::Failed, Answering::ByPost))],
        )
        .await;
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    case.logged("receipt").await;
    assert_eq!(case.shown().await.stage, StageName::Planned);
    let webhook = client.webhook(client.system(), case.id).await;
    let answer = router.post_receipt(&client.sign(&webhook, Outcome::Completed)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    case.await_closed(Closing::Fulfilled).await;
    case.proved(2).await;
}

async fn the_receipt_overtakes_the_result_of_its_attempt(router: &Router) {
    let manner = Manner::good(Verdict::Completed, Answering::PostBeforeAnswer);
    let client = router.client_of("safed-school", vec![("crm", manner)]).await;
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    client.done(&case, Closing::Fulfilled).await;
    let tasks = eventually("the attempt is recorded", || async {
        let tasks = case.tasks().await;
        if tasks[0].attempts == 1 {
            Ok(tasks)
        } else {
            Err(format!("{tasks:?}"))
        }
    })
    .await;
    assert_eq!(tasks[0].stage, "done");
}

/// Two systems, whose receipts arrive in the same instant: the request closes, and closes once.
async fn two_last_receipts_at_once(router: &Router) {
    let silent = || Manner::good(Verdict::Silent, Answering::ByPost);
    let client = router
        .client_of("tiberias-hotel", vec![("booking", silent()), ("crm", silent())])
        .await;
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    let mut tokens = vec![];
    for system in &client.systems {
        tokens.push(client.sign(&client.webhook(system, case.id).await, Outcome::Completed));
    }
    let (first, second) = tokio::join!(router.post_receipt(&tokens[0]), router.post_receipt(&tokens[1]));
    assert_eq!((first.status, second.status), (202, 202), "{first:?} {second:?}");
    case.await_closed(Closing::Fulfilled).await;
    let timeline = case.proved(2).await.timeline;
    assert_eq!(
        timeline.iter().filter(|word| *word == "closure").count(),
        1,
        "{timeline:?}"
    );
}

async fn down_and_up_again(router: &Router) {
    let client = router.client("nazareth-travel").await;
    client.system().tap.go_down();
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    client.webhook(client.system(), case.id).await;
    client.system().tap.open();
    client.done(&case, Closing::Fulfilled).await;
    let heard = client.system().tap.about(&case.id.to_string());
    assert!(heard.len() >= 2, "it was sent again");
    assert!(
        heard.iter().all(|again| again.body == heard[0].body),
        "the same bytes on every attempt"
    );
    assert!(
        heard
            .iter()
            .all(|again| again.header("webhook-id") == heard[0].header("webhook-id"))
    );
}

/// The work is done and the answer is 500, so the router must send it again: one effect all the same.
async fn done_but_the_answer_was_lost(router: &Router) {
    let client = router.client("beersheba-gym").await;
    client.system().manner.set_trouble(Trouble::DoneButFailed);
    let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    client.webhook(client.system(), case.id).await;
    client.system().manner.set_trouble(Trouble::None);
    client.done(&case, Closing::Fulfilled).await;
}

/// A receipt that comes twice is one receipt; one that nobody's key signed is refused.
async fn twice_and_forged(router: &Router) {
    let client = router.client("jaffa-oranges").await;
    for trouble in [Trouble::Twice, Trouble::ForgedFirst] {
        client.system().manner.set_trouble(trouble);
        let case = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
        client.done(&case, Closing::Fulfilled).await;
    }
    assert_eq!(client.system().record.refused_receipts(), 1, "the forged one");
}

/// One person writes to two businesses: neither learns of the other.
async fn nothing_crosses(router: &Router) {
    let (one, other) = (
        router.client("tulkarm-taxis").await,
        router.client("qalqilya-zoo").await,
    );
    let person = Person::new();
    let case = one.hears(&one.whatsapp(&person, DELETE)).await;
    one.done(&case, Closing::Fulfilled).await;
    let case = other.hears(&other.whatsapp(&person, DELETE)).await;
    other.done(&case, Closing::Fulfilled).await;
    for (client, stranger) in [(&one, &other), (&other, &one)] {
        assert_eq!(client.requests().await.len(), 1);
        let heard = client.system().tap.heard();
        assert_eq!(heard.len(), 1);
        let heard = String::from_utf8_lossy(&heard[0].body).into_owned();
        assert!(heard.contains(&client.id.to_string()) && heard.contains(&person.phone));
        for foreign in [&stranger.id.to_string(), &stranger.issuer, &stranger.accounts.whatsapp] {
            assert!(!heard.contains(foreign.as_str()), "{foreign} in {heard}");
        }
    }
}

/// An endpoint that fails is left alone: what waits for it costs no attempts and no steps, and goes when a probe was
/// answered. Others don't notice.
async fn an_endpoint_that_fails_is_left_alone_and_loses_nothing(router: &Router) {
    const REQUESTS: usize = 30;
    let (client, other) = (router.client("failing").await, router.client("next-door").await);
    client.system().manner.set_trouble(Trouble::Status(500));
    let mut cases = vec![];
    for _ in 0..REQUESTS {
        cases.push(client.asks("deletion", &Person::new()).await);
    }
    let attempts = async || {
        let mut made = 0;
        for case in &cases {
            made += case.tasks().await.iter().map(|task| task.attempts).sum::<i64>();
        }
        made
    };
    eventually("its breaker opens", || async {
        let made = attempts().await;
        if made >= 5 { Ok(()) } else { Err(made.to_string()) }
    })
    .await;
    let healthy = other.asks("deletion", &Person::new()).await;
    other.done(&healthy, Closing::Fulfilled).await;
    // Its places are 8: with those, and one for each failure that came before the fifth, it is over.
    let made = attempts().await;
    assert!(made <= 12, "{made} attempts");
    client.system().manner.set_trouble(Trouble::None);
    for case in &cases {
        client.done(case, Closing::Fulfilled).await;
    }
    assert!(attempts().await <= made + i64::try_from(REQUESTS).unwrap());
}

on_both!(
    an_endpoint_that_fails_is_left_alone_and_loses_nothing,
    something_is_kept_on_a_legal_ground,
    refused,
    not_found,
    a_failed_receipt_keeps_it_open,
    the_receipt_overtakes_the_result_of_its_attempt,
    two_last_receipts_at_once,
    down_and_up_again,
    done_but_the_answer_was_lost,
    twice_and_forged,
    nothing_crosses,
);
