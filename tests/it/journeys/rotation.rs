//! Webhook secrets are replaced with an overlap: a receiver may change at any moment in between.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use platform::secret::Secret;
use platform::webhook::{Received, TOLERANCE, VerifyingKey, verify};
use sandbox::{Answering, Manner, Verdict};
use tests::harness::{Heard, Person, Router};
use tests::on_both;

/// Long enough for a webhook on a busy machine, short enough to wait for.
const OVERLAP: SignedDuration = SignedDuration::from_secs(12);

#[track_caller]
fn believed_by(key: &str, heard: &Heard) -> bool {
    let received = Received {
        id: heard.header("webhook-id"),
        timestamp: heard.header("webhook-timestamp"),
        signature: heard.header("webhook-signature"),
    };
    let at: i64 = received.timestamp.parse().expect("a timestamp is a number");
    let now = Timestamp::from_second(at).expect("a time");
    verify(
        &[VerifyingKey::parse(key).expect("a key")],
        received,
        &heard.body,
        now,
        TOLERANCE,
    )
    .is_ok()
}

/// With `v1` for the system and `v1a` for its controller: what either key of either kind says of the same header.
async fn a_receiver_believes_old_and_new_until_the_overlap_ends(router: &Router) {
    let manner = Manner::good(Verdict::Silent, Answering::ByPost);
    let client = router.client_of("rotating", vec![("crm", manner)]).await;
    let system = format!("{}/crm", client.slug);
    let old = client.system().secret.clone();
    let first_pair = router.rotates(&client.slug, SignedDuration::ZERO).await;
    let sent = async || {
        let case = client.asks("deletion", &Person::new()).await;
        client.webhook(client.system(), case.id).await
    };
    let believed = |heard: &Heard, keys: &[&str]| -> Vec<bool> {
        let believed = keys.iter().map(|key| believed_by(key, heard));
        believed.collect()
    };

    let second_pair = router.rotates(&client.slug, OVERLAP).await;
    let new = router.rotates(&system, OVERLAP).await;
    let keys = [old.expose(), &new, &first_pair, &second_pair];
    assert_eq!(believed(&sent().await, &keys), [true; 4], "each of them in one header");

    tokio::time::sleep(Duration::try_from(OVERLAP).expect("not negative")).await;
    assert_eq!(believed(&sent().await, &keys), [false, true, false, true]);

    let newest = router.rotates(&system, SignedDuration::ZERO).await;
    let keys = [old.expose(), &new, &newest];
    assert_eq!(
        believed(&sent().await, &keys),
        [false, false, true],
        "at once, without an overlap"
    );
    assert!(
        !router.may_apply(&client, &Secret::new(new)).await,
        "a file doesn't bring back what was replaced"
    );
    assert!(router.may_apply(&client, &Secret::new(newest)).await);
}

on_both!(a_receiver_believes_old_and_new_until_the_overlap_ends);
