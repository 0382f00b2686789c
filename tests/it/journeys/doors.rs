//! What doors refuse, what they pass over, and what they take once.

use domain::request::Closing;
use serde_json::{Value, json};
use tests::harness::provider::{self, Text};
use tests::harness::{APP, APP_SECRET, Answer, Client, DELETE, Person, Router, key};
use tests::on_both;

async fn a_wrong_signature_stores_nothing(router: &Router) {
    let client = router.client("bethlehem-olive").await;
    let person = Person::new();
    let right = client.whatsapp(&person, DELETE);
    let body = right.body.clone();
    let other_key = provider::meta("whatsapp", APP, "another secret", body.clone());
    let mut other_bytes = right.clone();
    // The same JSON in another spelling, which no signature covers.
    other_bytes.body = serde_json::from_slice::<Value>(&body).unwrap().to_string().into_bytes();
    assert_ne!(other_bytes.body, body);
    let mut nothing = right.clone();
    nothing.proof = ("x-other", String::new());
    let mut half = right.clone();
    half.proof.1.truncate(20);
    let mut bot = client.telegram(&person, DELETE);
    bot.proof.1.push('x');
    for wrong in [other_key, other_bytes, nothing, half, bot] {
        for answer in [router.deliver(&wrong).await, router.forward(&wrong).await] {
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    assert_eq!(client.requests().await, []);
    let case = client.hears(&right).await;
    client.done(&case, Closing::Fulfilled).await;
}

/// Platforms repeat: the same message, at once and later, directly and through the product, is one request.
async fn the_same_message_is_one_request(router: &Router) {
    let client = router.client("gaza-fish").await;
    let sent = client.whatsapp(&Person::new(), DELETE);
    let (a, b, c) = tokio::join!(router.deliver(&sent), router.deliver(&sent), router.forward(&sent));
    assert_eq!([a.status, b.status, c.status], [200; 3]);
    let requests = client.requests().await;
    assert_eq!(requests.len(), 1);
    let case = router.case(requests[0].id);
    client.done(&case, Closing::Fulfilled).await;
    assert_eq!(router.deliver(&sent).await.status, 200);
    assert_eq!(client.requests().await.len(), 1);
    assert_eq!(client.system().record.deliveries().len(), 1, "one task");
}

async fn the_same_key_is_answered_the_same(router: &Router) {
    let client = router.client("bir-zeit-beer").await;
    let (key, body) = (key(), client.rest("deletion", &Person::new()));
    let first = router.post_request(&body, &key).await;
    let again = router.post_request(&body, &key).await;
    assert_eq!((first.status, again.status), (202, 202), "{first:?}");
    assert_eq!(first.text(), again.text());
    let other = router.post_request(&client.rest("access", &Person::new()), &key).await;
    assert_eq!(other.status, 422, "{other:?}");
    assert_eq!(client.requests().await.len(), 1);
    client.done(&router.case(first.accepted()), Closing::Fulfilled).await;
}

async fn bad_input_gets_a_clear_answer(router: &Router) {
    let client = router.client("dead-sea-salt").await;
    let good = client.rest("deletion", &Person::new());
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut unknown = good.clone();
    unknown["nickname"] = json!("x");
    let mut deep = good.clone();
    deep["subject"]["shoe_size"] = json!(44);
    for (wrong, pointer) in [
        (unknown, "/nickname"),
        (deep, "/subject/shoe_size"),
        (with("/right", json!("oblivion")), "/right"),
        (with("/controller/id", json!("ctl_0")), "/controller/id"),
        (
            with("/subject/identities/0/value", json!("not a number")),
            "/subject/identities/0",
        ),
        (with("/assurance/level", json!("cross_my_heart")), "/assurance/level"),
        (with("/requester/relation", json!("admirer")), "/requester/relation"),
    ] {
        let answer = router.post_request(&wrong, &key()).await;
        let words = problem(&answer);
        let pointers: Vec<&str> = words["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(pointer_of)
            .collect();
        assert!(
            pointers.iter().any(|found| found.starts_with(pointer)),
            "{pointer}: {words}"
        );
        let person = good["subject"]["name"].as_str().unwrap();
        assert!(
            !words.to_string().contains(person),
            "a problem tells nothing about anybody"
        );
    }
    let cut = good.to_string().into_bytes();
    for (bytes, status) in [
        (cut[..cut.len() - 9].to_vec(), 400),
        (vec![], 400),
        (vec![b' '; 5 * 1024 * 1024], 413),
    ] {
        let answer = router.post_bytes(bytes, &key()).await;
        problem(&answer);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(client.requests().await, []);
}

fn pointer_of(error: &Value) -> Option<&str> {
    error["pointer"].as_str().map(|pointer| pointer.trim_start_matches('#'))
}

/// Checks that it is a problem of the caller's, as RFC 9457 has it.
fn problem(answer: &Answer) -> Value {
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let words = answer.json();
    assert_eq!(words["status"], answer.status, "{words}");
    assert!(words["type"].as_str().unwrap().starts_with("/problems/"), "{words}");
    words
}

/// A signed batch with a message to an account that nobody registered: the stranger is passed over, and must not make
/// the platform repeat everybody's batch.
async fn a_stranger_in_a_batch_harms_nobody(router: &Router) {
    let client = router.client("ashkelon-port").await;
    let (person, other) = (Person::new(), Person::new());
    let mut batch = Text::new(&person, "999000111222333", DELETE).whatsapp();
    let known = Text::new(&other, &client.accounts.whatsapp, DELETE).whatsapp();
    batch["entry"].as_array_mut().unwrap().push(known["entry"][0].clone());
    let case = client.hears(&meta(&batch)).await;
    client.done(&case, Closing::Fulfilled).await;
    let heard = client.system().tap.heard();
    assert!(!String::from_utf8_lossy(&heard[0].body).contains(&person.phone));
}

/// Talk that asks for nothing is taken, and makes no request.
async fn small_talk_is_passed_over(router: &Router) {
    let client = router.client("lod-bikes").await;
    let person = Person::new();
    for text in ["When do you open?", "I would never delete my data", "مرحبا"] {
        for sent in [
            client.whatsapp(&person, text),
            client.telegram(&person, text),
            client.messenger(&person, text),
        ] {
            assert_eq!(router.deliver(&sent).await.status, 200);
        }
    }
    let mut group = Text::new(&person, "", DELETE).telegram();
    group["message"]["chat"]["type"] = json!("group");
    let group = provider::telegram(tests::harness::BOT_SECRET, &client.accounts.telegram, &group);
    assert_eq!(router.deliver(&group).await.status, 200);
    assert_eq!(router.deliver(&echo(&client, &person)).await.status, 200);
    assert_eq!(client.requests().await, []);
}

/// What the business itself wrote comes back as an echo.
fn echo(client: &Client<'_>, person: &Person) -> tests::harness::Sent {
    let mut echo = Text::new(person, &client.accounts.messenger, DELETE).messenger();
    let event = &mut echo["entry"][0]["messaging"][0];
    event["message"]["is_echo"] = json!(true);
    provider::meta("messenger", APP, APP_SECRET, provider::ascii(&echo))
}

fn meta(value: &Value) -> tests::harness::Sent {
    provider::meta("whatsapp", APP, APP_SECRET, provider::ascii(value))
}

/// Meta's and Telegram's handshakes and unknown addresses.
async fn handshakes(router: &Router) {
    let ask = |token: &str| {
        format!("/channels/whatsapp/{APP}?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444")
    };
    let answer = router.get(&ask(tests::harness::VERIFY_TOKEN)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "1158201444"));
    assert_eq!(router.get(&ask("guess")).await.status, 403);
    assert_eq!(router.get("/channels/pigeon/x").await.status, 404);
}

on_both!(
    a_wrong_signature_stores_nothing,
    the_same_message_is_one_request,
    the_same_key_is_answered_the_same,
    bad_input_gets_a_clear_answer,
    a_stranger_in_a_batch_harms_nobody,
    small_talk_is_passed_over,
    handshakes,
);
